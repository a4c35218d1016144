"""Owns random histories of one partition: thousands of commands that meet, of all types, in several mixtures."""

import json
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

T0 = 1_764_000_000_000
DAY_MS = 24 * 3600 * 1000
Fields = dict[str, Any]

_BUCKETS = ("on_hand", "damaged", "quarantine")
# How often each kind of command comes, by what the history is about.
MIXTURES: dict[str, dict[str, int]] = {
    "movements": {
        "reserve": 15, "adjust": 13, "expect": 3, "receive": 6, "commit": 8, "release": 3, "give_back": 10, "move": 10,
        "transfer": 9, "count": 16, "set_warehouse": 3, "ask": 2, "tick": 2,
    },
    "policies": {
        "adjust": 15, "reserve": 30, "amend": 5, "reallocate": 2, "expect": 3, "receive": 2, "change_inbound": 3,
        "commit": 4, "release": 5, "settle": 1, "extend": 3, "ask": 8, "set_policy": 8, "set_channel": 5,
        "set_warehouse": 6, "set_feed": 1, "give_back": 1, "garbage": 1,
    },
    "queues": {
        "reserve": 40, "adjust": 9, "expect": 7, "receive": 6, "change_inbound": 7, "amend": 7, "reallocate": 3,
        "commit": 4, "release": 5, "ask": 3, "settle": 2, "set_policy": 2, "set_warehouse": 1, "tick": 2, "crowd": 2,
    },
    "everything": {
        "reserve": 30, "adjust": 10, "expect": 5, "receive": 5, "change_inbound": 4, "amend": 6, "reallocate": 3,
        "commit": 6, "release": 4, "extend": 2, "give_back": 5, "move": 5, "transfer": 4, "count": 8, "ask": 3,
        "settle": 1, "set_policy": 3, "set_channel": 1, "set_warehouse": 2, "set_feed": 1, "tick": 1, "garbage": 1,
        "crowd": 3,
    },
}  # fmt: skip


class History:
    """A history of one seed; it is about a few SKUs at a time, and goes on to others.

    Args:
        random: what is drawn from.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.about = random.choice(list(MIXTURES))
        self._kinds: dict[Callable[[], Fields], int] = {
            getattr(self, f"_{kind}"): weight for kind, weight in MIXTURES[self.about].items()
        }
        self._warehouses = random.choice(("ab", "abc", "abcd"))
        self._epoch = random.choice((40, 90, 300))  # commands until other SKUs come
        self._busy = random.choice((0.3, 0.8, 0.97))  # how often a command follows in the same millisecond
        self._now = T0
        self._number = 0
        self._holds: list[Fields] = []  # SKU and id
        self._deliveries: list[Fields] = []
        self._earlier: list[Fields] = []
        self._planned: list[Fields] = []

    def records(self, count: int) -> Iterator[SimpleNamespace]:
        """Yield so many records of the commands topic."""
        for document in self._beginning():
            yield self._record(document)
        while self._number < count:
            self._now += self._pause()
            yield self._record(self._command())

    def _record(self, document: Fields | bytes) -> SimpleNamespace:
        value = document if isinstance(document, bytes) else json.dumps(document).encode()
        number, self._number = self._number, self._number + 1
        if self._number % self._epoch == 0:
            self._holds, self._deliveries, self._planned = [], [], list(self._first_goods())
        # A broker's clock may be behind that of another one.
        timestamp = self._now - self._random.choice((0, 0, 0, 0, 700))
        return SimpleNamespace(offset=number, timestamp=timestamp, key=b"key", value=value)

    def _first_goods(self) -> Iterator[Fields]:
        for letter in "BA":
            for name in self._random.sample(self._warehouses, 2 if letter == "B" else len(self._warehouses)):
                units = {"warehouse": name, "delta": self._units(20), "reason": "receipt"}
                yield {"type": "adjust", "sku": self._sku(letter)} | units

    def _pause(self) -> int:
        chance = self._random.random()
        if chance < self._busy:
            return 0
        if chance > 0.997:
            return self._random.choice((900_000, DAY_MS, 8 * DAY_MS))
        return self._random.choice((1, 1, 500, 999, 1_000, 2_000, 15_000))

    def _beginning(self) -> Iterator[Fields]:
        pick = self._random.choice
        fields = {"backorder_limit": self._random.randint(0, 90), "presell_horizon_ms": pick((0, 30_000, 9 * DAY_MS))}
        yield {"type": "set_channel", "command_id": "c", "channel": "*", "version": 1} | fields
        yield {"type": "set_channel", "command_id": "v", "channel": "vip", "version": 1, "priority": 1}
        for name in self._warehouses:
            journal = {"journal_ms": pick((0, 5_000, 20_000, DAY_MS, DAY_MS))}
            yield {"type": "set_warehouse", "command_id": name, "warehouse": name, "version": 1} | journal

    def _command(self) -> Fields | bytes:
        random = self._random
        chance = random.random()
        if self._earlier and chance < 0.02:
            return random.choice(self._earlier[-200:])
        if self._earlier and chance < 0.03:
            return random.choice(self._earlier[-200:]) | {"quantity": random.randint(1, 9)}
        if self._planned:
            fields = self._planned.pop()
        else:
            (make,) = random.choices(list(self._kinds), list(self._kinds.values()))
            fields = make()
        if "garbage" in fields:
            garbage: bytes = fields["garbage"]
            return garbage
        command = {"command_id": f"c{self._number}"} | fields
        if not fields["type"].startswith(("set_warehouse", "set_channel", "set_feed", "tick")):
            command.setdefault("sku", self._sku())
        if fields["type"] == "tick":
            del command["command_id"]
        self._earlier.append(command)
        return command

    # Parts.

    def _sku(self, letters: str = "AAAAAAAAAB") -> str:
        epoch = self._number // self._epoch
        if self._random.random() < 0.02:
            epoch = self._random.randint(0, epoch)
        return f"{self._random.choice(letters)}{epoch}"

    def _some(self, chance: float, **fields: Any) -> Fields:
        return {name.rstrip("_"): value for name, value in fields.items() if self._random.random() < chance}

    def _place(self) -> str:
        return self._random.choice(self._warehouses)

    def _two(self, names: Any) -> Fields:
        return dict(zip(("from", "to"), self._random.sample(list(names), 2), strict=True))

    def _hold(self) -> Fields:
        """Return SKU and id of one of the last reservations."""
        recent = self._holds[-self._random.choice((4, 12, 40)) :]
        return self._random.choice(recent) if recent else {"reservation_id": "r0"}

    def _delivery(self) -> Fields:
        """Return SKU and id of one of the last announced deliveries."""
        recent = self._deliveries[-4:]
        return self._random.choice(recent) if recent else {"inbound_id": "p0"}

    def _new(self, known: list[Fields], name: str, letter: str) -> Fields:
        """Return SKU and id of something new, that may not be new after all."""
        if known and self._random.random() < 0.07:
            return self._random.choice(known)
        known.append({"sku": self._sku(), name: f"{letter}{self._number}"})
        return known[-1]

    def _units(self, most: int) -> int:
        return self._random.randint(1, most)

    def _soon(self) -> int:
        return self._now + self._random.choice((-1_000, 0, 1_000, 3_000, 20_000, DAY_MS, 2 * DAY_MS, 8 * DAY_MS))

    def _wait(self) -> Fields:
        wait = self._random.choice((None, None, "any", "any", "inbound", "none"))
        if wait is None:
            return {}
        by = self._some(0.3, promise_by=self._soon()) if wait == "inbound" else {}
        return {"wait": wait} | by

    def _channels(self) -> Fields:
        return self._some(0.05, channels=[self._random.choice(("web", "shop", "default"))])

    def _policy(self) -> Fields:
        pick, units = self._random.choice, self._random.randint
        chance = pick((0.1, 0.3, 0.6))
        names = list(self._warehouses)
        allowed = self._random.sample(names, units(pick((0, 1, 2)), len(names)))
        return self._some(
            chance, enabled=self._random.random() < 0.97, warehouses=allowed,
            strategy=pick(("priority", "most_stock", "fewest_splits", "region")), split=pick((True, False)),
            buffer=units(0, 6), cap=units(0, 40), max_per_reservation=units(3, 20), backorder_limit=units(0, 60),
            presell_horizon_ms=pick((0, 5_000, DAY_MS)), priority=units(0, 9),
            return_window_ms=pick((7, 8, 14)) * DAY_MS,
        )  # fmt: skip

    def _version(self) -> int:
        return self._random.choice((self._number + 2, self._number + 2, self._random.randint(1, self._number + 2)))

    # Commands, each without its SKU and id.

    def _reserve(self) -> Fields:
        pick = self._random.choice
        new = self._new(self._holds, "reservation_id", "r")
        return (
            {"type": "reserve", "quantity": self._units(pick((6, 12)))}
            | new
            | {"channel": pick(("web", "shop", "vip", "default"))}
            | self._some(0.3, partial=pick((True, True, False)), region=pick(("n", "s")))
            | self._some(0.15, warehouse=self._place())
            | self._some(0.7, ttl_ms=pick((0, 0, 0, 1_000, 60_000, 20 * DAY_MS)))
            | self._wait()
        )

    def _amend(self) -> Fields:
        fields = {"type": "amend", "quantity": self._units(14)} | self._hold() | self._channels() | self._wait()
        return fields | self._some(0.4, partial=self._random.choice((True, True, False)))

    def _reallocate(self) -> Fields:
        quantity = self._some(0.5, quantity=self._units(4))
        return {"type": "reallocate"} | self._hold() | self._two(self._warehouses) | quantity | self._channels()

    def _commit(self) -> Fields:
        return {"type": "commit"} | self._hold() | self._some(0.5, quantity=self._units(4)) | self._channels()

    def _release(self) -> Fields:
        return {"type": "release"} | self._hold() | self._some(0.5, quantity=self._units(4)) | self._channels()

    def _extend(self) -> Fields:
        return {"type": "extend", "ttl_ms": self._random.choice((0, 1_000, 60_000))} | self._hold() | self._channels()

    def _adjust(self) -> Fields:
        pick = self._random.choice
        change = pick(({"delta": pick((-5, -2, -1, 1, 3, 6, 15))}, {"count": self._random.randint(0, 9)}))
        if self._random.random() < 0.6:
            change = {"delta": pick((-3, 2, 5, 8, 12))}
        bucket = self._some(0.25, bucket=pick((*_BUCKETS, "safety_stock")))
        expected = self._some(0.03, expected_on_hand=self._random.randint(0, 9))
        return {"type": "adjust", "warehouse": self._place(), "reason": "receipt"} | change | bucket | expected

    def _expect(self) -> Fields:
        new = self._new(self._deliveries, "inbound_id", "p")
        fields = {"type": "expect_inbound", "warehouse": self._place(), "eta_at": self._soon()} | new
        return fields | {"quantity": self._units(12)} | self._some(0.3, reference="x")

    def _receive(self) -> Fields:
        special = self._some(0.3, damaged=self._random.randint(0, 2), final=self._random.choice((True, False)))
        quantity = {"quantity": self._random.choice((0, 1, 2, 4, 6, 9))}
        return {"type": "receive_inbound"} | self._delivery() | quantity | special

    def _change_inbound(self) -> Fields:
        if self._random.random() < 0.25:
            return {"type": "cancel_inbound"} | self._delivery() | self._some(0.3, reason="z")
        date, units = {"eta_at": self._soon()}, {"quantity": self._random.randint(0, 14)}
        return {"type": "amend_inbound"} | self._delivery() | self._random.choice((date, date, units, date | units))

    def _give_back(self) -> Fields:
        fields = {"type": "return", "warehouse": self._place(), "quantity": self._units(4)} | self._channels()
        fields |= {"disposition": self._random.choice(("restock", "damaged", "inspect"))}
        return fields | self._random.choice((self._hold(), self._hold(), {})) | self._some(0.3, reference="rma")

    def _move(self) -> Fields:
        fields = {"type": "move", "warehouse": self._place(), "quantity": self._units(4)} | self._two(_BUCKETS)
        return fields | self._some(0.3, reason="x", reference="y")

    def _transfer(self) -> Fields:
        fields = {"type": "transfer", "quantity": self._units(5)} | self._two(self._warehouses)
        if self._random.random() < 0.5:
            fields |= {"eta_at": self._soon()} | self._new(self._deliveries, "inbound_id", "p")
        return fields | self._some(0.3, reference="t")

    def _count(self) -> Fields:
        pick, units = self._random.choice, self._random.randint
        as_of = self._now - pick((-5_000, 0, 1, 999, 1_000, 2_000, 5_000, 15_000, 60_000, DAY_MS))
        return (
            {"type": "reconcile", "warehouse": self._place(), "counted_on_hand": units(0, 14)}
            | self._some(0.4, counted_damaged=units(0, 4), counted_quarantine=units(0, 4))
            | self._some(0.7, as_of_at=as_of)
            | self._some(0.2, tolerance=units(0, 6), reference="z")
        )

    def _ask(self) -> Fields:
        pick, units = self._random.choice, self._random.randint
        fields = self._some(0.6, channel=pick(("web", "shop", "vip")), waiting=units(0, 5)) | self._channels()
        fields |= self._some(0.3, of_command_id=f"c{units(0, self._number)}", reservations=units(1, 4))
        return (
            {"type": "query"} | fields | self._some(0.2, after=f"r{units(0, self._number)}") | pick((self._hold(), {}))
        )

    def _settle(self) -> Fields:
        return {"type": "settle"}

    def _tick(self) -> Fields:
        return {"type": "tick"}

    def _set_policy(self) -> Fields:
        return {"type": "set_policy", "channel": self._random.choice(("web", "shop", "*"))} | self._policy()

    def _set_channel(self) -> Fields:
        channel = {"channel": self._random.choice(("web", "shop", "*")), "version": self._version()}
        return {"type": "set_channel"} | channel | self._policy() | self._some(0.2, name="x")

    def _set_warehouse(self) -> Fields:
        pick = self._random.choice
        fields = {"type": "set_warehouse", "warehouse": self._place(), "version": self._version()}
        fields |= self._some(0.4, enabled=pick((True, True, False)), priority=pick((1, 100, 200)), region=pick("ns"))
        return fields | self._some(0.8, journal_ms=pick((0, 1_000, 20_000, 20_000, DAY_MS, 7 * DAY_MS)))

    def _set_feed(self) -> Fields:
        as_of = {"version": self._random.randint(1, 9), "as_of_at": self._now}
        return {"type": "set_feed", "feed": "f", "interval_ms": self._units(3)} | as_of

    def _garbage(self) -> Fields:
        return {"garbage": self._random.choice((b"", b"{", b"[]", b'{"type":"adjust","sku":"A","command_id":"x"}'))}

    def _crowd(self) -> Fields:
        """Let many come to wait for one SKU, and goods for all of them."""
        sku, size = {"sku": self._sku("Q")}, self._random.choice((10, 25, min(80, self._epoch // 2)))
        numbers = range(self._number, self._number + size)
        self._holds += [sku | {"reservation_id": f"q{number}"} for number in numbers]
        crowd = [
            {"type": "reserve", "reservation_id": f"q{number}", "quantity": self._units(3), "wait": "any", "ttl_ms": 0}
            for number in numbers
        ]
        allowed = {"backorder_limit": 500, "cap": 1_000, "enabled": True, "max_per_reservation": 99}
        first = {"type": "set_policy", "channel": "*"} | allowed | self._some(0.3, split=False)
        last = {"type": "adjust", "warehouse": "a", "delta": self._random.choice((size, 3 * size)), "reason": "receipt"}
        beginning = {"type": "adjust", "warehouse": "b", "delta": 1, "reason": "receipt"}
        # While that is settled, others come, for whom there is only what is not due to the queue.
        makers = (self._transfer, self._transfer, self._reallocate, self._amend, self._reserve, self._ask, self._expect)
        others = [self._random.choice(makers)() for _ in range(6)]
        self._planned = [document | sku for document in (*others, last, *reversed(crowd), first)]
        return beginning | sku
