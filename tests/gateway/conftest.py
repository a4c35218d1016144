"""Fixtures of the gateway's tests: a fake ledger in the process, a scripted one behind Kafka, and HTTP clients."""

import asyncio
import contextlib
import json
from collections.abc import Sequence

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from gateway.app import Gateway
from gateway.compose import Composed
from gateway.config import GatewayConfig
from gateway.loads import Loads
from gateway.pending import Answer, _head_of
from gateway.requests import Answered
from schemas.topics import COMMANDS, RESULTS, STOCK_CHANGES
from tests.secure import running_broker

PARTITIONS = 4


@pytest.fixture(scope="session")
def broker_of_events(tmp_path_factory):
    """Return a Kafka of its own for events that say less than a worker's: readers of the other one would stumble."""
    with running_broker(tmp_path_factory.mktemp("events") / "broker") as broker:
        yield broker


def result_of(command: dict, *, offset: int = 7, partition: int = 0, **changed) -> dict:
    """Write a result as the ledger would, accepted unless told otherwise."""
    return {
        "command_id": command["command_id"],
        "type": command["type"],
        "sku": command.get("sku", ""),
        "status": "rejected" if changed.get("code") else "accepted",
        "code": None,
        "replayed": False,
        "reservation": None,
        "stock": [],
        "shortfall": False,
        "seq": 1,
        "at": 1_764_000_000_000,
        "partition": partition,
        "offset": offset,
        **changed,
    }


def change_of(sku: str, warehouse: str, seq: int, *, on_hand: int, reserved: int = 0, safety_stock: int = 0) -> dict:
    """Write a stock change as the ledger would."""
    return {
        "sku": sku,
        "warehouse": warehouse,
        "seq": seq,
        "at": 1_764_000_000_000 + seq,
        "cause": {"type": "adjust", "command_id": f"c{seq}"},
        "delta": {"on_hand": on_hand},
        "after": {
            "on_hand": on_hand,
            "reserved": reserved,
            "damaged": 0,
            "safety_stock": safety_stock,
            "inbound": 0,
            "available": on_hand - reserved - safety_stock,
        },
        "shortfall": reserved > on_hand,
    }


class FakeLedger:
    """Answers in the process: keeps the commands, and gives the results that `answer` makes."""

    def __init__(self):
        self.commands: list[dict] = []
        self.posted: list[dict] = []
        self.answer = result_of
        self.error: Exception | None = None
        self.unavailable: str | None = None
        self.in_flight = 0
        self.loads = Loads(PARTITIONS, shed_after_ms=1_000)
        self.seen = asyncio.Event()
        self.watched: tuple[str, str] | None = None

    async def ask(self, command: Composed) -> Answer:
        self.commands.append(json.loads(command.value))
        if self.error is not None:
            raise self.error
        document = json.dumps(self.answer(self.commands[-1])).encode()
        return Answer(_head_of(document), document)

    async def ask_everywhere(self, command: Composed) -> list[Answer]:
        return [await self.ask(command) for _ in range(PARTITIONS)]

    async def post(self, command: Composed) -> None:
        if self.error is not None:
            raise self.error
        self.posted.append(json.loads(command.value))

    async def ask_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        for number, command in enumerate(commands):
            answered(number, await self.ask(command))

    async def post_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        for number, command in enumerate(commands):
            await self.post(command)
            answered(number, None)

    @contextlib.contextmanager
    def watching(self, sku: str, command_id: str):
        self.watched = (sku, command_id)
        yield self.seen


@pytest.fixture
def ledger():
    return FakeLedger()


@pytest.fixture
async def gateway(ledger):
    """Return a gateway over the fake ledger, its view empty and complete."""
    gateway = Gateway(GatewayConfig(partitions=PARTITIONS, request_timeout_s=0.2), ledger)
    gateway.reader.complete.set()
    gateway.rules_reader.complete.set()
    return gateway


@pytest.fixture
async def client(gateway):
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    json = {"content-type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=json) as client:
        yield client


class ScriptedLedger:
    """Reads commands from Kafka and answers with the results (and stock changes) that its script gives.

    `script` takes a command (a dict with `partition` and `offset` beside its own fields) and gives results; by default
    it remembers commands by id as the ledger does. While `silent` it reads and gives nothing.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.seen: list[dict] = []
        self.remembered: dict[str, tuple[dict, dict]] = {}
        self.script = self.remember
        self.silent = False

    def remember(self, command: dict) -> list[dict]:
        content = {name: value for name, value in command.items() if name not in ("partition", "offset")}
        place = {"partition": command["partition"], "offset": command["offset"]}
        known = self.remembered.get(command["command_id"])
        if known is None:
            result = result_of(command, **place)
            self.remembered[command["command_id"]] = (content, result)
            return [result]
        if known[0] != content:
            return [result_of(command, code="idempotency_mismatch", **place)]
        return [{**known[1], "replayed": True}]

    async def run(self, started: asyncio.Event) -> None:
        settings = {"bootstrap_servers": self._bootstrap}
        consumer = AIOKafkaConsumer(**settings, auto_offset_reset="none", enable_auto_commit=False)
        partitions = [TopicPartition(COMMANDS, number) for number in range(PARTITIONS)]
        self.producer = AIOKafkaProducer(**settings)
        await consumer.start()
        await self.producer.start()
        try:
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            for partition, end in ends.items():
                consumer.seek(partition, end)
            started.set()
            async for record in consumer:
                command = {**json.loads(record.value), "partition": record.partition, "offset": record.offset}
                self.seen.append(command)
                for result in [] if self.silent else self.script(command):
                    await self.publish(RESULTS, record.key, record.partition, result)
        finally:
            await consumer.stop()
            await self.producer.stop()

    async def publish(self, topic: str, key: bytes, partition: int, document: dict) -> None:
        await self.producer.send_and_wait(topic, json.dumps(document).encode(), key=key, partition=partition)

    async def change(self, partition: int, document: dict) -> None:
        key = f"{document['sku']}/{document['warehouse']}".encode()
        await self.publish(STOCK_CHANGES, key, partition, document)


@contextlib.asynccontextmanager
async def scripted_ledger(bootstrap: str):
    """Run a scripted ledger for as long as the block lasts."""
    ledger = ScriptedLedger(bootstrap)
    started = asyncio.Event()
    task = asyncio.ensure_future(ledger.run(started))
    waiting = asyncio.ensure_future(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield ledger
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def helpers():
    """Return the makers of documents, and of scripted ledgers, to the test modules."""
    return Helpers


class Helpers:
    partitions = PARTITIONS
    result_of = staticmethod(result_of)
    change_of = staticmethod(change_of)
    scripted_ledger = staticmethod(scripted_ledger)
