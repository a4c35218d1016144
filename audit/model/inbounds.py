"""Owns the announced goods of a SKU (its inbounds), with the claims on them."""

from bisect import bisect_left, insort
from typing import Any

import msgspec

from audit.model.documents import ROW_VERSION, Json, Waits, encode_row
from audit.model.queue import Ranked

MAX_INBOUNDS = 100  # in the book of a SKU


class Inbound:
    """Announced goods in a SKU's book, in units.

    `landed` is how much of what came is due to the claims on it, and not yet theirs.
    `claims` are the reservations with a claim on it, by rank; `untold` those of them who were told another date.
    """

    def __init__(
        self, inbound_id: str, warehouse: str, eta_at: int, quantity: int, from_: str | None, reference: str | None
    ) -> None:
        self.inbound_id = inbound_id
        self.warehouse = warehouse
        self.eta_at = eta_at
        self.quantity = quantity
        self.received = self.damaged = self.claimed = self.landed = 0
        self.from_ = from_
        self.reference = reference
        self.claims: list[Ranked] = []
        self.untold: list[Ranked] = []
        self._said: dict[Ranked, int | None] = {}  # the date that was said to each

    @property
    def came(self) -> int:
        """The units that came, damaged ones included."""
        return self.received + self.damaged

    @property
    def remaining(self) -> int:
        """The units still to come; it is closed when there are none."""
        return max(0, self.quantity - self.came)

    @property
    def excess(self) -> int:
        """The units claimed beyond those that came for the claims or are still to come."""
        return max(0, self.claimed - self.landed - self.remaining)

    @property
    def state(self) -> str:
        """Whether it is `open`, or how it was closed."""
        if self.remaining:
            return "open"
        return "received" if self.came else "cancelled"

    def claim(self, ranked: Ranked, claim: Waits) -> None:
        """Add the claim of a reservation."""
        _, units, promised_at = claim
        self.claimed += units
        insort(self.claims, ranked)
        self._said[ranked] = promised_at
        if promised_at != self.eta_at:
            insort(self.untold, ranked)

    def unclaim(self, ranked: Ranked, claim: Waits) -> None:
        """Take away the claim of a reservation, before it changes."""
        self.claimed -= claim[1]
        del self.claims[bisect_left(self.claims, ranked)]
        if self._said.pop(ranked) != self.eta_at:
            del self.untold[bisect_left(self.untold, ranked)]

    def come_at(self, eta_at: int) -> None:
        """Set another date; those with a claim on it are to be told."""
        self.eta_at = eta_at
        self.untold = [ranked for ranked in self.claims if self._said[ranked] != eta_at]

    @classmethod
    def of_row(cls, row: list[Any]) -> "Inbound":
        """Return the one of a row in the book, without its claims."""
        inbound_id, warehouse, eta_at, quantity, received, damaged, _, landed, from_, reference = row
        inbound = cls(inbound_id, warehouse, eta_at, quantity, from_, reference)
        inbound.received, inbound.damaged, inbound.landed = received, damaged, landed
        return inbound

    def row(self) -> list[object]:
        """Return its part of the book's row."""
        before = [self.inbound_id, self.warehouse, self.eta_at, self.quantity, self.received, self.damaged]
        return [*before, self.claimed, self.landed, self.from_, self.reference]

    def row_closed(self, closed_at: int) -> bytes:
        """Return the ledger's row of a closed one."""
        told = (self.warehouse, self.quantity, self.received, self.damaged, self.eta_at, self.from_, self.reference)
        return encode_row((ROW_VERSION, *told, self.state, closed_at))

    def document(self) -> Json:
        """Return it as the `book` of a stock change shows it."""
        document = {
            "inbound_id": self.inbound_id,
            "warehouse": self.warehouse,
            "eta_at": self.eta_at,
            "remaining": self.remaining,
            "claimed": self.claimed,
        }
        return document if self.from_ is None else document | {"from": self.from_}

    def view(self) -> Json:
        """Return the `inbound` of a result."""
        return {
            "inbound_id": self.inbound_id,
            "warehouse": self.warehouse,
            "quantity": self.quantity,
            "received": self.received,
            "damaged": self.damaged,
            "remaining": self.remaining,
            "claimed": self.claimed,
            "eta_at": self.eta_at,
            "from": self.from_,
            "reference": self.reference,
            "state": self.state,
        }


def closed_at_of(row: bytes) -> int:
    """Return when the announced goods of a row were closed."""
    return int(_decode(row)[-1])


_decode = msgspec.msgpack.Decoder().decode
