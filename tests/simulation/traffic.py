"""Owns the commands that a simulation sends: few SKUs, few ids, so that they meet often; and crowds."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from schemas.partitioner import partition_of

_WAREHOUSES = ("a", "b")
# Few, so that commands meet; those with a `w` are also of crowds.
_HOLDS = ("h0", "h0", "h1", "h1", "h2", "w0", "w1", "w2")
_DELIVERIES = ("b0", "b0", "b1", "w0")


def skus_of(partition: int, partitions: int) -> list[str]:
    """Return a few SKUs that belong to a partition."""
    names = (f"sku{number}" for number in range(1000))
    found = (name for name in names if partition_of(name, partitions) == partition)
    return [next(found) for _ in range(3)]


class Traffic:
    """The commands of one world; those that change something mostly mean what an earlier one made."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._made: list[tuple[str, str, str]] = []  # type of the command, SKU, id of the reservation or delivery

    def command(self, skus: list[str], now_ms: int) -> tuple[bytes, bytes]:
        """Make key and value of a record for `inventory.commands`."""
        random = self._random
        sku = random.choice(skus)
        if random.random() < 0.02:
            return sku.encode(), b"no command"
        kinds, weights = zip(*_KINDS, strict=True)
        (make,) = random.choices(kinds, weights)
        fields = make(random, now_ms)
        command_id = f"i{random.randrange(90)}"
        if fields["type"] in {"set_warehouse", "set_channel"}:
            return b"rules", json.dumps(fields | {"command_id": command_id}).encode()
        sku = self._meet(fields, sku, skus)
        self._note(fields, sku)
        return sku.encode(), json.dumps(fields | {"command_id": command_id, "sku": sku}).encode()

    def crowd(self, skus: list[str], now_ms: int) -> list[tuple[bytes, bytes]]:
        """Make the records of a crowd."""
        sku, name = self._random.choice(skus), f"{self._random.getrandbits(32):x}"
        records = []
        for number, fields in enumerate(_crowd(self._random, now_ms)):
            self._note(fields, sku)
            command = fields | {"command_id": f"w{name}-{number}", "sku": sku}
            records.append((sku.encode(), json.dumps(command).encode()))
        return records

    def _note(self, fields: dict[str, Any], sku: str) -> None:
        if fields["type"] in _MADE_BY.values():
            self._made.append((fields["type"], sku, fields.get("reservation_id") or fields["inbound_id"]))

    def _meet(self, fields: dict[str, Any], sku: str, skus: list[str]) -> str:
        """Give a command, mostly, the id of something that was made before it; return its SKU."""
        by = _MADE_BY.get(fields["type"])
        made = [(of, name) for type_, of, name in self._made if type_ == by and of in skus]
        if not made or self._random.random() < 0.3:
            return sku
        sku, name = self._random.choice(made)
        fields["inbound_id" if by == "expect_inbound" else "reservation_id"] = name
        return sku


# Which command makes what another one changes.
_MADE_BY = dict.fromkeys(("commit", "release", "extend", "amend", "reallocate"), "reserve") | {"return": "commit"}
_MADE_BY |= dict.fromkeys(("amend_inbound", "receive_inbound", "cancel_inbound"), "expect_inbound")


def _crowd(random: Random, now_ms: int) -> Iterator[dict[str, Any]]:
    """Yield commands by which many come to wait for a SKU, and then goods come for all of them.

    What one record settles of it is a part: the SKU is `settling` for some records more.
    """
    pick, size = random.choice, random.choice((9, 20, 40))
    policy = {"backorder_limit": 500, "presell_horizon_ms": 60_000, "enabled": True}
    policy["cap"] = pick((5, 1_000, 1_000, 1_000))
    yield {"type": "adjust", "warehouse": "a", "delta": 1, "reason": "receipt"}
    yield {"type": "set_policy", "channel": "*"} | policy
    delivery, announced = {"inbound_id": "w0"}, random.random() < 0.4
    if announced:
        announcement = {"warehouse": "b", "quantity": size, "eta_at": now_ms + 50_000}
        yield {"type": "expect_inbound"} | delivery | announcement
    for number in range(size):
        hold = {"reservation_id": f"w{number}", "quantity": pick((1, 2)), "wait": "any", "ttl_ms": pick((0, 900))}
        yield {"type": "reserve"} | hold | pick(({}, {"channel": "web"}))
    if announced:
        outcomes = [
            {"type": "amend_inbound", "eta_at": now_ms + 40_000},
            {"type": "receive_inbound", "quantity": size - 1, "final": True},
            {"type": "cancel_inbound"},
        ]
        yield pick(outcomes) | delivery
    yield {"type": "adjust", "warehouse": pick(_WAREHOUSES), "delta": pick((size, 2 * size)), "reason": "receipt"}


def _hold(random: Random) -> dict[str, Any]:
    return {"reservation_id": random.choice(_HOLDS)}


def _delivery(random: Random) -> dict[str, Any]:
    return {"inbound_id": random.choice(_DELIVERIES)}


def _two(random: Random, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(("from", "to"), random.sample(names, 2), strict=True))


def _adjust(random: Random, _: int) -> dict[str, Any]:
    fields = {"type": "adjust", "warehouse": random.choice(_WAREHOUSES)}
    if random.random() < 0.85:
        fields |= random.choices(({}, {"expected_on_hand": 3}), (9, 1))[0]
        return fields | {"delta": random.choice((-2, 3, 5, 9)), "reason": "receipt"}
    bucket = random.choice(("damaged", "safety_stock", "quarantine"))
    return fields | {"count": random.randrange(9), "reason": "cycle_count", "bucket": bucket}


def _reserve(random: Random, now_ms: int) -> dict[str, Any]:
    pick = random.choice
    ttl_ms = pick((50, 400, 2_000, 9_000, 900_000, 900_000, 0))
    fields = {"type": "reserve", "quantity": pick((0, 1, 1, 2, 2, 3, 4, 6)), "ttl_ms": ttl_ms}
    fields |= pick(({}, {}, {"channel": "web"}, {"warehouse": pick(_WAREHOUSES)}, {"partial": True}, {"region": "n"}))
    return fields | _hold(random) | pick(({}, _wait(random, now_ms)))


def _wait(random: Random, now_ms: int) -> dict[str, Any]:
    return random.choice(({"wait": "any"}, {"wait": "inbound"}, {"wait": "inbound", "promise_by": now_ms + 5_000}))


def _change_hold(random: Random, now_ms: int) -> dict[str, Any]:
    pick, fields = random.choice, _hold(random)
    fields |= random.choices(({}, {"channels": ["web"]}, {"channels": ["web", "default"]}), (8, 1, 1))[0]
    type_ = pick(("commit", "commit", "release", "extend", "amend", "reallocate", "return", "return"))
    fields["type"] = type_
    if type_ == "extend":
        return fields | {"ttl_ms": pick((100, 5_000))}
    if type_ == "amend":
        return fields | {"quantity": random.randrange(1, 9)} | pick(({}, {"partial": True}, _wait(random, now_ms)))
    if type_ == "return":
        disposition = {"disposition": pick(("restock", "damaged", "inspect"))}
        return fields | {"warehouse": pick(_WAREHOUSES), "quantity": random.randrange(1, 3)} | disposition
    if type_ == "reallocate":
        fields |= _two(random, _WAREHOUSES)
    return fields | pick(({}, {"quantity": random.randrange(1, 3)}))


def _deliver(random: Random, now_ms: int) -> dict[str, Any]:
    pick, eta = random.choice, {"eta_at": now_ms + random.choice((-5, 800, 5_000, 60_000))}
    units = {"quantity": random.randrange(1, 9)}
    kinds = [
        {"type": "expect_inbound", "warehouse": pick(_WAREHOUSES)} | eta | units,
        {"type": "receive_inbound"} | units | pick(({}, {"damaged": 1}, {"final": True})),
        {"type": "amend_inbound"} | pick((eta, units, eta | units)),
        {"type": "cancel_inbound"},
    ]
    return _delivery(random) | random.choices(kinds, (4, 3, 2, 1))[0]


def _move(random: Random, now_ms: int) -> dict[str, Any]:
    units = {"quantity": random.randrange(1, 4)}
    if random.random() < 0.5:
        buckets = _two(random, ("on_hand", "damaged", "quarantine"))
        return {"type": "move", "warehouse": random.choice(_WAREHOUSES)} | units | buckets
    shipped = _delivery(random) | {"eta_at": now_ms + 5_000}
    return {"type": "transfer"} | _two(random, _WAREHOUSES) | units | random.choice(({}, shipped))


def _count(random: Random, now_ms: int) -> dict[str, Any]:
    pick = random.choice
    fields = {"type": "reconcile", "warehouse": pick(_WAREHOUSES), "counted_on_hand": random.randrange(15)}
    as_of = {"as_of_at": now_ms - pick((-300, 0, 1, 400, 2_000, 30_000))}
    return fields | pick((as_of, as_of, {})) | pick(({}, {}, {"tolerance": 5}, {"counted_damaged": 1}))


def _ask(random: Random, _: int) -> dict[str, Any]:
    return {
        "type": "query",
        "of_command_id": f"i{random.randrange(90)}",
        "channel": "web",
        "reservations": 3,
        "waiting": 3,
    }


def _settle(_random: Random, _: int) -> dict[str, Any]:
    return {"type": "settle"}


def _set_policy(random: Random, _: int) -> dict[str, Any]:
    return {"type": "set_policy", "channel": random.choice(("web", "*"))} | _policy(random)


def _policy(random: Random) -> dict[str, Any]:
    pick = random.choice
    waits = {"backorder_limit": pick((5, 100)), "presell_horizon_ms": pick((2_000, 60_000))}
    limits = ({}, {"cap": 6}, {"buffer": 2}, {"split": False}, {"max_per_reservation": 3}, {"warehouses": ["b"]})
    return pick((*limits, {}, {}, {"enabled": False})) | pick(({}, waits, waits))


def _reference(random: Random, _: int) -> dict[str, Any]:
    """Return a reference command; it reaches one partition, out of order and perhaps twice."""
    fields: dict[str, Any] = {"version": random.randrange(1, 9)}
    if random.random() < 0.5:
        fields |= {"type": "set_warehouse", "warehouse": random.choice(_WAREHOUSES)}
        fields |= {"enabled": random.random() < 0.7, "priority": random.randrange(3), "region": random.choice("ns")}
        return fields | {"journal_ms": random.choice((0, 1_000, 60_000, 60_000))}
    cap = {"cap": random.randrange(4, 40)}
    return fields | {"type": "set_channel", "channel": random.choice(("web", "*"))} | cap | _policy(random)


_KINDS: list[tuple[Callable[[Random, int], dict[str, Any]], int]] = [
    (_adjust, 24), (_reserve, 32), (_change_hold, 19), (_deliver, 8), (_move, 4), (_count, 4), (_ask, 2), (_settle, 1),
    (_set_policy, 2), (_reference, 3),
]  # fmt: skip
