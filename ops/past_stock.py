"""Owns `holdfast stock --at`: a SKU's stock at a moment in the past, from the log alone."""

from pathlib import Path

from audit.past import moment_of, stock_at
from audit.problems import CannotAudit
from ops.kafka.cluster import connect
from ops.problems import FOUND_WRONG, CannotDo
from ops.screen import print_json, progress, say
from ops.stock import print_reservation, print_rows


async def past_stock(
    sku: str,
    *,
    at: str,
    bootstrap: str,
    reservation_id: str | None,
    checkpoint: Path | None,
    as_json: bool,
) -> int:
    """Compute a SKU's stock at a moment and print it.

    Returns:
        The exit code: 1 when the SKU or the reservation was unknown then.

    Raises:
        CannotDo: Kafka is away, the moment is invalid, or the log has lost its beginning.
    """
    try:
        moment = moment_of(at)
    except ValueError as error:
        raise CannotDo(str(error)) from None
    async with connect(bootstrap):
        pass  # it says soon when nobody is there
    with progress() as bar:
        task = bar.add_task("replaying", total=None, note="")

        def show(begin: int, offset: int, end: int) -> None:
            bar.update(
                task, total=end - begin, completed=offset - begin, note=f"{offset:,} of at most {end:,} commands"
            )

        try:
            found = await stock_at(
                bootstrap, sku, moment, reservation_id=reservation_id, checkpoint=checkpoint, progress=show
            )
        except CannotAudit as error:
            raise CannotDo(str(error)) from error
    if as_json:
        print_json(found)
    elif found.known:
        print_rows(sku, found.stock, seq=found.seq, at=found.at)
        say(f"as of partition {found.partition}, before command {found.next_offset}")
        if found.reservation is not None:
            print_reservation(found.reservation)
    if not found.known:
        say(f"SKU {sku!r} had no stock row before command {found.next_offset} of partition {found.partition}")
        return FOUND_WRONG
    if reservation_id is not None and found.reservation is None:
        say(f"reservation {reservation_id!r} of SKU {sku!r} was not known then")
        return FOUND_WRONG
    return 0
