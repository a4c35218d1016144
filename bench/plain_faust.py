"""Owns the rival: the same job as a simple app of plain Faust, written as its documentation recommends.

One agent, one table of stock rows and one of reservations in RocksDB, results and stock changes sent to topics; JSON by
orjson, uvloop as the loop. It does less than Holdfast: it neither remembers commands nor lets reservations expire, and
its messages are shorter. Run as `python -m bench.plain_faust --bootstrap HOST:PORT --name NAME --data-dir DIR`.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any

os.environ["FAUST_LOOP"] = "uvloop"  # read when faust is imported

import faust

from bench.rival_topics import topic_names
from bench.topics import PARTITIONS


def build_app(bootstrap: str, name: str, data_dir: Path, guarantee: str) -> faust.App:
    """Put the app together.

    Args:
        bootstrap: the broker.
        name: the app's id, which names its group, its topics and its transactions.
        data_dir: where RocksDB keeps the tables.
        guarantee: `exactly_once` or `at_least_once`.
    """
    app = faust.App(
        name,
        broker=f"kafka://{bootstrap}",
        datadir=str(data_dir),
        store="rocksdb://",
        processing_guarantee=guarantee,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        web_enabled=False,
    )
    commands_name, results_name, changes_name = topic_names(name)
    commands = app.topic(commands_name, partitions=PARTITIONS, value_serializer="json", key_serializer="raw")
    results = app.topic(results_name, partitions=PARTITIONS, value_serializer="json", key_serializer="raw")
    changes = app.topic(changes_name, partitions=PARTITIONS, value_serializer="json", key_serializer="raw")
    stock = app.Table("stock", partitions=PARTITIONS)
    reservations = app.Table("reservations", partitions=PARTITIONS)
    _announce_recovery(app, stock)

    @app.agent(commands)
    async def apply(stream: Any) -> None:
        async for event in stream.events():
            command = event.value
            status, row = decide(stock, reservations, command)
            result = {"command_id": command["command_id"], "sku": command["sku"], "status": status, "stock": row}
            await results.send(key=event.key, value=result)
            if status == "accepted":
                change = {"sku": command["sku"], "cause": command["type"], "after": row}
                await changes.send(key=event.key, value=change)

    return app


def _announce_recovery(app: faust.App, stock: Any) -> None:
    assigned = time.perf_counter()

    @app.on_partitions_assigned.connect(weak=False)
    async def on_assigned(*_: Any, **__: Any) -> None:
        nonlocal assigned
        assigned = time.perf_counter()

    @stock.on_recover
    async def on_recovered() -> None:
        # On a line of its own: Faust's worker has written a code that hides the cursor.
        print(f"\nready recovered in {time.perf_counter() - assigned:.3f} s", flush=True)


def decide(stock: Any, reservations: Any, command: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """Apply one command to the tables.

    Returns:
        Whether it was accepted, and the stock row after it.
    """
    sku = command["sku"]
    row: dict[str, int] = stock.get(sku) or {"on_hand": 0, "reserved": 0}
    match command["type"]:
        case "adjust":
            row = {"on_hand": row["on_hand"] + command["delta"], "reserved": row["reserved"]}
        case "reserve":
            quantity = command["quantity"]
            if row["on_hand"] - row["reserved"] < quantity or reservations.get(command["reservation_id"]):
                return "rejected", row
            row = {"on_hand": row["on_hand"], "reserved": row["reserved"] + quantity}
            reservations[command["reservation_id"]] = {"sku": sku, "quantity": quantity, "state": "held"}
        case kind:
            reservation = reservations.get(command["reservation_id"])
            if not reservation or reservation["state"] != "held":
                return "rejected", row
            gone = reservation["quantity"] if kind == "commit" else 0
            row = {"on_hand": row["on_hand"] - gone, "reserved": row["reserved"] - reservation["quantity"]}
            reservations[command["reservation_id"]] = {**reservation, "state": f"{kind}ed"}
    stock[sku] = row
    return "accepted", row


def main() -> None:
    """Run the app as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--guarantee", default="exactly_once")
    arguments = parser.parse_args()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(arguments.bootstrap, arguments.name, arguments.data_dir, arguments.guarantee)
    faust.Worker(app, loglevel="error", loop=loop, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
