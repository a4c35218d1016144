"""Owns the state of a partition at a moment in the past, computed by the audit's model.

`fold` works with any model that has the methods of `Foldable`, for example one with other rules.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from aiokafka.errors import KafkaError

from audit.checkpoint import Mark, read_manifest, read_state
from audit.comparison.compare import Source
from audit.model.documents import Hold, decode_hold
from audit.model.oracle import Model
from audit.problems import CannotAudit
from audit.reading import Kafka
from audit.resume import check_cluster, check_log
from audit.unpacking import UnreadBatch
from schemas.partitioner import partition_of
from schemas.results import ReservationView, StockView
from schemas.topics import COMMANDS


class AtOffset(NamedTuple):
    """The moment after one command."""

    partition: int
    offset: int


class AtTime(NamedTuple):
    """The moment before the partition's clock passes a time (ms since 1970)."""

    at_ms: int


class PastStock(msgspec.Struct):
    """A SKU's stock at a moment in the past.

    Args:
        sku: the SKU.
        partition: the SKU's partition.
        next_offset: the offset of the first command that was not applied yet.
        at: the partition's clock then (ms).
        known: whether the SKU had a stock row.
        seq: the SKU's sequence number.
        stock: its rows.
        reservation: the requested reservation; None when it was unknown then.
    """

    sku: str
    partition: int
    next_offset: int
    at: int
    known: bool
    seq: int
    stock: list[StockView]
    reservation: ReservationView | None = None


class Foldable(Protocol):
    """A model that takes the commands of a partition one by one."""

    now: int

    def fold(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record."""

    def bury_batch(self, reason: str, offset: int, last_offset: int, timestamp_ms: int) -> None:
        """Apply a record batch of which no record is read."""


def moment_of(text: str) -> AtOffset | AtTime:
    """Return the moment of `PARTITION:OFFSET`, milliseconds since 1970, or an ISO 8601 time (UTC without a zone).

    Raises:
        ValueError: it is none of these.
    """
    if place := re.fullmatch(r"(\d{1,6}):(\d{1,18})", text):
        return AtOffset(int(place[1]), int(place[2]))
    if re.fullmatch(r"\d{9,16}", text):
        return AtTime(int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment: give PARTITION:OFFSET, ms since 1970, or a time such as 2026-11-24T12:00:00Z"
        ) from None
    return AtTime(int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000))


async def fold(
    model: Foldable,
    commands: Source,
    until: AtOffset | AtTime,
    after_piece: Callable[[int], None] = lambda _: None,
) -> int | None:
    """Apply commands to a model up to a moment.

    Args:
        model: the model before the first command.
        commands: the commands of one partition.
        until: the offset of the last command, or the time that the clock must not pass.
        after_piece: called now and then with the offset of the last command.

    Returns:
        The last command's offset, None without any.
    """
    last = None
    while not commands.done:
        for record in await commands.read():
            if isinstance(until, AtOffset):
                beyond = record.offset > until.offset
            else:
                beyond = max(model.now, record.timestamp) > until.at_ms
            if beyond:
                return last
            if isinstance(record, UnreadBatch):
                model.bury_batch(record.reason, record.offset, record.last_offset, record.timestamp)
                last = record.last_offset
                continue
            model.fold(record.offset, record.timestamp, record.key, record.value)
            last = record.offset
        if last is not None:
            after_piece(last)
    return last


async def stock_at(
    bootstrap: str,
    sku: str,
    moment: AtOffset | AtTime,
    *,
    reservation_id: str | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, int], None] = lambda *_: None,
) -> PastStock:
    """Return a SKU's stock at a moment, from the log alone.

    Args:
        bootstrap: the cluster's address.
        sku: the SKU.
        moment: the moment.
        reservation_id: a reservation of the SKU to return too.
        checkpoint: an audit's directory; its state is used if it is before the moment.
        progress: called now and then with the offsets of the begin, the current command, and the latest possible end.

    Raises:
        CannotAudit: Kafka cannot be reached, or the moment cannot be computed: the log has lost its beginning and no
            checkpoint covers it, or the SKU is in another partition.
    """
    try:
        async with Kafka(bootstrap) as kafka:
            partitions = await kafka.partitions()
            partition = partition_of(sku, partitions)
            if isinstance(moment, AtOffset) and moment.partition != partition:
                raise CannotAudit(f"SKU {sku!r} is in partition {partition} of {COMMANDS}, not in {moment.partition}")
            end = await kafka.end(COMMANDS, partition)
            if isinstance(moment, AtOffset) and moment.offset >= end:
                raise CannotAudit(f"{COMMANDS}/{partition} has no command {moment.offset}: it ends at offset {end}")
            begin, model = await _begin(kafka, partition, partitions, moment, checkpoint)
            log = kafka.log(COMMANDS, partition, begin, end)

            def after_piece(offset: int) -> None:
                for out in model.out:
                    out.clear()
                progress(begin, offset + 1, end)

            last = await fold(model, log, moment, after_piece)
            return _view(model, sku, begin if last is None else last + 1, reservation_id)
    except KafkaError as error:
        raise CannotAudit(f"Kafka at {bootstrap}: {error!r}") from error


async def _begin(
    kafka: Kafka, partition: int, partitions: int, moment: AtOffset | AtTime, checkpoint: Path | None
) -> tuple[int, Model]:
    """Return a state before the moment: a checkpoint's, or an empty one if the log has its beginning."""
    begin = await kafka.begin(COMMANDS, partition)
    manifest = None if checkpoint is None else read_manifest(checkpoint)
    if manifest is not None and checkpoint is not None:
        check_cluster(manifest, await kafka.cluster_id(), partitions)
        mark = next(it for it in manifest.marks if it.partition == partition)
        if _covers(mark, moment):
            await check_log(kafka, mark)
            return mark.next_offset, read_state(checkpoint, mark).model
    if begin > 0:
        with_checkpoint = (
            "the checkpoint is after that moment" if manifest else "give `--checkpoint` with an audit's directory"
        )
        raise CannotAudit(
            f"{COMMANDS}/{partition} begins at offset {begin}: the commands before it were deleted, "
            f"and without them the stock cannot be computed; {with_checkpoint}"
        )
    return 0, Model(partition, partitions)


def _covers(mark: Mark, moment: AtOffset | AtTime) -> bool:
    if isinstance(moment, AtOffset):
        return mark.next_offset <= moment.offset + 1
    return mark.at <= moment.at_ms


def _view(model: Model, sku: str, next_offset: int, reservation_id: str | None) -> PastStock:
    item = model.items.get(sku)
    hold = model.holds.get(f"{sku}\0{reservation_id}") if reservation_id else None
    if hold is not None and not isinstance(hold, Hold):
        hold = decode_hold(hold)
    return PastStock(
        sku=sku,
        partition=model.partition,
        next_offset=next_offset,
        at=model.now,
        known=item is not None,
        seq=item.seq if item else 0,
        stock=[row.view(warehouse) for warehouse, row in item.rows.items()] if item else [],
        reservation=hold.view(reservation_id) if hold and reservation_id else None,
    )
