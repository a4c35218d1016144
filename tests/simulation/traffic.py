"""Owns the commands that a simulation sends: few SKUs, few ids, so that they meet often."""

import json
from random import Random
from typing import Any

from schemas.partitioner import partition_of

_WAREHOUSES = ("a", "b")


def skus_of(partition: int, partitions: int) -> list[str]:
    """Return a few SKUs that belong to a partition."""
    names = (f"sku{number}" for number in range(1000))
    found = (name for name in names if partition_of(name, partitions) == partition)
    return [next(found) for _ in range(3)]


def command(random: Random, skus: list[str]) -> tuple[bytes, bytes]:
    """Make key and value of a record for `inventory.commands`."""
    pick, chance = random.choice, random.random()
    sku = pick(skus)
    if chance < 0.02:
        return sku.encode(), b"no command"
    fields: dict[str, Any] = {"command_id": f"i{random.randrange(60)}", "sku": sku}
    hold = f"h{random.randrange(12)}"
    if chance < 0.35:
        fields |= {"type": "adjust", "warehouse": pick(_WAREHOUSES)}
        fields |= {"delta": pick((-2, 3, 5, 9)), "reason": "receipt"}
    elif chance < 0.4:
        fields |= {"type": "adjust", "warehouse": pick(_WAREHOUSES)}
        fields |= {"count": random.randrange(9), "reason": "cycle_count", "bucket": pick(("damaged", "safety_stock"))}
    elif chance < 0.75:
        fields |= {"type": "reserve", "reservation_id": hold, "quantity": random.randrange(5)}
        fields |= pick(({}, {}, {"channel": "web"}, {"warehouse": pick(_WAREHOUSES)}, {"partial": True}))
        fields |= {"ttl_ms": pick((50, 400, 2_000, 9_000, 900_000))}
    elif chance < 0.85:
        fields |= {"type": "commit", "reservation_id": hold}
    elif chance < 0.92:
        fields |= {"type": "release", "reservation_id": hold}
    elif chance < 0.96:
        fields |= {"type": "extend", "reservation_id": hold, "ttl_ms": pick((100, 5_000))}
    elif chance < 0.98:
        fields |= {"type": "query", "of_command_id": f"i{random.randrange(60)}", "channel": "web", "reservations": 3}
    elif chance < 0.99:
        fields |= {"type": "set_policy", "channel": pick(("web", "*"))} | pick(({}, {"cap": 6}, {"buffer": 2}))
    else:
        return b"rules", _reference(random, fields["command_id"])
    return sku.encode(), json.dumps(fields).encode()


def _reference(random: Random, command_id: str) -> bytes:
    """Return a reference command; it reaches one partition, out of order and perhaps twice."""
    fields: dict[str, Any] = {"command_id": command_id, "version": random.randrange(1, 9)}
    if random.random() < 0.5:
        fields |= {"type": "set_warehouse", "warehouse": random.choice(_WAREHOUSES)}
        fields |= {"enabled": random.random() < 0.7, "priority": random.randrange(3)}
    else:
        fields |= {"type": "set_channel", "channel": random.choice(("web", "*")), "cap": random.randrange(4, 40)}
    return json.dumps(fields).encode()
