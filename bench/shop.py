"""Owns the commands of a shop, for measuring sizes: realistic ids and quantities, made from a seed."""

import random
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from schemas.codec import encode

WAREHOUSES = ("berlin", "lyon-2", "warsaw")

_CHANNELS = ("web", "app", "marketplace-de")
# Units of an order line, about as often as in a retailer's year of orders.
_QUANTITIES = (1, 1, 1, 1, 2, 2, 3, 4, 6, 8, 10, 12, 12, 24, 48)
_TTL_MS = 15 * 60 * 1000
_PRE_ORDER_TTL_MS = 30 * 24 * 60 * 60 * 1000
_RECEIPT_SHARE, _PRE_ORDER_SHARE, _COMMIT_SHARE, _RELEASE_SHARE = 0.05, 0.1, 0.85, 0.1


class Sent(NamedTuple):
    """A record of `inventory.commands`, as the fold reads it; `timestamp` in ms."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes


class Shop:
    """Sends commands: stock for every SKU, then orders of some lines, each line held and later committed or released.

    One line of ten is a pre-order that stays open for 30 days; one of twenty others is left to expire.

    Args:
        skus: how many.
        start_ms: the time of the first record.
        every_ms: the mean time between two records.
    """

    def __init__(self, skus: int, start_ms: int, every_ms: float) -> None:
        self._chance = random.Random(10)
        self._every_ms = every_ms
        self._now_ms = float(start_ms)
        self._offset = 0
        self._open: list[tuple[str, str]] = []
        self._order_id, self._lines_left = 536_365, 0
        self.skus = [f"{n + 20_000:05}{self._chance.choice(['', '', 'A', 'B', 'GR'])}" for n in range(skus)]

    def records(self, count: int) -> Iterator[Sent]:
        """Yield so many records; the first ones stock each SKU in each warehouse."""
        for _ in range(count):
            sku, warehouse = divmod(self._offset, len(WAREHOUSES))
            if sku < len(self.skus):
                command = self._adjust(self.skus[sku], WAREHOUSES[warehouse], 40_000)
            else:
                command = self._next()
            self._now_ms += self._chance.expovariate(1 / self._every_ms)
            yield Sent(self._offset, int(self._now_ms), str(command["sku"]).encode(), encode(command))
            self._offset += 1

    def _next(self) -> dict[str, object]:
        chance = self._chance.random()
        if chance < _RECEIPT_SHARE:
            delta = self._chance.randint(1, 500)
            return self._adjust(self._chance.choice(self.skus), self._chance.choice(WAREHOUSES), delta)
        # About a hundred carts at a time.
        if chance < 0.5 and len(self._open) > 100:
            return self._end(*self._open.pop(self._chance.randrange(len(self._open))))
        return self._reserve(self._chance.choice(self.skus))

    def _adjust(self, sku: str, warehouse: str, delta: int) -> dict[str, object]:
        place = {"type": "adjust", "command_id": self._id(), "sku": sku, "warehouse": warehouse}
        return {**place, "delta": delta, "reason": "receipt", "reference": f"DN-{self._chance.randrange(10**6)}"}

    def _reserve(self, sku: str) -> dict[str, object]:
        if not self._lines_left:
            self._order_id += 1
            self._lines_left = self._chance.randint(1, 5)
        self._lines_left -= 1
        hold = self._id()
        pre_order = self._chance.random() < _PRE_ORDER_SHARE
        if not pre_order:
            self._open.append((sku, hold))
        return {
            "type": "reserve",
            "command_id": self._id(),
            "sku": sku,
            "reservation_id": hold,
            "quantity": self._chance.choice(_QUANTITIES),
            "ttl_ms": _PRE_ORDER_TTL_MS if pre_order else _TTL_MS,
            "channel": self._chance.choice(_CHANNELS),
            "order_id": str(self._order_id),
        }

    def _end(self, sku: str, hold: str) -> dict[str, object]:
        chance = self._chance.random()
        if chance >= _COMMIT_SHARE + _RELEASE_SHARE:  # the cart is forgotten; its customer asks for something else
            return self._reserve(sku)
        type_ = "commit" if chance < _COMMIT_SHARE else "release"
        return {"type": type_, "command_id": self._id(), "sku": sku, "reservation_id": hold}

    def _id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
