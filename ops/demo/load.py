"""Owns the load of the demo over Kafka: shops reserve, commit and release more than there is, from one seed."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from ops.importing.order_lines import Step
from schemas import codec

PREFIX = "demo:"
WAREHOUSES = ("hull", "leeds", "york")
SKUS = 400
# 60 units in each of three warehouses, and some 200 units requested per SKU: towards the end stock is short.
OPENING_UNITS = 60
_OPEN_RESERVATIONS = 5_000
_RESENT_SHARE = 0.01
_REMEMBERED = 1_000


class Sent(NamedTuple):
    """A command to send; `again` marks a repetition, as by a shop that got no answer."""

    step: Step
    again: bool


def sku_of(number: int) -> str:
    """Return the SKU of a number below `SKUS`."""
    return f"DEMO-{number:03d}"


class DemoLoad:
    """Makes any number of commands; the same seed makes the same commands.

    Args:
        seed: determines all commands.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._held: list[tuple[str, str]] = []
        self._lately: list[Step] = []

    def opening(self) -> Iterator[Sent]:
        """Return the first receipts of every SKU."""
        for number in range(SKUS):
            for warehouse in WAREHOUSES:
                yield Sent(self._receipt(sku_of(number), warehouse, OPENING_UNITS), again=False)

    def commands(self, count: int) -> Iterator[Sent]:
        """Return that many more commands."""
        for _ in range(count):
            if self._lately and self._random.random() < _RESENT_SHARE:
                yield Sent(self._random.choice(self._lately), again=True)
                continue
            step = self._command()
            if len(self._lately) < _REMEMBERED:
                self._lately.append(step)
            else:
                self._lately[self._number % _REMEMBERED] = step
            yield Sent(step, again=False)

    def _command(self) -> Step:
        draw = self._random.random()
        # Popular SKUs are requested more often: the square of a uniform number is in the first tenth three times as
        # often.
        sku = sku_of(int(self._random.random() ** 2 * SKUS))
        if draw < 0.55 or not self._held:  # noqa: PLR2004 - the shares of the mix
            return self._reserve(sku)
        if draw < 0.80:  # noqa: PLR2004
            return self._on_held("commit")
        if draw < 0.92:  # noqa: PLR2004
            return self._on_held("release")
        return self._receipt(sku, self._random.choice(WAREHOUSES), self._random.randint(1, 9))

    def _reserve(self, sku: str) -> Step:
        quantity = self._random.randint(1, 4)
        reservation_id = f"cart-{self._number}"
        fields: dict[str, object] = {"reservation_id": reservation_id, "quantity": quantity, "channel": "web"}
        if self._random.random() < 0.3:  # noqa: PLR2004 - a customer who collects
            fields["warehouse"] = self._random.choice(WAREHOUSES)
        if len(self._held) < _OPEN_RESERVATIONS:
            self._held.append((sku, reservation_id))
        else:
            self._held[self._random.randrange(_OPEN_RESERVATIONS)] = (sku, reservation_id)
        return self._step("reserve", sku, fields, asked=quantity)

    def _on_held(self, type_: str) -> Step:
        # Some reservations were refused or are closed by now: the ledger has to refuse these commands.
        index = self._random.randrange(len(self._held))
        sku, reservation_id = self._held[index]
        self._held[index] = self._held[-1]
        self._held.pop()
        return self._step(type_, sku, {"reservation_id": reservation_id})

    def _receipt(self, sku: str, warehouse: str, delta: int) -> Step:
        return self._step("adjust", sku, {"warehouse": warehouse, "delta": delta, "reason": "receipt"})

    def _step(self, type_: str, sku: str, fields: dict[str, object], *, asked: int = 0) -> Step:
        self._number += 1
        command_id = f"{PREFIX}{self._number}"
        value = codec.encode({"command_id": command_id, "type": type_, "sku": sku, **fields})
        return Step(sku, command_id, asked, 0, value)
