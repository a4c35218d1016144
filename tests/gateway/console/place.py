"""Owns where the console is tested: a real broker, a worker and gateways, and what is brought about in them."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from aiokafka import AIOKafkaProducer

from ops.child import die_with_parent
from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.topics import COMMANDS
from tests.harness import PARTITIONS, Worker

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKUP = "<img src=x onerror=alert(1)>"
HIDDEN = "mug\u202e-4\u200b"


class Served:
    """One gateway as a process."""

    def __init__(self, bootstrap, log, **settings):
        options = ("--bootstrap", bootstrap, "--partitions", str(PARTITIONS), "--port", "0", "--request-timeout", "3")
        with log.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "gateway", *options],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=os.environ | {f"HOLDFAST_{name.upper()}": str(value) for name, value in settings.items()},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks Linux to end the child with its starter
            )
        line = next((line for line in self.process.stdout if line.startswith("ready ")), None)
        assert line, log.read_text()
        self.url = line.split()[1]

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


class Place:
    """A broker, a worker and an open gateway."""

    def __init__(self, folder):
        self.folder = folder
        self.broker = Broker(folder / "broker")
        self.broker.start()
        asyncio.run(ensure_topics(self.broker.bootstrap, PARTITIONS))
        self.worker = Worker(self.broker.bootstrap, folder / "worker")
        self.gateway = self.serve("gateway")
        asyncio.run(self.worker.ready())
        self.client = httpx.Client(base_url=self.gateway.url, timeout=20)
        self._keys = 0

    def serve(self, name, **settings):
        return Served(self.broker.bootstrap, self.folder / f"{name}.log", **settings)

    def send(self, path, body, method="POST"):
        """Send a command over HTTP; it must be accepted."""
        self._keys += 1
        answer = self.client.request(method, path, json=body, headers={"Idempotency-Key": f"seed-{self._keys}"})
        assert answer.status_code < 300, answer.text
        return answer.json()

    def publish(self, records):
        """Put records `(partition, key, value)` into the log as they are."""
        # The browser's driver runs a loop in this thread.
        with ThreadPoolExecutor() as beside:
            beside.submit(asyncio.run, self._publish(records)).result()

    async def _publish(self, records):
        async with AIOKafkaProducer(bootstrap_servers=self.broker.bootstrap) as producer:
            for partition, key, value in records:
                await producer.send_and_wait(COMMANDS, value, key=key, partition=partition)

    def until(self, path, done, within_s=20):
        """Wait until a read says that something has come."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            answer = self.client.get(path)
            if answer.status_code == 200 and done(answer.json()):
                return
            time.sleep(0.05)
        raise AssertionError(f"{path}: {answer.text}")

    def end(self):
        self.client.close()
        self.gateway.end()
        self.worker.process.kill()
        self.worker.process.wait()
        self.broker.kill()


def fill(place):
    place.send("/v1/channels/web", {"version": 1, "backorder_limit": 50}, "PUT")
    goods = {"reason": "receipt", "actor": "mia"}
    for warehouse, units in (("leeds", 40), ("york", 12)):
        place.send("/v1/adjustments", {"sku": "mug-1", "warehouse": warehouse, "delta": units, **goods})
    for number in range(23):
        hold = {"sku": "mug-1", "reservation_id": f"cart-{number:02d}", "quantity": 1, "channel": "web"}
        place.send("/v1/reservations", hold)
    place.send(
        "/v1/inbounds", {"sku": "mug-1", "inbound_id": "PO-1", "warehouse": "leeds", "quantity": 30, "eta_at": soon()}
    )
    place.send("/v1/adjustments", {"sku": "mug-2", "warehouse": "leeds", "delta": 5, **goods})
    place.send("/v1/reservations", {"sku": "mug-2", "reservation_id": "order-9", "quantity": 5, "channel": "web"})
    wait = {"sku": "mug-2", "reservation_id": "order-10", "quantity": 3, "channel": "web", "wait": "any"}
    place.send("/v1/reservations", wait)
    place.send("/v1/adjustments", {"sku": "mug-2", "warehouse": "leeds", "count": 2, "reason": "cycle_count"})
    for sku in (MARKUP, HIDDEN):
        place.send("/v1/adjustments", {"sku": sku, "warehouse": "leeds", "delta": 7, **goods})
    unread = {
        "command_id": "erp-1",
        "type": "adjust",
        "sku": "mug-3",
        "warehouse": "hull",
        "delta": "5",
        "reason": "receipt",
    }
    now = time.time_ns() // 1_000_000
    feed = {"command_id": "feed-1", "type": "set_feed", "feed": "wms-hull", "version": 1, "rows": 400, "refused": 2}
    feed |= {"as_of_at": now - 3_600_000, "interval_ms": 600_000}
    place.publish(
        [
            (2, b"mug-3", json.dumps(unread).encode()),
            *((partition, b"feed/wms-hull", json.dumps(feed).encode()) for partition in range(PARTITIONS)),
        ]
    )
    place.until("/v1/dead-letters", lambda found: len(found["items"]) == 1)
    place.until("/v1/feeds", lambda found: len(found["items"]) == 1)
    place.until("/v1/skus?shortfall=true", lambda found: len(found["items"]) == 1)


def soon():
    return time.time_ns() // 1_000_000 + 3 * 86_400_000
