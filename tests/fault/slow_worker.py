"""A worker whose partitions decide at most 4 commands in 20 ms, so that a small load is too much for it.

`python -m tests.fault.slow_worker worker ...` is `holdfast worker` with such partitions.
"""

import asyncio

import agents.assignment
from agents.partition import Partition
from ops.cli import main
from tests.harness import Worker

MOST_PER_S = 160  # of one partition: a transaction takes 5 ms beside


class SlowPartition(Partition):
    """A partition that takes its time."""

    async def _commit(self, records, read_to):
        await asyncio.sleep(0.02)
        self._batch_limit = 4
        return await super()._commit(records, read_to)


class SlowWorker(Worker):
    """A worker of such partitions."""

    MODULE = "tests.fault.slow_worker"


if __name__ == "__main__":
    agents.assignment.Partition = SlowPartition
    main()
