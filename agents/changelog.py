"""Owns the reading of a changelog partition, from an offset to an end that is known before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from agents.reading import LogReader
from schemas.topics import CHANGELOG

_FETCH_BYTES = 4 << 20
_WAIT_MS = 50

ChangelogRecord = tuple[int, bytes, bytes | None]


async def read_changelog(bootstrap: str, partition: int, start: int, end: int) -> AsyncIterator[list[ChangelogRecord]]:
    """Yield committed records with `start <= offset < end` in chunks, each record as (offset, key, value).

    The reading ends when the reader's position has reached the end: markers and compaction leave gaps, so the record
    right before the end may not exist. While the caller uses a chunk, the next one is fetched.

    Args:
        bootstrap: the brokers.
        partition: the partition of `holdfast-ledger-changelog`.
        start: the first offset to read.
        end: the end of the log, from ListOffsets with read_uncommitted.

    Raises:
        aiokafka.errors.OffsetOutOfRangeError: `start` is not in the log (any more).
        aiokafka.errors.KafkaError: the broker cannot be reached.
    """
    reader = LogReader(
        bootstrap,
        CHANGELOG,
        partition,
        client_id=f"holdfast-recovery-{partition}",
        fetch_bytes=_FETCH_BYTES,
        wait_ms=_WAIT_MS,
    )
    fetching = None
    try:
        await reader.start()
        position = start
        fetching = asyncio.create_task(reader.fetch(position))
        while position < end:
            fetched = await fetching
            position = fetched.position
            if position < end:
                fetching = asyncio.create_task(reader.fetch(position))
            if fetched.records:
                yield [(record.offset, record.key, record.value) for record in fetched.records]
    finally:
        if fetching is not None:
            fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await fetching
        await reader.close()
