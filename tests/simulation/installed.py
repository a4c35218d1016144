"""Owns the seams: which names of the product's modules mean something simulated while simulations run."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.simulation.disks import DiskStore
from tests.simulation.network import Client, Producer


class _Log:
    """In place of structlog's logger: says it to the world that runs, if anybody listens."""

    def __init__(self, **bound: Any) -> None:
        self._bound = bound

    def bind(self, **more: Any) -> "_Log":
        return _Log(**self._bound | more)

    def info(self, event: str, *args: Any, **fields: Any) -> None:
        if note := Seams.note:
            note(event % args if args else event, self._bound | fields)

    warning = info
    exception = info
    debug = info


class Seams:
    """What the world that runs at the moment answers."""

    note: Callable[[str, dict[str, Any]], None] | None = None
    wall_ms: Callable[[], int] = staticmethod(lambda: time.time_ns() // 1_000_000)
    new_id: Callable[[], str] = staticmethod(lambda: uuid.uuid4().hex)
    hit: Callable[[str], None] = staticmethod(lambda _: None)


# Names are bound when a module is loaded; the world that answers comes later.
def _wall_clock_ms() -> int:
    return Seams.wall_ms()


def _hit(name: str) -> None:
    Seams.hit(name)


@contextmanager
def installed() -> Iterator[None]:
    """Put the simulation under the product's modules."""
    log = _Log()
    places: dict[str, Any] = {
        "agents.transactions.AIOKafkaClient": Client,
        "agents.reading.AIOKafkaClient": Client,
        "agents.app.AIOKafkaProducer": Producer,
        "agents.app.time": SimpleNamespace(time_ns=lambda: Seams.wall_ms() * 1_000_000),
        "agents.local_store.RocksStore": DiskStore,
        "agents.local_store.wall_clock_ms": _wall_clock_ms,
        "tables.ledger.wall_clock_ms": _wall_clock_ms,
        "agents.partition.uuid": SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=Seams.new_id())),
        "agents.failpoints.hit": _hit,
        **{
            f"agents.{module}.log": log
            for module in ("partition", "local_store", "reading", "app", "hanging", "transactions", "assignment")
        },
    }
    patches = [patch(place, thing) for place, thing in places.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
