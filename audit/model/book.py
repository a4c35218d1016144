"""Owns the book of a SKU, its row under the empty warehouse id, and the SKU's policies."""

from audit.model.documents import ROW_VERSION, Hold, Json, encode_row
from audit.model.inbounds import Inbound
from audit.model.policies import POLICY_FIELDS, PolicyAsSet
from audit.model.queue import Queue, ranked

MAX_POLICIES = 100
MAX_CHANNELS = 1_000


class Book:
    """What channels hold of a SKU, what waits for it, what is announced, and the policies of the SKU by channel.

    `seq` is the SKU's sequence number at the last change of what is published of the book; 0 before the first.
    `since` is the offset since which the SKU is pending: it has to be looked at. None: it is not.
    `settling` is whether a tail left it unfinished.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.since: int | None = None
        self.settling = False
        self.held: dict[str, int] = {}  # channel -> units that its counted reservations have left; never 0
        self.undated: dict[str, int] = {}  # channel -> units that wait without a date; never 0
        self.queue = Queue()
        self.undated_queue = Queue()  # those of the queue with units that wait without a date
        self.inbounds: dict[str, Inbound] = {}
        self.policies: dict[str, PolicyAsSet] = {}
        self.published = self.document()  # what was last published of it

    def count(self, key: str, hold: Hold) -> None:
        """Add what a reservation has: units of its channel's cap, and units that wait."""
        if hold.counted:
            self.hold(hold.channel, hold.left)
        if hold.claims:
            self.queue.add(key, hold)
            for claim in hold.claims:
                if claim[0] is None:
                    _add(self.undated, hold.channel, claim[1])
                    self.undated_queue.add(key, hold)
                else:
                    self.inbounds[claim[0]].claim(ranked(key, hold), claim)

    def discount(self, key: str, hold: Hold) -> None:
        """Take away what a reservation has, before it changes."""
        if hold.counted:
            self.hold(hold.channel, -hold.left)
        if hold.claims:
            self.queue.remove(key, hold)
            for claim in hold.claims:
                if claim[0] is None:
                    _add(self.undated, hold.channel, -claim[1])
                    self.undated_queue.remove(key, hold)
                else:
                    self.inbounds[claim[0]].unclaim(ranked(key, hold), claim)

    def hold(self, channel: str, units: int) -> None:
        """Let the counted reservations of a channel hold more units, or fewer."""
        _add(self.held, channel, units)

    @property
    def backordered(self) -> int:
        """The units that wait without a date."""
        return sum(self.undated.values())

    @property
    def promised(self) -> int:
        """The units that wait for announced goods."""
        return sum(inbound.claimed for inbound in self.inbounds.values())

    @property
    def owed(self) -> int:
        """What is due to those that wait: nobody else gets it while the SKU is pending."""
        return 0 if self.since is None else self.backordered + self.promised

    def has_no_place_for(self, channel: str) -> bool:
        """Return whether units of the channel, held or waiting, would be those of one channel too many."""
        return len({*self.held, *self.undated, channel}) > MAX_CHANNELS

    def by_date(self) -> list[Inbound]:
        """Return the announced goods in the order in which they are taken and published."""
        return sorted(self.inbounds.values(), key=lambda inbound: (inbound.eta_at, inbound.inbound_id))

    def trim(self) -> None:
        """Let landed goods be no more than is claimed, and forget inbounds that nothing remains or is claimed of."""
        for inbound in list(self.inbounds.values()):
            inbound.landed = min(inbound.landed, inbound.claimed)
            if not inbound.remaining and not inbound.claimed:
                del self.inbounds[inbound.inbound_id]

    def document(self) -> Json:
        """Return the `book` of a stock change."""
        return self._document(settling=self.settling)

    def document_of_query(self) -> Json:
        """Return the `book` of a query, in which `settling` is exact: something is owed."""
        return self._document(settling=self.owed > 0)

    def says_something(self) -> bool:
        """Return whether a query's document holds anything but zeros and empty lists."""
        return any(self.document_of_query().values())

    def row(self) -> bytes:
        """Return the ledger's row."""
        inbounds = [inbound.row() for inbound in self.by_date()]
        channels = [list(entry.values()) for entry in self._channels()]
        queue = (self.since, self.settling, self.backordered, self.promised)
        return encode_row((ROW_VERSION, self.seq, *queue, len(self.policies), inbounds, channels))

    def _document(self, *, settling: bool) -> Json:
        document: Json = {"backordered": self.backordered, "promised": self.promised}
        if settling:
            document["settling"] = True
        inbounds = [inbound.document() for inbound in self.by_date()]
        return document | {"inbounds": inbounds, "channels": self._channels()}

    def _channels(self) -> list[Json]:
        names = sorted(self.held.keys() | self.undated.keys())  # code points sort as their UTF-8 bytes do
        return [
            {"channel": name, "held": self.held.get(name, 0), "backordered": self.undated.get(name, 0)}
            for name in names
        ]


def _add(units_of: dict[str, int], channel: str, units: int) -> None:
    units_of[channel] = units_of.get(channel, 0) + units
    if units_of[channel] == 0:
        del units_of[channel]


def policy_row(policy: PolicyAsSet) -> bytes:
    """Return the ledger's row of a policy."""
    return encode_row((ROW_VERSION, *policy))


def policy_document(sku: str, channel: str, policy: PolicyAsSet, at: int) -> Json:
    """Return the value of a policy's record in `inventory.reference`."""
    given = {name: value for name, value in zip(POLICY_FIELDS, policy, strict=True) if value is not None}
    return {"kind": "policy", "channel": channel, "sku": sku, "at": at, **given}
