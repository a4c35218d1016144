"""Owns the book of a SKU, its row under the empty warehouse id, and the SKU's policies."""

from collections.abc import Iterable
from typing import Any

from audit.model.documents import ROW_VERSION, Json, encode_row
from audit.model.policies import POLICY_FIELDS, PolicyAsSet

MAX_POLICIES = 100
MAX_CHANNELS = 1_000


class Book:
    """What channels hold of a SKU, and the policies of the SKU by channel.

    `seq` is the SKU's sequence number at the last change of what is published of the book; 0 before the first.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.held: dict[str, int] = {}  # channel -> units that its counted reservations have left; never 0
        self.policies: dict[str, PolicyAsSet] = {}

    def hold(self, channel: str, units: int) -> None:
        """Let the counted reservations of a channel hold more units, or fewer."""
        self.held[channel] = self.held.get(channel, 0) + units
        if self.held[channel] == 0:
            del self.held[channel]

    def has_no_place_for(self, channel: str) -> bool:
        """Return whether units held by the channel would be those of one channel too many."""
        return len({*self.held, channel}) > MAX_CHANNELS

    def document(self) -> Json:
        """Return the `book` of a stock change or a result."""
        channels = [{"channel": name, "held": held, "backordered": 0} for name, held in self._channels()]
        return {"backordered": 0, "promised": 0, "inbounds": [], "channels": channels}

    def says_something(self) -> bool:
        """Return whether the document holds anything but zeros and empty lists."""
        return bool(self.held)

    def row(self) -> bytes:
        """Return the ledger's row."""
        since, settling, backordered, promised = None, False, 0, 0
        inbounds: list[Any] = []
        channels = [(name, held, 0) for name, held in self._channels()]
        queue = (since, settling, backordered, promised)
        return encode_row((ROW_VERSION, self.seq, *queue, len(self.policies), inbounds, channels))

    def _channels(self) -> Iterable[tuple[str, int]]:
        return sorted(self.held.items())  # code points sort as their UTF-8 bytes do


def policy_row(policy: PolicyAsSet) -> bytes:
    """Return the ledger's row of a policy."""
    return encode_row((ROW_VERSION, *policy))


def policy_document(sku: str, channel: str, policy: PolicyAsSet, at: int) -> Json:
    """Return the value of a policy's record in `inventory.reference`."""
    given = {name: value for name, value in zip(POLICY_FIELDS, policy, strict=True) if value is not None}
    return {"kind": "policy", "channel": channel, "sku": sku, "at": at, **given}
