"""Owns the Faust app: its configuration, the agent that applies batches, the ticks, and the standbys."""

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP
from yarl import URL

from agents.assignment import Partitions
from agents.config import WorkerConfig
from agents.placement import LedgerTables
from agents.standby import Standby
from agents.transport import LedgerTransport
from schemas.codec import encode
from schemas.commands import Tick
from schemas.kafka_connection import kafka_options
from schemas.topics import CHANGELOG, COMMANDS, GROUP

# More than the transport ever passes on, so Faust's own limit never applies (see `BatchConsumer.on_buffer_full`).
_STREAM_BUFFER = 64
_TICK_CHECK_S = 0.2
# While a queue is unfinished. Some 3,500 are served in a second, and the commands of others come in between.
_SETTLE_EVERY_S = 0.01
_TICK_WITHIN_S = 5.0
_LONG_S = 3600.0
_INSTANCE = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger()


class LedgerApp(faust.App):
    """A Faust app whose agents fold commands into ledgers."""

    def __init__(self, config: WorkerConfig) -> None:
        self.worker_config = config
        instance = instance_id(config.data_dir)
        super().__init__(
            GROUP,
            broker=f"kafka://{config.bootstrap.replace(',', ';')}",
            datadir=str(config.data_dir / "faust"),
            store="memory://",
            # Members are told apart by their URL, and two workers on one machine would share Faust's default.
            canonical_url=f"http://{instance}.holdfast.internal",
            web_enabled=False,
            broker_client_id=f"holdfast-worker-{instance[:8]}",
            consumer_group_instance_id=instance,
            broker_session_timeout=config.session_timeout_s,
            broker_heartbeat_interval=config.session_timeout_s / 6,
            broker_rebalance_timeout=config.session_timeout_s,
            broker_max_poll_interval=_LONG_S,
            # Faust's limit for RECOVER; requests have their own limits.
            broker_request_timeout=_LONG_S,
            broker_commit_interval=5.0,
            broker_commit_livelock_soft_timeout=_LONG_S,
            stream_buffer_maxsize=_STREAM_BUFFER,
            stream_wait_empty=False,
            stream_processing_timeout=_LONG_S,
            topic_partitions=config.partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=config.standbys,
            TableManager=LedgerTables,
        )
        self.partitions = Partitions(config, self.crash)
        self.transport = LedgerTransport([URL(self.conf.broker[0])], self)
        self.ticker: AIOKafkaProducer | None = None
        self.settling: asyncio.Future[None] | None = None
        self.standbys: dict[int, Standby] = {}

    async def follow_standbys(self, standbys: Iterable[TP]) -> None:
        """Follow the changelog of these partitions into their local stores; stop all other standbys."""
        wanted = {tp.partition for tp in standbys}
        gone = [self.standbys.pop(number) for number in set(self.standbys) - wanted]
        await asyncio.gather(*(standby.stop() for standby in gone))
        for number in wanted - set(self.standbys):
            self.standbys[number] = Standby(number, self.worker_config)


def instance_id(data_dir: Path) -> str:
    """Return the worker's instance id from its data directory; make one at the first start.

    Raises:
        RuntimeError: the file holds no instance id.
    """
    path = data_dir / "instance-id"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Written in one step: with half of an instance id the worker could never start again.
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(uuid4().hex)
        unfinished.replace(path)
    found = path.read_bytes().strip()
    if not _INSTANCE.fullmatch(found):
        raise RuntimeError(f"{path} holds no identity of a worker; remove it, and the worker makes itself a new one")
    return found.decode()


def build_app(config: WorkerConfig) -> LedgerApp:
    """Put the app together: the commands topic, the ledger as a table, the agent, the ticks."""
    app = LedgerApp(config)
    commands = app.topic(COMMANDS, value_serializer="raw", acks=False, partitions=config.partitions)
    changelog = app.topic(CHANGELOG, value_serializer="raw", acks=False, partitions=config.partitions)
    app.Table("ledger", changelog_topic=changelog, partitions=config.partitions)

    @app.agent(commands, isolated_partitions=True, name="inventory")
    async def inventory(batches: Any) -> None:
        async for fetched in batches:
            # This is an announcement: by now more may have been fetched.
            await app.partitions.serve(fetched.partition)

    @app.timer(_TICK_CHECK_S)
    async def tick() -> None:
        try:
            app.consumer.check_group()
        except Exception as error:
            log.exception("the worker is no member of its group any more")
            await app.crash(error)
            return
        app.partitions.recover_hanging()
        if app.settling is not None and not app.settling.done():
            return
        await write_due_ticks(app)
        if app.partitions.are_settling:
            app.settling = app.add_future(keep_settling(app))

    return app


async def keep_settling(app: LedgerApp) -> None:
    """Write ticks often, a few at a time, until no queue is unfinished."""
    while app.partitions.are_settling:
        await asyncio.sleep(_SETTLE_EVERY_S)
        await write_due_ticks(app)


async def write_due_ticks(app: LedgerApp) -> None:
    """Write ticks where a reservation is due or a queue is unfinished, in case no command comes."""
    now_ms = time.time_ns() // 1_000_000
    due = app.partitions.due(now_ms)
    if not due:
        return
    try:
        ticker = app.ticker or await _start_ticker(app)
        value = encode(Tick())
        numbers = [number for number, count in due.items() for _ in range(count)]
        ticks = asyncio.gather(*(ticker.send_and_wait(COMMANDS, value, partition=number) for number in numbers))
        await asyncio.wait_for(ticks, _TICK_WITHIN_S)
    except (KafkaError, TimeoutError) as error:
        log.info("ticks could not be written; the next round tries again", error=repr(error))


async def _start_ticker(app: LedgerApp) -> AIOKafkaProducer:
    ticker = AIOKafkaProducer(bootstrap_servers=app.worker_config.bootstrap, acks="all", **kafka_options())
    try:
        await ticker.start()
    except BaseException:
        await ticker.stop()
        raise
    app.ticker = ticker
    return ticker
