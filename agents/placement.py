"""Owns how Faust's tables see the ledger: registered, so that its assignor places partitions and standbys; no more.

Faust would restore a table from its changelog record by record and before anything else, without fencing. The ledger
recovers itself (`agents/partition.py`), so this manager skips that part and keeps the rest of the rebalance.
"""

from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsistencyError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service


class LedgerRecovery(Recovery):
    """Goes from an assignment straight to the streams; the ledgers recover beside them, each for itself."""

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            try:
                await self.app.follow_standbys(self.standby_tps)
                self.app.partitions.start_recoveries()
                await self._resume_streams(generation_id=self._generation_id)
            except (RebalanceAgain, IllegalStateError):
                continue
            except (ServiceStopped, ConsistencyError):
                return

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Leave the changelog alone: Faust's consumer is subscribed to it, but never reads it."""

    @Service.task
    async def _publish_stats(self) -> None:
        """Say nothing: a partition reports its own progress."""


class LedgerTables(TableManager):
    """Faust's table manager without its delay at the start and without its recovery."""

    @property
    def recovery(self) -> Recovery:
        """Return the recovery service."""
        found: Recovery | None = self.__dict__.get("_recovery")
        if found is None:
            found = self._recovery = LedgerRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return found

    async def on_start(self) -> None:
        """Start without Faust's second of waiting for tables: there is one, and it is there."""
        await self._update_channels()
        await self.recovery.start()
