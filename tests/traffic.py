"""Owns the traffic of the fault tests: commands of every kind, good and bad, and crowds that wait for one SKU."""

import json
import random
from collections import defaultdict

from tests.examples import SKU_EXAMPLES

# Types that need ids of their own, or that `Traffic` sends often; all others are sent as their examples.
_SHAPED = {
    "adjust", "reserve", "amend", "reallocate", "commit", "release", "extend", "query", "set_policy", "settle",
    "expect_inbound", "amend_inbound", "receive_inbound", "cancel_inbound", "return", "move", "transfer", "reconcile",
}  # fmt: skip
_UNSHAPED = [{"type": "query"}, *(document for document in SKU_EXAMPLES if document["type"] not in _SHAPED)]
_WAREHOUSES = ["bonn", "leeds", "york"]
_BUCKETS = ["on_hand", "damaged", "quarantine"]
_MINUTE_MS = 60_000


class Traffic:
    """Commands of every kind, good and bad; ids are unique per seed.

    A seed makes the same traffic every time, but for times, which count from the moment in which a command is made.

    Args:
        seed: which traffic.
        skus: so many SKUs are there from the beginning; each crowd adds one.
        partitions: of the commands topic.
        now_ms: the time of day.
    """

    def __init__(self, seed, skus, *, partitions, now_ms):
        self.seed = seed
        self.rng = random.Random(seed)
        self.names = [f"SKU {seed % 7}-{number}" for number in range(skus)]
        self.earlier, self.holds, self.deliveries, self.counts = [], [], [], []
        self.places = defaultdict(list)  # SKU -> warehouses with goods, the first one first
        self._partitions = partitions
        self._now_ms = now_ms
        self._crowd = None
        makers = [
            (11, self.adjust), (31, self.reserve), (20, self.change_hold), (9, self.deliver), (7, self.move_goods),
            (5, self.count), (5, self.repeat), (3, self.mistake), (2, self.set_policy), (3, self.ask), (1, self.settle),
            (3, self.unshaped),
        ]  # fmt: skip
        self._weights = [weight for weight, _ in makers]
        self._makers = [maker for _, maker in makers]

    def command(self, number):
        """Return one command as a document."""
        common = {"command_id": f"{self.seed}-{number}", "sku": self.rng.choice(self.names)}
        if number < len(self.names):
            return self.adjust(common | {"sku": self.names[number]}, delta=50)
        if self._crowd is None and self.rng.random() < 0.01:
            self._crowd = self.crowd(f"{self.seed}-{number}")
        if self._crowd is not None and self.rng.random() < 0.6:
            fields = next(self._crowd, None)
            if fields is not None:
                return common | fields
            self._crowd = None
        (maker,) = self.rng.choices(self._makers, self._weights)
        return maker(common)

    def crowd(self, name):
        """Yield the fields of commands by which many come to wait for a SKU, and goods come for all of them."""
        choose = self.rng.choice
        sku, delivery = {"sku": f"queue {self.seed % 7}-{name}"}, {"inbound_id": f"po{name}"}
        size, announced = choose([12, 25, 60]), choose([True, False])
        yield sku | {"type": "adjust", "warehouse": "bonn", "delta": 1, "reason": "receipt"}
        yield sku | {
            "type": "set_policy", "channel": "*", "backorder_limit": 500, "presell_horizon_ms": 60 * _MINUTE_MS,
            "cap": choose([20, 1_000_000, 1_000_000]), "enabled": True, "split": choose([True, True, False]),
        }  # fmt: skip
        if announced:
            self.deliveries.append((sku["sku"], delivery["inbound_id"]))
            yield sku | delivery | {
                "type": "expect_inbound", "warehouse": "leeds", "quantity": size, "eta_at": self.later(),
            }  # fmt: skip
        for place in range(size):
            self.holds.append((sku["sku"], f"q{name}-{place}"))
            yield sku | {
                "type": "reserve", "reservation_id": f"q{name}-{place}", "quantity": choose([1, 2, 3]), "wait": "any",
                "ttl_ms": choose([0, 0, 0, 900, _MINUTE_MS]), "channel": choose(["default", "web", "vip"]),
            }  # fmt: skip
        self.names.append(sku["sku"])
        into = choose(["bonn", "york"])
        self.places[sku["sku"]] = ["bonn"] if into == "bonn" else ["york", "bonn"]
        if announced:
            yield sku | delivery | choose([
                {"type": "amend_inbound", "eta_at": self.later()},
                {"type": "receive_inbound", "quantity": size - 2, "damaged": 1, "final": choose([True, False])},
                {"type": "cancel_inbound"},
            ])  # fmt: skip
        units = choose([size, 2 * size])
        yield sku | {"type": "adjust", "warehouse": into, "delta": units, "reason": "receipt"}

    def rules(self, number):
        """Return (partition, value) of reference commands: some reach all partitions, some come twice, late or not."""
        if self.rng.random() > 0.02:
            return []
        choose = self.rng.choice
        version = number - choose([0, 0, 0, 50])
        common = {"command_id": f"rule-{self.seed}-{number % 3}", "version": max(1, version)}
        kind = self.rng.random()
        if kind < 0.45:
            document = {"type": "set_channel", "channel": choose(["web", "vip", "*", "*"])} | self.policy()
        elif kind < 0.95:
            document = {
                "type": "set_warehouse", "warehouse": choose(_WAREHOUSES), "region": choose(["north", "south"]),
                "priority": choose([1, 100, 200]), "enabled": self.rng.random() < 0.8,
                "journal_ms": choose([0, 5_000, _MINUTE_MS, _MINUTE_MS, _MINUTE_MS]),
            }  # fmt: skip
        else:
            document = {"type": "set_feed", "feed": "wms", "as_of_at": self._now_ms(), "interval_ms": _MINUTE_MS}
        value = json.dumps(document | common).encode()
        everywhere = range(self._partitions)
        reached = choose([everywhere, self.rng.choices(everywhere, k=self._partitions + 1)])
        return [(partition, value) for partition in reached]

    def poison(self, command, partition):
        """Yield (partition, value) of records that a careless client might write beside a command; mostly none."""
        chance = self.rng.random()
        if chance < 0.01:
            yield partition, b"{not json" + b"x" * self.rng.choice([1, 200_000])
        elif chance < 0.02:
            yield (partition + 1) % self._partitions, json.dumps(command).encode()
        elif chance < 0.03:
            yield partition, json.dumps(command | {"unknown": 1}).encode()

    # One command of a kind each.

    def adjust(self, common, delta=None):
        choose = self.rng.choice
        fields = {"type": "adjust", "warehouse": choose(_WAREHOUSES), "reason": "correction"}
        if fields["warehouse"] not in self.places[common["sku"]]:
            self.places[common["sku"]].append(fields["warehouse"])
        if delta is not None or self.rng.random() < 0.8:
            return common | fields | {"delta": delta or choose([-3, 5, 9])}
        special = {"bucket": choose([*_BUCKETS, "safety_stock"]), "expected_on_hand": choose([0, 50])}
        return common | fields | {"count": choose([0, 2, 40])} | self.some(special, 0.4)

    def reserve(self, common):
        choose = self.rng.choice
        hold = f"r{common['command_id']}"
        self.holds.append((common["sku"], hold))
        special = {
            "channel": choose(["web", "vip"]), "partial": choose([True, False]), "region": "north",
            "warehouse": choose(["bonn", "york"]),
        }  # fmt: skip
        fields = {"type": "reserve", "reservation_id": hold, "quantity": self.rng.randint(1, 8)}
        return common | fields | {"ttl_ms": choose([0, 300, 1500, 60_000])} | self.some(special, 0.15) | self.wait(0.4)

    def wait(self, chance):
        """Return what a command may wait for, often nothing."""
        wait = self.rng.choice(["any", "any", "inbound", "none"])
        by = {"promise_by": self.later()} if wait == "inbound" else {}
        return {"wait": wait} | self.some(by, 0.5) if self.rng.random() < chance else {}

    def change_hold(self, common):
        """Change a reservation, mostly one of the last ones."""
        choose = self.rng.choice
        if not self.holds:
            return self.ask(common)
        sku, hold = choose(self.holds[-30:] if self.rng.random() < 0.7 else self.holds)
        type_ = choose(["commit", "commit", "release", "extend", "amend", "reallocate", "reallocate"])
        command = common | {"sku": sku, "type": type_, "reservation_id": hold}
        command |= self.some({"channels": choose([["default"], ["web", "default"], ["vip"]])}, 0.1)
        if type_ == "extend":
            return command | {"ttl_ms": 900}
        if type_ == "amend":
            return command | {"quantity": self.rng.randint(1, 12)} | self.some({"partial": True}, 0.3) | self.wait(0.5)
        if type_ == "reallocate":
            command |= self.two_warehouses(sku)
        return command | self.some({"quantity": choose([1, 1, 3])}, 0.4)

    def deliver(self, common):
        """Announce goods, or have announced ones change, come or not come."""
        choose = self.rng.choice
        kind = self.rng.random()
        if not self.deliveries or kind < 0.35:
            if not self.deliveries or self.rng.random() < 0.9:
                self.deliveries.append((common["sku"], f"po{common['command_id']}"))
            fields = {"sku": self.deliveries[-1][0]}
            fields |= {"type": "expect_inbound", "warehouse": choose(_WAREHOUSES), "quantity": self.rng.randint(1, 12)}
            fields |= {"inbound_id": self.deliveries[-1][1], "eta_at": self.later()}
            return common | fields | self.some({"reference": "PO"}, 0.3)
        sku, inbound_id = choose(self.deliveries[-10:] if self.rng.random() < 0.8 else self.deliveries)
        command = common | {"sku": sku, "inbound_id": inbound_id}
        if kind < 0.7:
            special = {"damaged": choose([0, 1]), "final": choose([True, False]), "reference": "note"}
            return command | {"type": "receive_inbound", "quantity": self.rng.randint(1, 6)} | self.some(special, 0.3)
        if kind < 0.9:
            changed = choose([{"eta_at": self.later()}, {"quantity": self.rng.randint(0, 14)}])
            return command | {"type": "amend_inbound"} | changed
        return command | {"type": "cancel_inbound", "reason": "lost"}

    def move_goods(self, common):
        """Take goods back, move them to another bucket, or send them to another warehouse."""
        choose = self.rng.choice
        kind, quantity = self.rng.random(), {"quantity": self.rng.randint(1, 4)}
        if kind < 0.45:
            fields = {"type": "return", "warehouse": choose(_WAREHOUSES)} | quantity
            fields["disposition"] = choose(["restock", "damaged", "inspect"])
            if self.holds and self.rng.random() < 0.6:
                sku, hold = choose(self.holds)
                fields |= {"sku": sku, "reservation_id": hold} | self.some({"channels": ["default"]}, 0.1)
            return common | fields
        if kind < 0.75:
            bucket, other = choose([("on_hand", "quarantine"), self.rng.sample(_BUCKETS, 2)])
            fields = {"type": "move", "warehouse": choose(_WAREHOUSES), "from": bucket, "to": other}
            return common | fields | quantity | self.some({"reason": "recall", "reference": "note"}, 0.3)
        fields = {"type": "transfer"} | self.two_warehouses(common["sku"]) | quantity
        if self.rng.random() < 0.5:
            self.deliveries.append((common["sku"], f"t{common['command_id']}"))
            fields |= {"inbound_id": self.deliveries[-1][1], "eta_at": self.later()}
        return common | fields

    def count(self, common):
        """Count a row, now or a moment ago; some counts come twice, or cross."""
        choose = self.rng.choice
        if self.counts and self.rng.random() < 0.3:
            return choose(self.counts[-5:]) | {"command_id": common["command_id"]} | self.some({"tolerance": 90}, 0.3)
        fields = {"type": "reconcile", "warehouse": choose(_WAREHOUSES), "counted_on_hand": self.rng.randint(0, 60)}
        as_of = {"as_of_at": self._now_ms() - choose([-500, 0, 30, 400, 2_000, 4_000, 30_000])}
        special = {"counted_damaged": choose([0, 1]), "counted_quarantine": choose([0, 2]), "tolerance": choose([0, 9])}
        command = common | fields | self.some(as_of, 0.7) | self.some(special, 0.3)
        self.counts.append(command)
        return command

    def repeat(self, common):
        return self.rng.choice(self.earlier) if self.earlier else self.ask(common)

    def mistake(self, common):
        """Return an earlier command with another content, with another id, or for a SKU that nobody knows."""
        changed = {"command_id": common["command_id"]}
        nowhere = changed | {"sku": f"nowhere {common['command_id']}"}
        wrong = self.rng.choice([{"actor": "again", "reservation_id": "other"}, changed, nowhere])
        return self.repeat(common) | wrong

    def set_policy(self, common):
        return common | {"type": "set_policy", "channel": self.rng.choice(["web", "*", "*"])} | self.policy()

    def ask(self, common):
        fields = {"channel": self.rng.choice(["web", "default"]), "waiting": 5, "reservations": 3}
        if self.holds:
            fields |= {"reservation_id": self.rng.choice(self.holds)[1], "channels": ["web", "default"]}
        return common | self.some(fields | {"of_command_id": f"{self.seed}-7"}, 0.5) | {"type": "query"}

    def settle(self, common):
        return common | {"type": "settle"}

    def unshaped(self, common):
        return self.rng.choice(_UNSHAPED) | common

    # Parts of commands.

    def policy(self):
        """Return some policy fields, or none."""
        choose = self.rng.choice
        fields = {
            "buffer": choose([0, 3]), "cap": choose([0, 20, 200, 1_000_000]), "split": choose([True, True, False]),
            "strategy": choose(["priority", "most_stock", "fewest_splits", "region"]),
            "warehouses": choose([["york", "leeds"], ["bonn", "leeds", "york"]]), "max_per_reservation": choose([5, 9]),
            "return_window_ms": 604_800_000 + choose([0, 1]), "enabled": self.rng.random() < 0.9,
            "priority": choose([1, 100, 200]),
        }  # fmt: skip
        waits = {"backorder_limit": choose([9, 500]), "presell_horizon_ms": choose([5_000, 60 * _MINUTE_MS])}
        return self.some(fields, 0.25) | self.some(waits, 0.7)

    def some(self, fields, chance):
        """Return each of some fields with this probability."""
        return {name: value for name, value in fields.items() if self.rng.random() < chance}

    def later(self):
        """Return a time near the present, mostly to come."""
        return self._now_ms() + self.rng.choice([-1_000, 2_000, 20_000, _MINUTE_MS, 20 * _MINUTE_MS])

    def two_warehouses(self, sku):
        """Return `from` and `to`, mostly such that the SKU has rows there, and goods where they are taken from."""
        known = self.places[sku]
        if len(known) < 2 or self.rng.random() < 0.2:
            return dict(zip(("from", "to"), self.rng.sample(_WAREHOUSES, 2), strict=True))
        return {"from": known[0], "to": self.rng.choice(known[1:])}
