"""Owns the worker process: it locks the data directory, checks the cluster, and runs the Faust app until a signal."""

import asyncio
import fcntl
import gc
import os
import signal
import sys
from pathlib import Path
from typing import IO

import structlog
import uvloop
from aiokafka.errors import KafkaError

from agents.app import LedgerApp, build_app, instance_id
from agents.config import WorkerConfig
from agents.status import StatusWriter
from agents.transactions import check_transactions_v2
from agents.watchdog import watching

_STOP_WITHIN_S = 5.0
_SAY_STOPPED_WITHIN_S = 1.0

log = structlog.get_logger()


def run(config: WorkerConfig) -> int:
    """Run a worker in the foreground until SIGTERM or SIGINT.

    Prints `ready ...` to standard output once its partitions are assigned and recovered; logs go to standard error.

    Returns:
        The exit code: 0 after a signal, 1 after a failure.

    Raises:
        RuntimeError: the data directory belongs to another process, or the cluster cannot be used.
    """
    _collect_seldom()
    lock = lock_directory(config.data_dir)
    try:
        return uvloop.run(_run(config))
    finally:
        lock.close()


def _collect_seldom() -> None:
    """Make garbage collections seldom: rows and results have no cycles, and one over a full cache stops the loop."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def lock_directory(data_dir: Path) -> IO[str]:
    """Lock a data directory for this process.

    Raises:
        RuntimeError: it cannot be used, or belongs to another process.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if (data_dir / "server.properties").exists():
            raise RuntimeError(f"{data_dir} is a broker's; give the worker a --data-dir of its own")
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise RuntimeError(f"{data_dir} cannot be used ({error.strerror}); choose another --data-dir") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RuntimeError(f"{data_dir} is in use by another worker; give each its own --data-dir") from error
    return lock


async def _run(config: WorkerConfig) -> int:
    async with watching(config.data_dir / "stood-still.txt"):
        return await _run_until_stopped(config)


async def _run_until_stopped(config: WorkerConfig) -> int:
    app = await _start(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    status = StatusWriter(config.bootstrap, instance_id(config.data_dir), app.partitions)
    saying = asyncio.create_task(status.run())
    announcing = asyncio.create_task(_announce(app, config))
    crashed = asyncio.create_task(_wait_for_crash(app))
    await asyncio.wait({asyncio.create_task(stop.wait()), crashed}, return_when=asyncio.FIRST_COMPLETED)
    announcing.cancel()
    failed = not stop.is_set()
    # Not `wait_for`: it would wait for ever for a task that loses its cancellation (see `CommandReader`), and so would
    # the end of the loop. Nothing here needs an orderly end: the next owner settles open transactions.
    stopping = asyncio.create_task(_stop(app, status, saying))
    if not (await asyncio.wait({stopping}, timeout=_STOP_WITHIN_S))[0]:
        log.warning("stopping took too long; the rest is left to the next owner")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if failed else 0)
    await stopping
    return 1 if failed else 0


async def _start(config: WorkerConfig) -> LedgerApp:
    """Start an app as soon as Kafka answers; if Kafka goes away during the start, wait for it once more."""
    while True:
        await _await_cluster(config)
        app = build_app(config)
        try:
            await app.maybe_start()
        except KafkaError as error:
            log.warning("no Kafka answers; waiting for it", bootstrap=config.bootstrap, error=repr(error))
            await app.stop()
            await asyncio.sleep(1.0)
        else:
            return app


async def _await_cluster(config: WorkerConfig) -> None:
    while True:
        try:
            await check_transactions_v2(config.bootstrap)
        except KafkaError as error:
            log.warning("no Kafka answers; waiting for it", bootstrap=config.bootstrap, error=repr(error))
            await asyncio.sleep(1.0)
        else:
            return


async def _wait_for_crash(app: LedgerApp) -> None:
    while not app.crashed:
        await asyncio.sleep(0.1)
    log.error("the worker failed", reason=repr(app.crash_reason))


async def _announce(app: LedgerApp, config: WorkerConfig) -> None:
    """Print the ready line once the group has assigned partitions and all of them are recovered."""
    while not (app.tables.actives_ready and app.partitions.are_open):
        await asyncio.sleep(0.02)
    numbers = ",".join(str(number) for number in app.partitions.numbers)
    print(f"ready worker {instance_id(config.data_dir)[:8]} partitions {numbers or 'none'}", flush=True)  # noqa: T201


async def _stop(app: LedgerApp, status: StatusWriter, saying: "asyncio.Task[None]") -> None:
    if app.ticker is not None:
        await app.ticker.stop()
    await app.follow_standbys(())
    await app.stop()
    saying.cancel()
    await asyncio.wait({saying}, timeout=_SAY_STOPPED_WITHIN_S)
    await status.close()
