"""Owns random histories of a partition: every command, in an order and at times that make them meet."""

import json
import random
from typing import Any, NamedTuple

SKUS, CHANNELS, WAREHOUSES = ("a", "b"), ("web", "vip", "whole"), ("bath", "leeds", "york")
BUCKETS = ("on_hand", "on_hand", "damaged", "quarantine")
T0 = 1_764_000_000_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# Mostly no time passes; now and then what was closed is forgotten.
_PAUSES = [0] * 40 + [1] * 12 + [2, 3, 5, 8, 20, 60] + [_HOUR_MS]
_RARE_PAUSES = (_DAY_MS, 8 * _DAY_MS)
Document = dict[str, Any]


class Told(NamedTuple):
    """One record of a history: when it comes (ms), and its value."""

    at: int
    value: bytes

    @property
    def document(self) -> Document:
        """The command; empty where the record is none."""
        try:
            found: Document = json.loads(self.value)
        except ValueError:
            return {}
        return found


def write_history(seed: int, count: int, *, buffers: bool = True, start: int = T0, unit: int = 1) -> list[Told]:
    """Return so many records after those that set the rules and bring the first goods.

    Args:
        seed: the same seed gives the same history.
        count: how many records.
        buffers: whether policies may have one.
        start: when it begins (ms).
        unit: by how much dates and times to live are longer than the shortest (ms).
    """
    writer = _Writer(random.Random(seed), buffers=buffers, start=start, unit=unit)
    history = writer.first_records()
    for number in range(count):
        history.append(writer.record(number))
    return history


class _Writer:
    """Writes one history. Ids grow with it, and a command is about one of the latest."""

    def __init__(self, chance: random.Random, *, buffers: bool, start: int, unit: int) -> None:
        self._chance = chance
        self._buffers = buffers
        self._at = start
        self._unit = unit
        self._number = 0
        self._sku = ""
        self._holds: list[tuple[str, str]] = []
        self._inbounds: list[tuple[str, str]] = []
        self._sent: list[Document] = []
        kinds = [kind for kind, weight in _WEIGHTS.items() for _ in range(weight)]
        # Each history has some kinds more often than others, and in some nearly everybody waits.
        self._kinds = kinds + chance.choices(kinds, k=len(kinds) // 2)
        self._waits = chance.choice([("any",), ("any", "inbound"), ("any", "inbound", None, None)])

    def first_records(self) -> list[Told]:
        """Return the records that every history begins with."""
        rules: list[Document] = [
            {
                "type": "set_channel",
                "channel": "*",
                "version": 1,
                "backorder_limit": 30,
                "presell_horizon_ms": 300 * self._unit,
            },
            {"type": "set_channel", "channel": "vip", "version": 1, "priority": 1, "cap": 25},
            {"type": "set_channel", "channel": "whole", "version": 1, "split": False, "backorder_limit": 20},
            {"type": "set_warehouse", "warehouse": "leeds", "version": 1, "journal_ms": 50, "region": "n"},
        ]
        goods = [
            {"type": "adjust", "sku": sku, "warehouse": warehouse, "delta": 3, "reason": "receipt"}
            for sku in SKUS
            for warehouse in (WAREHOUSES if sku == "a" else WAREHOUSES[1:])
        ]
        commands = [each | {"command_id": f"first-{number}"} for number, each in enumerate(rules + goods)]
        return [Told(self._at, json.dumps(command).encode()) for command in commands]

    def record(self, number: int) -> Told:
        """Return the next record."""
        chance = self._chance
        self._number = number
        self._at += chance.choice(_RARE_PAUSES) if chance.random() < 0.004 else chance.choice(_PAUSES)
        kind = chance.random()
        if kind < 0.03:
            return Told(self._at, chance.choice([b'{"type":"tick"}', b'{"type":"tick"}', b"no command"]))
        if kind < 0.07 and self._sent:
            document = chance.choice(self._sent[-20:])
            if kind < 0.04:
                document = {"type": "settle", "sku": "a"} | {"command_id": document["command_id"]}
        else:
            document = {"command_id": f"c{number}"} | self._command(chance.choice(self._kinds))
            self._sent.append(document)
        return Told(self._at, json.dumps(document).encode())

    def _command(self, type_: str) -> Document:
        self._sku = self._chance.choice(("a", "a", "b"))
        written = getattr(self, f"_{type_}")()
        fields: Document = {"type": type_}
        if type_ not in {"set_warehouse", "set_channel", "set_feed"}:
            fields["sku"] = self._sku
        return fields | {name: value for name, value in written.items() if value is not None}

    # What stands in the fields.

    def _few(self, most: int = 6) -> int:
        return self._chance.randint(1, most)

    def _maybe(self, *values: Any) -> Any:
        return self._chance.choice((None, *values))

    def _of(self, *values: Any) -> Any:
        return self._chance.choice(values)

    def _hold(self) -> str:
        return self._one_of(self._holds)

    def _inbound(self) -> str:
        return self._one_of(self._inbounds)

    def _one_of(self, known: list[tuple[str, str]]) -> str:
        """Return the id of one of the latest, and make the command one of its SKU; seldom one that nobody knows."""
        if not known or self._chance.random() < 0.02:
            return "unknown"
        # The latest most often.
        self._sku, id_ = known[-1 - min(int(self._chance.expovariate(0.2)), len(known) - 1)]
        return id_

    def _new(self, known: list[tuple[str, str]]) -> str:
        """Return a new id; seldom one that is taken."""
        if self._chance.random() < 0.05:
            return self._one_of(known)
        known.append((self._sku, f"n{self._number}"))
        return known[-1][1]

    def _when(self) -> int:
        return self._at + self._unit * int(self._of(-1, 1, 2, 5, 20, 100, 200, 299, 400, 10_000))

    def _two(self, values: tuple[str, ...]) -> Document:
        source, to = self._chance.sample(sorted({*values}), 2)
        return {"from": source, "to": to}

    def _wishes(self) -> Document:
        wait = self._of(*self._waits)
        by = self._when() if wait == "inbound" and self._chance.random() < 0.3 else None
        return {"wait": wait, "promise_by": by, "partial": self._maybe(True)}

    def _policy(self) -> Document:
        fields = {
            "enabled": self._of(True, True, True, False), "split": self._of(True, False), "cap": self._of(0, 4, 9, 25),
            "warehouses": self._of(["york", "leeds"], ["bath", "leeds", "york"], ["leeds"], []),
            "strategy": self._of("priority", "most_stock", "fewest_splits", "region"),
            "max_per_reservation": self._few(), "backorder_limit": self._of(0, 5, 30),
            "presell_horizon_ms": self._unit * self._of(0, 50, 300), "priority": self._of(0, 1, 100),
            "return_window_ms": self._of(7 * _DAY_MS, 9 * _DAY_MS),
        }  # fmt: skip
        if self._buffers:
            fields["buffer"] = self._chance.randint(0, 3)
        return {name: value for name, value in fields.items() if self._chance.random() < 0.2}

    # The commands.

    def _adjust(self) -> Document:
        fields = {"warehouse": self._of(*WAREHOUSES), "reason": "correction", "bucket": self._of(*BUCKETS)}
        if self._chance.random() < 0.1:
            return fields | {"bucket": "safety_stock", "count": self._of(0, 0, 1, 2)}
        if self._chance.random() < 0.15:
            return fields | {"count": self._chance.randint(0, 6)}
        return fields | {"delta": self._of(-3, -1, 1, 2, 3, 5, 9, 15)}

    def _reserve(self) -> Document:
        fields: Document = {"reservation_id": self._new(self._holds), "channel": self._maybe(*CHANNELS, *CHANNELS)}
        fields |= {
            "quantity": self._few(),
            "ttl_ms": self._of(*[0] * 9, 5 * self._unit, 30 * self._unit, None),
            "region": self._maybe("n"),
        }
        fields["warehouse"] = self._of(None, None, None, "leeds", "york")
        return fields | self._wishes()

    def _amend(self) -> Document:
        return {"reservation_id": self._hold(), "quantity": self._few(9)} | self._wishes()

    def _reallocate(self) -> Document:
        return {"reservation_id": self._hold(), "quantity": self._maybe(1, 2)} | self._two(WAREHOUSES)

    def _commit(self) -> Document:
        return {"reservation_id": self._hold(), "quantity": self._maybe(1, 2)}

    _release = _commit

    def _extend(self) -> Document:
        return {"reservation_id": self._hold(), "ttl_ms": self._unit * self._of(0, 5, 50)}

    def _query(self) -> Document:
        return {"channel": self._maybe(*CHANNELS), "waiting": self._of(0, 3), "reservations": self._maybe(2)}

    def _settle(self) -> Document:
        return {}

    def _expect_inbound(self) -> Document:
        return {
            "inbound_id": self._new(self._inbounds), "warehouse": self._of(*WAREHOUSES), "quantity": self._few(9),
            "eta_at": self._when(),
        }  # fmt: skip

    def _amend_inbound(self) -> Document:
        quantity = self._maybe(0, 1, 3, 7, 12)
        return {
            "inbound_id": self._inbound(),
            "quantity": quantity,
            "eta_at": self._when() if quantity is None else None,
        }

    def _receive_inbound(self) -> Document:
        return {
            "inbound_id": self._inbound(), "quantity": self._few(), "damaged": self._maybe(1),
            "final": self._maybe(True),
        }  # fmt: skip

    def _cancel_inbound(self) -> Document:
        return {"inbound_id": self._inbound()}

    def _return(self) -> Document:
        return {
            "warehouse": self._of(*WAREHOUSES), "quantity": self._few(2), "reservation_id": self._maybe(self._hold()),
            "disposition": self._of("restock", "damaged", "inspect"),
        }  # fmt: skip

    def _move(self) -> Document:
        return {"warehouse": self._of(*WAREHOUSES), "quantity": self._few(3)} | self._two(BUCKETS)

    def _transfer(self) -> Document:
        fields = {"quantity": self._few(4)} | self._two(WAREHOUSES)
        if self._chance.random() < 0.5:
            fields |= {"inbound_id": self._new(self._inbounds), "eta_at": self._when()}
        return fields

    def _reconcile(self) -> Document:
        return {
            "warehouse": self._of("leeds", "leeds", *WAREHOUSES), "counted_on_hand": self._chance.randint(0, 9),
            "counted_damaged": self._maybe(0, 1), "counted_quarantine": self._maybe(0, 2),
            "as_of_at": self._maybe(self._at, self._at - 1, self._at - 5, self._at - 20, self._at - 60),
            "tolerance": self._of(None, None, 0, 3),
        }  # fmt: skip

    def _set_policy(self) -> Document:
        return {"channel": self._of("*", *CHANNELS)} | self._policy()

    def _version(self) -> int:
        return max(1, self._number - int(self._of(0, 0, 0, 9)))

    def _set_channel(self) -> Document:
        return {"channel": self._of("*", *CHANNELS), "version": self._version()} | self._policy()

    def _set_warehouse(self) -> Document:
        return {
            "warehouse": self._of(*WAREHOUSES), "version": self._version(), "enabled": self._of(None, True, False),
            "priority": self._maybe(1, 200), "region": self._maybe("n", "s"), "journal_ms": self._of(0, 10, 50),
        }  # fmt: skip

    def _set_feed(self) -> Document:
        return {"feed": "wms", "version": self._version(), "as_of_at": self._at, "interval_ms": 5}


_WEIGHTS = {
    "adjust": 10, "reserve": 24, "amend": 6, "reallocate": 4, "commit": 4, "release": 4, "extend": 2, "query": 2,
    "settle": 1, "expect_inbound": 6, "amend_inbound": 3, "receive_inbound": 5, "cancel_inbound": 2, "return": 3,
    "move": 3, "transfer": 4, "reconcile": 4, "set_policy": 2, "set_channel": 1, "set_warehouse": 1, "set_feed": 1,
}  # fmt: skip
