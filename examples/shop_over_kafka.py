"""A shop's backend over Kafka: an outbox, a sender that repeats, and results read by key.

    python shop_over_kafka.py shop.db order ORDER_ID SKU QUANTITY    # take an order; needs no Kafka
    python shop_over_kafka.py shop.db run HOST:PORT                  # send what waits, until every order has its answer

1. The order and its command are written in one database transaction: there is never one without the other.
2. `run` sends each command until its result is there. A crash after sending and before that is noted sends it twice,
   unchanged and under the same `command_id`; Holdfast applies it once.
3. Results are read with `read_committed`, kept when their key is a SKU that is waited for, and told apart by
   `command_id`. The order's new state and the position in the results are written in one transaction.

The state of an order is `new`, then `reserved` or the code of the refusal, such as `insufficient_stock`.
"""

import argparse
import contextlib
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

COMMANDS, RESULTS = "inventory.commands", "inventory.results"
SEND_AGAIN_AFTER_S = 5.0

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, sku TEXT, quantity INTEGER, state TEXT);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, command_id TEXT UNIQUE, order_id TEXT, sku TEXT, command TEXT, sent_at REAL);
CREATE TABLE IF NOT EXISTS positions (number INTEGER PRIMARY KEY, next INTEGER);
"""


class Shop:
    """The shop's database: orders, the commands that wait for their results, and how far the results were read."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript(_TABLES)

    def order(self, order_id: str, sku: str, quantity: int) -> None:
        """Take an order: it and its command are written together, or neither is."""
        command_id = f"{order_id}:reserve:1"
        command = {
            "command_id": command_id,
            "type": "reserve",
            "sku": sku,
            "reservation_id": order_id,
            "quantity": quantity,
            "channel": "web",
        }
        with self._db:
            self._db.execute("INSERT INTO orders VALUES (?, ?, ?, 'new')", (order_id, sku, quantity))
            self._db.execute(
                "INSERT INTO outbox (command_id, order_id, sku, command) VALUES (?, ?, ?, ?)",
                (command_id, order_id, sku, json.dumps(command)),
            )

    def due(self) -> list[tuple[str, str, str]]:
        """Return command id, SKU and command of all that were not sent, or were and are still without a result."""
        before = time.time() - SEND_AGAIN_AFTER_S
        query = "SELECT command_id, sku, command FROM outbox WHERE sent_at IS NULL OR sent_at < ? ORDER BY number"
        return self._db.execute(query, (before,)).fetchall()

    def mark_sent(self, command_id: str) -> None:
        """Note that Kafka has the command."""
        with self._db:
            self._db.execute("UPDATE outbox SET sent_at = ? WHERE command_id = ?", (time.time(), command_id))

    def waits_for(self, sku: str) -> bool:
        """Tell whether a command of the SKU is without a result."""
        return self._db.execute("SELECT 1 FROM outbox WHERE sku = ? LIMIT 1", (sku,)).fetchone() is not None

    def is_done(self) -> bool:
        """Tell whether every command has its result."""
        return self._db.execute("SELECT 1 FROM outbox LIMIT 1").fetchone() is None

    def positions(self, partitions: list[int]) -> dict[int, int]:
        """Return where to go on reading the results."""
        known: dict[int, int] = dict(self._db.execute("SELECT number, next FROM positions"))
        return {number: known.get(number, OFFSET_BEGINNING) for number in partitions}

    def take(self, partition: int, offset: int, result: dict[str, Any] | None) -> None:
        """Write what a result means for its order, and that it was read, together."""
        with self._db:
            if result is not None:
                state = "reserved" if result["status"] == "accepted" else result["code"]
                mine = (result["command_id"], result["sku"])
                found = self._db.execute("SELECT order_id FROM outbox WHERE command_id = ? AND sku = ?", mine)
                for (order_id,) in found.fetchall():
                    self._db.execute("UPDATE orders SET state = ? WHERE order_id = ?", (state, order_id))
                self._db.execute("DELETE FROM outbox WHERE command_id = ? AND sku = ?", mine)
            self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (partition, offset + 1))

    def orders(self) -> list[tuple[str, str]]:
        """Return id and state of every order."""
        return self._db.execute("SELECT order_id, state FROM orders ORDER BY order_id").fetchall()


def run(shop: Shop, bootstrap: str) -> None:
    """Send what waits and read results until every command has its result."""
    # The SKU is the key, and this partitioner is the Java client's default: without it a command lies where nobody
    # who owns its SKU looks, and is refused as `wrong_partition`.
    settings = {"enable.idempotence": True, "partitioner": "murmur2_random"}
    producer = Producer({**_connection(bootstrap), **settings})
    with contextlib.closing(_results(shop, bootstrap)) as consumer:
        pending: set[str] = set()
        while not shop.is_done():
            _send(shop, producer, pending)
            producer.poll(0)
            message = consumer.poll(0.2)
            if message is not None:
                _read(shop, message)
        producer.flush()  # what was sent again may still be on its way, though its result is here


def _connection(bootstrap: str) -> dict[str, Any]:
    """Return where Kafka is and, if the variables of Holdfast's own processes say so, how it is reached securely."""
    settings = {"bootstrap.servers": bootstrap}
    if os.environ.get("HOLDFAST_KAFKA_SECURITY") == "SASL_SSL":
        settings |= {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": os.environ["HOLDFAST_KAFKA_CA"],
            "sasl.mechanism": os.environ["HOLDFAST_KAFKA_SASL"],
            "sasl.username": os.environ["HOLDFAST_KAFKA_USERNAME"],
            "sasl.password": Path(os.environ["HOLDFAST_KAFKA_PASSWORD_FILE"]).read_text().strip(),
        }
    return settings


def _results(shop: Shop, bootstrap: str) -> Consumer:
    """Return a consumer of all partitions of the results, where the shop's database left off."""
    settings = {
        **_connection(bootstrap),
        "group.id": "shop",  # asked for by the client; positions are the database's
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings)
    numbers = list(consumer.list_topics(RESULTS, timeout=30).topics[RESULTS].partitions)
    consumer.assign([TopicPartition(RESULTS, number, at) for number, at in shop.positions(numbers).items()])
    return consumer


def _send(shop: Shop, producer: Producer, pending: set[str]) -> None:
    """Send what is due. `pending` holds the ids whose sending Kafka has neither acknowledged nor refused."""
    for command_id, sku, command in shop.due():
        if command_id in pending:
            continue
        pending.add(command_id)

        def delivered(error: object, _message: Message, command_id: str = command_id) -> None:
            pending.discard(command_id)
            if error is None:
                shop.mark_sent(command_id)

        producer.produce(COMMANDS, key=sku, value=command, on_delivery=delivered)


def _read(shop: Shop, message: Message) -> None:
    if error := message.error():
        if error.fatal():
            raise KafkaException(error)
        return
    key = (message.key() or b"").decode()
    result = json.loads(message.value()) if message.value() is not None and shop.waits_for(key) else None
    shop.take(message.partition(), message.offset(), result)


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description="A shop's backend over Kafka.")
    parser.add_argument("database")
    commands = parser.add_subparsers(dest="command", required=True)
    order = commands.add_parser("order")
    for name, kind in (("order_id", str), ("sku", str), ("quantity", int)):
        order.add_argument(name, type=kind)
    commands.add_parser("run").add_argument("bootstrap")
    given = parser.parse_args()
    shop = Shop(given.database)
    if given.command == "order":
        shop.order(given.order_id, given.sku, given.quantity)
        return
    run(shop, given.bootstrap)
    for order_id, state in shop.orders():
        print(order_id, state)


if __name__ == "__main__":
    main()
