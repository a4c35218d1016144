"""Owns the standbys: warm copies of partitions that other workers own."""

import asyncio

import structlog

from agents.config import WorkerConfig
from agents.local_store import LocalStore
from agents.transactions import TransactionClient
from schemas.topics import CHANGELOG

_FOLLOW_EVERY_S = 0.5
_CANCEL_AGAIN_S = 1.0

log = structlog.get_logger()


class Standby:
    """Keeps one partition's local store up to date from the changelog, until it is stopped."""

    def __init__(self, number: int, config: WorkerConfig) -> None:
        self._number = number
        self._config = config
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop, and close the store: this worker may own the partition next."""
        # Cancel until it ends: a cancellation that comes while aiokafka's client closes is lost.
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CANCEL_AGAIN_S)

    async def _follow(self) -> None:
        while True:
            try:
                store = LocalStore(
                    self._config.store_path(self._number), self._config.bootstrap, self._number, lambda: None
                )
                try:
                    await self._catch_up_again_and_again(store)
                except Exception as error:
                    store.wipe_if_damaged(error)
                    raise
                finally:
                    store.close()
            except Exception as error:  # noqa: BLE001 - a standby is a convenience: it must not end for good
                log.info("standby cannot follow; trying again", partition=self._number, error=repr(error))
                await asyncio.sleep(_FOLLOW_EVERY_S)

    async def _catch_up_again_and_again(self, store: LocalStore) -> None:
        # It never begins a transaction: it only asks where the log ends.
        client = TransactionClient(self._config.bootstrap, f"holdfast-standby-{self._number}", timeout_ms=1_000)
        followed = -1
        try:
            await client.start([CHANGELOG])
            while True:
                log_start, log_end = await client.log_range(CHANGELOG, self._number)
                if log_end != followed:
                    await store.catch_up(log_start, log_end)
                    followed = log_end
                await asyncio.sleep(_FOLLOW_EVERY_S)
        finally:
            await client.close()
