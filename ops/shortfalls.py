"""Owns `holdfast shortfalls`: the stock rows where more is reserved than on hand, and who holds what there."""

import uuid
from collections.abc import Sequence

import msgspec

from gateway.availability import AvailabilityView
from gateway.shortfalls import Short, every_short_row, short_row
from ops.exchange import count_of, exchange, reading, records_until_end
from ops.screen import print_json, print_table, say
from ops.stock import check_question, exit_code_of, time_text
from schemas.commands import Query
from schemas.results import ReservationView, Result
from schemas.topics import STOCK_CHANGES

_MOST_LISTED = 100  # reservations in one answer


class Holder(msgspec.Struct):
    """A reservation that holds units in a row that is short."""

    reservation_id: str
    channel: str
    order_id: str | None
    quantity: int  # that it holds there
    expires_at: int | None


class ShortOfSku(Short, kw_only=True):
    """A short row of one SKU, with all who hold units there."""

    reservations: list[Holder]


async def list_short_rows(*, bootstrap: str, as_json: bool) -> int:
    """Print the short rows of all SKUs, as of the present end of the stock changes.

    Returns:
        The exit code.

    Raises:
        CannotDo: no Kafka answers, or the topic does not exist.
    """
    view = AvailabilityView()
    partitions = range(await count_of(bootstrap, STOCK_CHANGES))
    async with reading(bootstrap, STOCK_CHANGES, partitions, from_beginning=True) as consumer:
        async for record in records_until_end(consumer):
            view.apply_record(record.partition, record.key, record.value)
    _print_rows(every_short_row(view), as_json=as_json)
    return 0


async def show_short_rows(sku: str, *, bootstrap: str, timeout_s: float, as_json: bool) -> int:
    """Query the short rows of a SKU and print them with the reservations that hold units there.

    Returns:
        The exit code: 1 when the SKU is unknown.

    Raises:
        CannotDo: Kafka is away, or no worker answered.
    """
    result, reservations = await _ask(sku, bootstrap, timeout_s)
    rows = [_of_sku(result, row.warehouse, reservations) for row in result.stock if row.reserved > row.on_hand]
    if result.status == "accepted":
        _print_rows(rows, as_json=as_json)
    if rows and not as_json:
        _print_holders(rows)
    return exit_code_of(result, sku)


async def _ask(sku: str, bootstrap: str, timeout_s: float) -> tuple[Result, list[ReservationView]]:
    """Return the last answer about a SKU, and all its held reservations, which may come in several answers."""
    found: list[ReservationView] = []
    after: str | None = None
    check_question(_question(sku, after))
    async with exchange(bootstrap) as link:
        while True:
            result = await link.ask(_question(sku, after), timeout_s)
            found += result.reservations if isinstance(result.reservations, list) else []
            if not isinstance(result.next, str):
                return result, found
            after = result.next


def _question(sku: str, after: str | None) -> Query:
    return Query(command_id=f"shortfalls-{uuid.uuid4().hex}", sku=sku, reservations=_MOST_LISTED, after=after)


def _of_sku(result: Result, warehouse: str, reservations: Sequence[ReservationView]) -> ShortOfSku:
    row = next(row for row in result.stock if row.warehouse == warehouse)
    holders = [
        Holder(it.reservation_id, it.channel, it.order_id, allocation.quantity, it.expires_at)
        for it in reservations
        for allocation in it.allocations
        if allocation.warehouse == warehouse
    ]
    short = short_row(result.sku, row, result.seq, result.at)
    return ShortOfSku(**msgspec.structs.asdict(short), reservations=holders)


def _print_rows(rows: Sequence[Short], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        say("nothing is short: no row has more reserved than on hand")
        return
    columns = ("sku", "warehouse", "on_hand", "reserved", "short")
    cells = [(*(getattr(row, column) for column in columns), time_text(row.at)) for row in rows]
    print_table((*columns, "last change of the SKU"), cells)


def _print_holders(rows: Sequence[ShortOfSku]) -> None:
    cells = [
        (
            row.warehouse,
            it.reservation_id,
            it.channel,
            it.order_id,
            it.quantity,
            "never" if it.expires_at is None else time_text(it.expires_at),
        )
        for row in rows
        for it in row.reservations
    ]
    print_table(("warehouse", "reservation", "channel", "order", "holds", "expires"), cells)
