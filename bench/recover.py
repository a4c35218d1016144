"""Owns the processes whose reading is measured: a worker's RECOVER of all partitions, and a bare read of whole topics.

Run as `python -m bench.recover --bootstrap HOST:PORT ledger --data-dir DIR` or `... bare --topic NAME`, with `--topic`
for each of them; prints one line of JSON.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from agents.config import WorkerConfig
from agents.partition import Partition
from bench import logs
from bench.topics import PARTITIONS


async def recover_ledger(bootstrap: str, data_dir: Path) -> dict[str, float]:
    """Measure RECOVER of all partitions at once, as after an assignment, with the stores that are there."""
    config = WorkerConfig(bootstrap=bootstrap, data_dir=data_dir, partitions=PARTITIONS)
    partitions = [Partition(number, config, lambda: True) for number in range(PARTITIONS)]
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(partition.recover() for partition in partitions))
    taken = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    await asyncio.gather(*(partition.revoke() for partition in partitions))
    return taken


async def read_bare(bootstrap: str, topics: Sequence[str]) -> dict[str, float]:
    """Time a read_committed reading of whole topics, one after the other, that does nothing with them."""
    started, cpu = time.perf_counter(), time.process_time()
    rows = sum([await logs.count(bootstrap, topic) for topic in topics])
    return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "rows": rows}


def main() -> None:
    """Run one of the two as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("what", choices=("ledger", "bare"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--topic", action="append", default=[])
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    work = (
        read_bare(arguments.bootstrap, arguments.topic)
        if arguments.what == "bare"
        else recover_ledger(arguments.bootstrap, arguments.data_dir)
    )
    print(json.dumps(uvloop.run(work)), flush=True)


if __name__ == "__main__":
    main()
