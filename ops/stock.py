"""Owns `holdfast stock`: a SKU's stock, read through the log and so never stale."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from shlex import quote

from rich.text import Text

from ops.exchange import exchange
from ops.problems import FOUND_WRONG, CannotDo
from ops.screen import cell_text, print_json, print_rich, print_table, say
from schemas import codec
from schemas.codes import Code
from schemas.commands import Query
from schemas.results import ReservationView, Result, StockView
from schemas.stock_changes import BookInbound, BookView


async def stock(sku: str, *, bootstrap: str, reservation_id: str | None, timeout_s: float, as_json: bool) -> int:
    """Query a SKU's stock (and one of its reservations) and print it.

    Returns:
        The exit code: 1 when the SKU or the reservation is unknown.

    Raises:
        CannotDo: Kafka is away, or no worker answered.
    """
    question = Query(command_id=f"stock-{uuid.uuid4().hex}", sku=sku, reservation_id=reservation_id)
    result = await ask_about(question, bootstrap=bootstrap, timeout_s=timeout_s)
    if as_json:
        print_json(result)
    elif result.status == "accepted":
        _print(result)
    return exit_code_of(result, sku, reservation_id)


async def ask_about(question: Query, *, bootstrap: str, timeout_s: float) -> Result:
    """Ask the ledger through the log.

    Raises:
        CannotDo: the question is none, Kafka is away, or no worker answered.
    """
    check_question(question)
    async with exchange(bootstrap) as link:
        return await link.ask(question, timeout_s)


def check_question(question: Query) -> None:
    """Check that the ledger can read a question.

    Raises:
        CannotDo: it cannot.
    """
    try:
        codec.decode_command(codec.encode(codec.json_object_of(question)))
    except codec.Unreadable as error:
        raise CannotDo(
            f"{error.field} cannot be what was given: see the characters and lengths in the contract"
        ) from None


def exit_code_of(result: Result, sku: str, reservation_id: str | None = None) -> int:
    """Return 0 for an answer, and 1, after saying so, when the SKU or the reservation is unknown.

    Raises:
        CannotDo: the ledger refused the question for another reason.
    """
    if result.status == "accepted":
        return 0
    if result.code not in {Code.UNKNOWN_SKU, Code.UNKNOWN_RESERVATION}:
        raise CannotDo(f"the ledger refused the question: {result.code} {result.field or ''}".rstrip())
    what = f"SKU {sku!r}" if result.code is Code.UNKNOWN_SKU else f"reservation {reservation_id!r} of SKU {sku!r}"
    say(f"{what} is unknown to the ledger ({result.code})")
    return FOUND_WRONG


def _print(result: Result) -> None:
    print_rows(result.sku, result.stock, seq=result.seq, at=result.at)
    if isinstance(result.book, BookView):
        print_book(result.book)
    if result.reservation is not None:
        print_reservation(result.reservation)


def print_rows(sku: str, stock: Sequence[StockView], *, seq: int, at: int) -> None:
    """Print a SKU's rows as a table, with their sum if there are several."""
    columns = ["warehouse", "on_hand", "reserved", "damaged", "safety_stock", "inbound", "available"]
    if any(row.quarantine for row in stock):
        columns.append("quarantine")
    rows = [tuple(getattr(row, column) or 0 for column in columns) for row in stock]
    if len(rows) > 1:
        rows.append(("total", *(sum(row[index] for row in rows) for index in range(1, len(columns)))))
    print_table(columns, rows, title=f"{sku}  (seq {seq}, {time_text(at)})")
    if any(row.reserved > row.on_hand for row in stock):
        say(f"more is reserved than is on hand: `holdfast shortfalls {quote(sku)}` shows who holds it")


def print_book(book: BookView) -> None:
    """Print what channels hold of a SKU under their caps, what waits, and which goods are announced, as tables."""
    rows = [(it.channel, it.held, it.backordered) for it in book.channels]
    if rows:
        print_table(("channel", "held", "backordered"), rows, title=waiting_text(book))
    elif (waiting := waiting_text(book)) is not None:
        print_rich(Text(waiting))
    if book.inbounds:
        print_inbounds(book.inbounds)


def print_inbounds(inbounds: Sequence[BookInbound]) -> None:
    """Print the announced goods of a SKU as a table, by date."""
    columns = ["announced", "warehouse", "comes", "remaining", "claimed"]
    rows: list[list[object]] = [
        [it.inbound_id, it.warehouse, time_text(it.eta_at), it.remaining, it.claimed] for it in inbounds
    ]
    if any(it.from_ for it in inbounds):
        columns.append("from")
        for row, it in zip(rows, inbounds, strict=True):
            row.append(it.from_ or None)
    print_table(columns, rows)


def waiting_text(book: BookView) -> str | None:
    """Return how many units of a SKU wait, and whether they are being settled; None when none waits."""
    if not book.backordered + book.promised:
        return None
    promised = f", {book.promised:,} for announced goods" if book.promised else ""
    return f"{book.backordered:,} wait without a date{promised}" + ("; settling" if book.settling is True else "")


def print_reservation(found: ReservationView) -> None:
    """Print a reservation as a table."""
    held = (
        ", ".join(f"{allocation.quantity} in {allocation.warehouse}" for allocation in found.allocations) or "nothing"
    )
    expires = time_text(found.expires_at) if found.expires_at is not None else "never"
    rows: dict[str, object] = {
        "reservation": found.reservation_id,
        "state": found.state,
        "quantity": found.quantity,
        "committed": found.committed,
        "released": found.released,
        "returned": found.returned or None,
        "holds": held,
        "waits": found.waiting or None,
        "promised": time_text(found.promised_at) if isinstance(found.promised_at, int) else None,
        "channel": found.channel,
        "order": found.order_id,
        "expires": expires,
    }
    print_table(("", ""), [(name, cell_text(value)) for name, value in rows.items()])


def time_text(at: int) -> str:
    """Return a time, given in ms since the Unix epoch, as people read it."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
