"""Owns the register: which warehouses, channels and feeds are in force in one partition.

It is in memory as a whole: 10,000 warehouses, 1,000 channels and 100 feeds take less than 20 MB.
"""

from collections.abc import Iterable, Mapping

import msgspec

from schemas.policies import Policy, resolve
from tables.core.rows import ChannelRow, FeedRow, PolicyRow, ReferenceRow, WarehouseRow

_ROW_TYPES: dict[str, type[ReferenceRow]] = {"warehouse": WarehouseRow, "channel": ChannelRow, "feed": FeedRow}
_DECODERS = {kind: msgspec.msgpack.Decoder(row_type) for kind, row_type in _ROW_TYPES.items()}


class Register:
    """The reference rows in force, by name (`warehouse/ID`, `channel/ID`, `feed/ID`).

    Args:
        rows: name and bytes of each row.

    Attributes:
        warehouses: the warehouses that somebody set, by id.
        has_rules: whether anybody set a warehouse or a channel.
    """

    def __init__(self, rows: Iterable[tuple[str, bytes]] = ()) -> None:
        self._rows: dict[str, ReferenceRow] = {}
        self.warehouses: dict[str, WarehouseRow] = {}
        self._policies: dict[str, Policy] = {}
        self.has_rules = False
        for name, value in rows:
            self.put(name, _DECODERS[name.partition("/")[0]].decode(value))

    def find(self, name: str) -> ReferenceRow | None:
        """Return the row in force; None when nobody set it."""
        return self._rows.get(name)

    def put(self, name: str, row: ReferenceRow) -> None:
        """Put a row in force."""
        self._rows[name] = row
        if isinstance(row, WarehouseRow):
            self.warehouses[name.partition("/")[2]] = row
        self._policies = {}
        self.has_rules = self.has_rules or not isinstance(row, FeedRow)

    def policy(self, channel: str, own: Mapping[str, PolicyRow]) -> Policy:
        """Return the resolved policy of a channel for a SKU.

        Args:
            channel: its id.
            own: the SKU's policies, by channel.
        """
        if own:
            return resolve(filter(None, (own.get(channel), own.get("*"), *self._layers(channel))))
        name = channel if f"channel/{channel}" in self._rows else "*"
        policy = self._policies.get(name)
        if policy is None:
            policy = self._policies[name] = resolve(filter(None, self._layers(name)))
        return policy

    def _layers(self, channel: str) -> tuple[ReferenceRow | None, ...]:
        return self._rows.get(f"channel/{channel}"), self._rows.get("channel/*")
