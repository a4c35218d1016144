"""Owns the view of reference data: what is in force in each partition, from `inventory.reference`.

A partition's own records say exactly what its decisions rest on. For one answer over all partitions, the greatest
(version, command_id, content) counts, as in each ledger; partitions differ only by their lag.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from schemas.policies import Policy, resolve, shared_id
from schemas.reference import Channel, FeedState, OfEverySku, Reference, SkuPolicy, Warehouse, rank_of

Document = TypeVar("Document", Warehouse, Channel, FeedState)

_decode = msgspec.json.Decoder(Reference).decode


class PartitionRules:
    """The reference data in force in one partition."""

    def __init__(self) -> None:
        self.warehouses: dict[str, Warehouse] = {}
        self.channels: dict[str, Channel] = {}
        self.feeds: dict[str, FeedState] = {}
        self._policies: dict[str, dict[str, SkuPolicy]] = {}  # by SKU, then by channel

    def policy(self, channel: str, sku: str) -> Policy:
        """Return the resolved policy of a channel for a SKU."""
        return resolve(document for _, document in self.layers(channel, sku))

    def layers(self, channel: str, sku: str) -> Iterator[tuple[str, SkuPolicy | Channel]]:
        """Yield the documents that a policy is made of, the strongest first, each with its key."""
        own = self._policies.get(sku, {})
        for name in (channel, "*"):
            if (policy := own.get(name)) is not None:
                yield f"policy/{name}/{sku}", policy
        for name in (channel, "*"):
            if (document := self.channels.get(name)) is not None:
                yield f"channel/{name}", document

    def own_policies(self, sku: str) -> list[SkuPolicy]:
        """Return the policies of a SKU, by channel."""
        return [policy for _, policy in sorted(self._policies.get(sku, {}).items())]

    def put(self, document: Reference) -> None:
        """Put a document in force. Warehouse ids in policies become strings that all documents share."""
        if isinstance(document, Channel | SkuPolicy) and document.warehouses:
            document.warehouses = [*map(shared_id, document.warehouses)]
        match document:
            case Warehouse():
                self.warehouses[document.id] = document
            case Channel():
                self.channels[document.id] = document
            case FeedState():
                self.feeds[document.id] = document
            case SkuPolicy():
                self._policies.setdefault(document.sku, {})[document.channel] = document

    def remove(self, key: str) -> None:
        """Remove a policy, by the key of its record; only policies are ever removed."""
        kind, _, rest = key.partition("/")
        channel, _, sku = rest.partition("/")
        if kind == "policy" and sku in self._policies:
            self._policies[sku].pop(channel, None)
            if not self._policies[sku]:
                del self._policies[sku]


class Behind(NamedTuple):
    """A key of reference data: the greatest document of any partition, and the partitions that lack it."""

    key: str
    document: OfEverySku
    partitions: list[int]


class ReferenceView:
    """The reference data of all partitions.

    Args:
        partitions: how many there are.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self.clear()

    def clear(self) -> None:
        """Forget everything, before the topic is read again from its beginning."""
        self.of = [PartitionRules() for _ in range(self._partitions)]

    def apply(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Apply a record of `inventory.reference`.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError: it is not written by a worker.
        """
        rules = self.of[partition]
        if value is None:
            rules.remove((key or b"").decode())
        else:
            rules.put(_decode(value))

    def all(self) -> Iterator[Behind]:
        """Yield every warehouse, channel and feed, with the partitions that lack it or have a smaller one."""
        for kind, known in (("warehouse", self.warehouses()), ("channel", self.channels()), ("feed", self.feeds())):
            for name, document in known.items():
                key = f"{kind}/{name}"
                held, rank = (getattr(rules, f"{kind}s").get(name) for rules in self.of), rank_of(key, document)
                behind = [number for number, it in enumerate(held) if it is None or rank_of(key, it) < rank]
                yield Behind(key, document, behind)

    def warehouses(self) -> Mapping[str, Warehouse]:
        """Return each warehouse as it is in force, or will be once every partition has it; by id."""
        return _greatest("warehouse", (rules.warehouses for rules in self.of))

    def channels(self) -> Mapping[str, Channel]:
        """Return each channel as it is in force, or will be once every partition has it; by id."""
        return _greatest("channel", (rules.channels for rules in self.of))

    def feeds(self) -> Mapping[str, FeedState]:
        """Return the last known state of each feed, by id."""
        return _greatest("feed", (rules.feeds for rules in self.of))


def _greatest(kind: str, found: Iterable[Mapping[str, Document]]) -> dict[str, Document]:
    best: dict[str, Document] = {}
    for documents in found:
        for name, document in documents.items():
            known = best.get(name)
            if known is None or rank_of(f"{kind}/", document) > rank_of(f"{kind}/", known):
                best[name] = document
    return dict(sorted(best.items()))
