"""Owns the register: which warehouses, channels and feeds are in force in one partition.

It is in memory as a whole: 10,000 warehouses, 1,000 channels that list 1,000 of them each and 100 feeds took 17 MB.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from schemas.availability import DEFAULT_PRIORITY
from schemas.policies import DEFAULT_POLICY, Policy, resolve, shared_id
from tables.core.rows import ChannelRow, FeedRow, PolicyRow, ReferenceRow, WarehouseRow

_ROW_TYPES: dict[str, type[ReferenceRow]] = {"warehouse": WarehouseRow, "channel": ChannelRow, "feed": FeedRow}
_DECODERS = {kind: msgspec.msgpack.Decoder(row_type) for kind, row_type in _ROW_TYPES.items()}
# Of so many channels a SKU's policies are kept resolved, about 150 bytes each: `channel` of a reserve is free text.
_KEPT_RESOLVED = 8


class OwnPolicies(dict[str, PolicyRow]):
    """A SKU's policies by channel; never changed in place.

    Attributes:
        resolved: what the register made of them, by channel.
        made_in: the register's state in which it did; they count for nothing in another one.
    """

    __slots__ = ("made_in", "resolved")

    def __init__(self, policies: Iterable[tuple[str, PolicyRow]] = ()) -> None:
        super().__init__(policies)
        self.resolved: dict[str, Policy] = {}
        self.made_in: object = None


NO_POLICIES = OwnPolicies()

Listing = TypeVar("Listing", ChannelRow, PolicyRow)


def with_shared_ids(row: Listing) -> Listing:
    """Return the row with its warehouse ids as the strings that all rows share."""
    if not row.warehouses:
        return row
    return msgspec.structs.replace(row, warehouses=tuple(map(shared_id, row.warehouses)))


class Register:
    """The reference rows in force, by name (`warehouse/ID`, `channel/ID`, `feed/ID`).

    Args:
        rows: name and bytes of each row.

    Attributes:
        warehouses: the warehouses that somebody set, by id.
        journalled: the warehouses whose movements are kept, by id.
        has_rules: whether a channel is set, or a warehouse so that it matters where no channel is.
        edition: another object after each change of a warehouse or channel.
    """

    def __init__(self, rows: Iterable[tuple[str, bytes]] = ()) -> None:
        self._rows: dict[str, ReferenceRow] = {}
        self.warehouses: dict[str, WarehouseRow] = {}
        self.journalled: dict[str, WarehouseRow] = {}
        self._policies: dict[str, Policy] = {}
        self._has_channels = False
        self._unlike_others: set[str] = set()  # warehouses that are disabled or have a priority of their own
        self.has_rules = False
        self.edition = object()
        for name, value in rows:
            self.put(name, _DECODERS[name.partition("/")[0]].decode(value))

    def find(self, name: str) -> ReferenceRow | None:
        """Return the row in force; None when nobody set it."""
        return self._rows.get(name)

    def put(self, name: str, row: ReferenceRow) -> None:
        """Put a row in force."""
        if isinstance(row, WarehouseRow):
            warehouse = shared_id(name.partition("/")[2])
            self.warehouses[warehouse] = row
            self.journalled.pop(warehouse, None)
            if row.journal_ms:
                self.journalled[warehouse] = row
            is_like_others = row.enabled and row.priority == DEFAULT_PRIORITY
            (self._unlike_others.discard if is_like_others else self._unlike_others.add)(name)
        elif isinstance(row, ChannelRow):
            row = with_shared_ids(row)
            self._has_channels = True
            self._policies = {}
        self._rows[name] = row
        if not isinstance(row, FeedRow):
            self.edition = object()
        self.has_rules = self._has_channels or bool(self._unlike_others)

    def has_rules_for(self, channel: str) -> bool:
        """Return whether what is set matters to a channel for a SKU without policies."""
        return bool(self._unlike_others) or self.policy(channel, NO_POLICIES) != DEFAULT_POLICY

    def policy(self, channel: str, own: OwnPolicies) -> Policy:
        """Return the resolved policy of a channel for a SKU.

        Args:
            channel: its id.
            own: the SKU's policies, by channel.
        """
        is_known = f"channel/{channel}" in self._rows
        if own:
            return self._resolve_own(channel if is_known or channel in own else "*", own)
        name = channel if is_known else "*"
        policy = self._policies.get(name)
        if policy is None:
            policy = self._policies[name] = resolve(filter(None, self._layers(name)))
        return policy

    def _resolve_own(self, channel: str, own: OwnPolicies) -> Policy:
        if own.made_in is not self._policies:
            own.made_in, own.resolved = self._policies, {}
        policy = own.resolved.get(channel)
        if policy is None:
            if len(own.resolved) >= _KEPT_RESOLVED:
                own.resolved = {}
            layers = (own.get(channel), own.get("*"), *self._layers(channel))
            policy = own.resolved[channel] = resolve(filter(None, layers))
        return policy

    def _layers(self, channel: str) -> tuple[ReferenceRow | None, ...]:
        return self._rows.get(f"channel/{channel}"), self._rows.get("channel/*")
