"""Owns the ledger's registration as a Faust table, so that Faust's assignor places partitions and standbys.

Faust would restore a table record by record, before anything else and without fencing. The ledger recovers by itself
(`agents/partition.py`), so this manager skips the restoring and keeps the rest of the rebalance.
"""

from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsistencyError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service


class LedgerRecovery(Recovery):
    """Starts the streams right after an assignment; each ledger recovers by itself meanwhile."""

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
        """Do nothing: Faust's consumer is subscribed to the changelog but never reads it."""

    @Service.task
    async def _publish_stats(self) -> None:
        """Do nothing: each partition reports its own progress."""


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
        """Start without Faust's wait of a second for tables: the only one is there already."""
        await self._update_channels()
        await self.recovery.start()
