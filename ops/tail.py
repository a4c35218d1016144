"""Owns `holdfast tail`: it prints results or stock changes as they are published, as JSON or for people."""

import select
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from aiokafka import AIOKafkaConsumer

from ops.exchange import count_of, reading
from ops.stock import waiting_text
from schemas import codec
from schemas.partitioner import partition_of
from schemas.results import Result, StockView
from schemas.stock_changes import BookView, Quantities, StockChange
from schemas.topics import RESULTS, STOCK_CHANGES

Stream = Literal["results", "stock-changes"]
_TOPICS: dict[Stream, str] = {"results": RESULTS, "stock-changes": STOCK_CHANGES}


async def tail(
    stream: Stream, *, bootstrap: str, from_beginning: bool, sku: str | None, as_json: bool, limit: int | None
) -> None:
    """Print new records until the limit is reached; without a limit, for ever.

    Args:
        stream: what to follow.
        bootstrap: `HOST:PORT,...` of the brokers.
        from_beginning: whether to begin with the topic's oldest record.
        sku: the only SKU to print.
        as_json: whether to print the records' JSON unchanged.
        limit: how many records to print.

    Raises:
        CannotDo: no Kafka answers, or the topic does not exist.
    """
    topic = _TOPICS[stream]
    count = await count_of(bootstrap, topic)
    partitions = range(count) if sku is None else [partition_of(sku, count)]
    line_of = _LINES[stream]
    async with reading(bootstrap, topic, partitions, from_beginning=from_beginning) as consumer:
        await _print(consumer, lambda value: line_of(value, sku, as_json), limit)


async def _print(consumer: AIOKafkaConsumer, line_of: Callable[[bytes], str | None], limit: int | None) -> None:
    printed = 0
    while limit is None or printed < limit:
        if _nobody_reads():
            raise BrokenPipeError
        batches = await consumer.getmany(timeout_ms=1000)
        for record in (record for records in batches.values() for record in records):
            # A compacted topic has tombstones, which have no value to show.
            line = line_of(record.value) if record.value is not None else None
            if line is not None and (limit is None or printed < limit):
                sys.stdout.write(line + "\n")
                printed += 1
        sys.stdout.flush()


def _nobody_reads() -> bool:
    # A closed pipe is only noticed at a write, so without this check `tail | head -1` might wait for ever.
    try:
        descriptor = sys.stdout.fileno()
    except OSError:
        return False
    watch = select.poll()
    watch.register(descriptor, 0)
    return bool(watch.poll(0))


def result_line(value: bytes, sku: str | None, as_json: bool) -> str | None:
    """Return the line of a result; None for another SKU."""
    result = codec.result_decoder.decode(value)
    if sku is not None and result.sku != sku:
        return None
    return value.decode() if as_json else pretty_result(result)


def change_line(value: bytes, sku: str | None, as_json: bool) -> str | None:
    """Return the line of a stock change; None for another SKU."""
    change = codec.stock_change_decoder.decode(value)
    if sku is not None and change.sku != sku:
        return None
    return value.decode() if as_json else pretty_change(change)


_LINES: dict[Stream, Callable[[bytes, str | None, bool], str | None]] = {
    "results": result_line,
    "stock-changes": change_line,
}


def pretty_result(result: Result) -> str:
    """Return a result as one line for people."""
    what = f"rejected: {result.code}" if result.code else result.status
    if result.replayed:
        what += " (replayed)"
    about = result.reservation.reservation_id if result.reservation else (result.command_id or "-")
    rows = "  ".join(f"{row.warehouse}: {_quantities(row)}" for row in result.stock)
    if result.reservation is not None and isinstance(result.reservation.waiting, int):
        about += f" ({result.reservation.waiting:,} wait)"
    place = f"{result.partition}@{result.offset}"
    return (
        f"{_clock(result.at)}  {place:<10} {result.type or '-':<8} {result.sku:<14} {what:<30} {about}  {rows}".rstrip()
    )


def pretty_change(change: StockChange) -> str:
    """Return a stock change as one line for people."""
    delta = ", ".join(f"{name} {amount:+d}" for name, amount in change.delta.items())
    short = "  SHORT" if change.shortfall else ""
    about = change.cause.reservation_id or change.cause.reference or change.cause.command_id or "-"
    after = _book_text(change.book) if isinstance(change.book, BookView) else _quantities(change.after)
    where = f"{change.sku}/{change.warehouse}"
    return (
        f"{_clock(change.at)}  #{change.seq:<6} {change.cause.type:<8} {where:<24} {delta:<30} "
        f"-> {after}  {about}{short}"
    )


def _book_text(book: BookView) -> str:
    held = ", ".join(f"{it.channel} holds {it.held:,}" for it in book.channels if it.held)
    comes = ", ".join(f"{it.inbound_id} brings {it.remaining:,} to {it.warehouse}" for it in book.inbounds)
    return "; ".join(filter(None, (held, waiting_text(book), comes))) or "no channel holds any, nobody waits"


def _quantities(row: StockView | Quantities) -> str:
    inspected = f", {row.quarantine:,} in quarantine" if row.quarantine else ""
    return f"{row.available:,} available of {row.on_hand:,}{inspected}"


def _clock(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
