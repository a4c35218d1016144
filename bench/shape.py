"""Owns the shape of Holdfast's outputs, in records and bytes per command, so that the floor can write as much."""

import msgspec

from bench import logs
from schemas.topics import CHANGELOG, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY


class TopicShape(msgspec.Struct):
    """The records of one topic: how many per command, and their mean sizes in bytes."""

    per_command: float
    key_bytes: int
    value_bytes: int


class Shape(msgspec.Struct):
    """The records of each topic, and the commands per transaction (each transaction writes one position row)."""

    topics: dict[str, TopicShape]
    commands_per_transaction: int


async def measure(bootstrap: str, commands: int) -> Shape:
    """Return the shape of a worker's outputs for so many commands."""
    topics, transactions = {}, 0
    for topic in (RESULTS, STOCK_CHANGES, CHANGELOG):
        records = key_bytes = value_bytes = 0
        async for chunk in logs.read(bootstrap, topic):
            for record in chunk:
                if topic == CHANGELOG and record.key == POSITION_KEY:
                    transactions += 1
                    continue
                records += 1
                key_bytes += len(record.key)
                value_bytes += len(record.value or b"")
        topics[topic] = TopicShape(
            round(records / commands, 4), round(key_bytes / max(1, records)), round(value_bytes / max(1, records))
        )
    return Shape(topics, max(1, round(commands / max(1, transactions))))
