"""Owns `holdfast backorders` and `holdfast settle`: who waits for a SKU, and the settling of every SKU that waits."""

import io
import uuid

from gateway.backorders import Backorders, backorders_of
from ops.exchange import count_of, reading, records_until_end
from ops.screen import print_json, print_table, say
from ops.send import checked, send
from ops.stock import ask_about, exit_code_of, time_text, waiting_text
from schemas import codec
from schemas.commands import Query, Settle
from schemas.stock_changes import BookView
from schemas.topics import STOCK_CHANGES

_COLUMNS = ("", "reservation", "channel", "order", "priority", "waits since", "quantity", "promised")


async def backorders(sku: str, *, limit: int, bootstrap: str, timeout_s: float, as_json: bool) -> int:
    """Query who waits for a SKU and print them by rank.

    Returns:
        The exit code: 1 when the SKU is unknown.

    Raises:
        CannotDo: Kafka is away, or no worker answered.
    """
    question = Query(command_id=f"backorders-{uuid.uuid4().hex}", sku=sku, waiting=limit)
    result = await ask_about(question, bootstrap=bootstrap, timeout_s=timeout_s)
    if result.status == "accepted":
        found = backorders_of(codec.encode(result))
        if as_json:
            print_json(found)
        else:
            _print(found)
    return exit_code_of(result, sku)


def _print(found: Backorders) -> None:
    book = BookView(found.backordered, found.promised, settling=found.settling)
    rows = [
        (
            number,
            it.reservation_id,
            it.channel,
            it.order_id,
            it.priority,
            time_text(it.placed_at),
            it.quantity,
            None if it.promised_at is None else time_text(it.promised_at),
        )
        for number, it in enumerate(found.items, start=1)
    ]
    print_table(_COLUMNS, rows, title=f"{found.sku}  ({waiting_text(book) or 'nobody waits'})")


async def settle_all(*, channel: str | None, bootstrap: str, timeout_s: float) -> int:
    """Send one `settle` for every SKU that waits, and print the results.

    Args:
        channel: only the SKUs where something of this channel waits, or for announced goods.
        bootstrap: `HOST:PORT,...` of the brokers.
        timeout_s: how long to wait for Kafka, and for the next result.

    Returns:
        The exit code.

    Raises:
        CannotDo: Kafka is away, or a result did not come.
    """
    books = await read_books(bootstrap)
    skus = [sku for sku, book in sorted(books.items()) if is_waiting(book, channel)]
    lines = [
        codec.encode(codec.json_object_of(Settle(command_id=f"settle-{uuid.uuid4().hex}", sku=sku))) for sku in skus
    ]
    say(f"{len(skus):,} of {len(books):,} SKUs with a book wait")
    return await send(
        bootstrap=bootstrap, source=io.BytesIO(b"\n".join(lines)), read=checked, wait=True, timeout_s=timeout_s
    )


def is_waiting(book: BookView, channel: str | None) -> bool:
    """Return whether units of a SKU wait; with a channel, whether they may be its own."""
    if channel is None:
        return book.backordered + book.promised > 0
    return book.promised > 0 or any(it.backordered for it in book.channels if it.channel == channel)


async def read_books(bootstrap: str) -> dict[str, BookView]:
    """Return the book of each SKU that has one, as of the present end of the stock changes.

    Raises:
        CannotDo: no Kafka answers, or the topic does not exist.
    """
    books: dict[str, BookView] = {}
    partitions = range(await count_of(bootstrap, STOCK_CHANGES))
    async with reading(bootstrap, STOCK_CHANGES, partitions, from_beginning=True) as consumer:
        async for record in records_until_end(consumer):
            # The key is SKU/WAREHOUSE, and a book is in no warehouse.
            if record.value is not None and record.key.endswith(b"/"):
                change = codec.stock_change_decoder.decode(record.value)
                if isinstance(change.book, BookView):
                    books[change.sku] = change.book
    return books
