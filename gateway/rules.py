"""Owns the view of reference data: what is in force in each partition, from `inventory.reference`.

A partition's own records say exactly what its decisions rest on. For one answer over all partitions, the greatest
(version, command_id, content) counts, as in each ledger; partitions differ only by their lag.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Literal, NamedTuple

import msgspec

from schemas.policies import Policy, resolve, shared_id
from schemas.reference import Channel, FeedState, OfEverySku, Reference, SkuPolicy, Warehouse, version_of

# Documents in one answer: 100 channels that list 1,000 warehouses each make 3.5 MB.
MOST_LISTED = 100

Kind = Literal["warehouse", "channel", "feed"]

_decode = msgspec.json.Decoder(Reference).decode


_numbers = count(1)


class PartitionRules:
    """The reference data in force in one partition; `number` is another one, never used before, after each change."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.warehouses: dict[str, Warehouse] = {}
        self.channels: dict[str, Channel] = {}
        self.feeds: dict[str, FeedState] = {}
        self._policies: dict[str, dict[str, SkuPolicy]] = {}  # by SKU, then by channel

    def of_kind(self, kind: Kind) -> Mapping[str, OfEverySku]:
        """Return the documents of a kind, by id."""
        if kind == "warehouse":
            return self.warehouses
        return self.channels if kind == "channel" else self.feeds

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
        self.number = next(_numbers)
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
        self.number = next(_numbers)
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
        self._ids: dict[Kind, list[str]] = {"warehouse": [], "channel": [], "feed": []}  # sorted; none ever goes

    def apply(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Apply a record of `inventory.reference`.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError: it is not written by a worker.
        """
        rules = self.of[partition]
        if value is None:
            rules.remove((key or b"").decode())
            return
        document = _decode(value)
        rules.put(document)
        match document:
            case Warehouse():
                self._note("warehouse", document.id)
            case Channel():
                self._note("channel", document.id)
            case FeedState():
                self._note("feed", document.id)

    def _note(self, kind: Kind, id_: str) -> None:
        ids = self._ids[kind]
        place = bisect_left(ids, id_)
        if place == len(ids) or ids[place] != id_:
            ids.insert(place, id_)

    def all(self) -> Iterator[Behind]:
        """Yield every warehouse, channel and feed, with the partitions that lack it or have a smaller one."""
        for kind, names in self._ids.items():
            for name in names:
                key = f"{kind}/{name}"
                held = [rules.of_kind(kind).get(name) for rules in self.of]
                ranks = [None if it is None else version_of(key, it) for it in held]
                most = max(filter(None, ranks))
                behind = [number for number, rank in enumerate(ranks) if rank != most]
                document = held[ranks.index(most)]
                assert document is not None  # noqa: S101 - it has a rank
                yield Behind(key, document, behind)

    def find(self, kind: Kind, id_: str) -> OfEverySku | None:
        """Return a document as it is in force, or will be once every partition has it; None when nobody set it."""
        held = [it for rules in self.of if (it := rules.of_kind(kind).get(id_)) is not None]
        return max(held, key=partial(version_of, f"{kind}/{id_}"), default=None)

    def feeds(self) -> dict[str, FeedState]:
        """Return the last known state of each feed, by id."""
        found = {id_: self.find("feed", id_) for id_ in self._ids["feed"]}
        return {id_: it for id_, it in found.items() if isinstance(it, FeedState)}

    def count(self, kind: Kind) -> int:
        """Return how many there are of a kind."""
        return len(self._ids[kind])

    def page(self, kind: Kind, after: str, limit: int) -> tuple[list[OfEverySku], str | None]:
        """Return the documents of a kind whose ids come after one, and the last one's id if more follow.

        Args:
            kind: which.
            after: an id, or any other string.
            limit: how many at most, 1 or more.
        """
        ids = self._ids[kind]
        start = bisect_right(ids, after)
        listed = ids[start : start + limit]
        found = [it for id_ in listed if (it := self.find(kind, id_)) is not None]
        return found, listed[-1] if start + limit < len(ids) else None
