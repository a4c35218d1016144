"""Owns what must be true of the rows of a ledger after every record, by section 18 of the contract of the domain.

Written from the contract alone: what a channel may have, and who could be given what, is worked out here anew.
"""

from collections import Counter
from types import SimpleNamespace

from tables.core.register import Register
from tables.core.rows import (
    POLICY,
    RESERVATION,
    STOCK,
    ChannelRow,
    FullReservation,
    FullStock,
    WarehouseRow,
    decode_book,
    full,
    quarantine_of,
)

NO_CAP = 1 << 60
_EXTRAS = {
    "claims": (), "only": None, "region": None, "priority": None, "placed": None, "placed_at": None, "counted": False,
    "returned": 0, "kept_ms": None,
}  # fmt: skip
_DEFAULTS = {
    "enabled": True, "warehouses": None, "strategy": "priority", "split": True, "buffer": 0, "cap": None,
    "max_per_reservation": None, "backorder_limit": 0, "presell_horizon_ms": 0, "priority": 100,
}  # fmt: skip


class State:
    """The rows of a ledger as they are on disk, and what follows from them.

    Args:
        store: the ledger's.
        now: the clock (ms).
    """

    def __init__(self, store, now):
        self.now = now
        self.rows, self.books, self.holds, self.policies = {}, {}, {}, {}
        self.of_sku = {}
        reference, self.closed = [], set()
        for key, value in store.scan(b"I", b"T"):
            sku, _, name = key[1:].decode().partition("\0")
            match key[:1]:
                case b"I":
                    self.closed.add((sku, name))
                case b"K" if not sku:
                    reference.append((name, value))
                case b"K":
                    self.policies[sku, name] = POLICY.decode(value)
                case b"R":
                    self.holds[sku, name] = RESERVATION.decode(value)
                case b"S" if name:
                    self.rows[sku, name] = STOCK.decode(value)
                    self.of_sku.setdefault(sku, []).append(name)
                case b"S":
                    self.books[sku] = decode_book(value)
        register = Register(reference)
        names = [name for name, _ in reference]
        found = [(name.partition("/")[2], register.find(name)) for name in names]
        self.warehouses = {name: row for name, row in found if isinstance(row, WarehouseRow)}
        self.channels = {name: row for name, row in found if isinstance(row, ChannelRow)}
        self.in_force = {name: register.find(name) for name in names}

    # What the contract says in words (sections 4, 5 and 7).

    def policy(self, sku, channel):
        """Return the policy of a channel, resolved field by field."""
        layers = [self.policies.get((sku, name)) for name in (channel, "*")]
        layers += [self.channels.get(name) for name in (channel, "*")]
        known = [layer for layer in layers if layer is not None]
        fields = {
            name: next((value for layer in known if (value := getattr(layer, name)) is not None), default)
            for name, default in _DEFAULTS.items()
        }
        return SimpleNamespace(**fields)

    def is_pending(self, sku):
        """Return whether a SKU's queue is still to be looked at."""
        return sku in self.books and self.books[sku].since is not None

    def waiting(self, sku):
        """Return (rank, id, reservation) of those that wait for a SKU, by rank."""
        found = [(name, row) for (of, name), row in self.holds.items() if of == sku and _claims(row)]
        return sorted(((row.priority, row.placed), name, row) for name, row in found)

    def owed(self, sku):
        """Return what is due to a SKU's queue."""
        book = self.books.get(sku)
        return book.backordered + book.promised if self.is_pending(sku) else 0

    def is_open(self, policy, warehouse):
        """Return whether a warehouse is open to a channel."""
        known = self.warehouses.get(warehouse)
        return (known is None or known.enabled) and (policy.warehouses is None or warehouse in policy.warehouses)

    def free(self, sku, policy, owed=0):
        """Return the free units of the rows that are open to a channel."""
        found = {name: self.rows[sku, name] for name in self.of_sku.get(sku, ()) if self.is_open(policy, name)}
        return {name: max(0, it.on_hand - it.reserved - it.safety_stock - owed) for name, it in found.items()}

    def coming(self, sku, policy, *, until=None, owed=0):
        """Return (inbound, free units) of the announced goods that are open to a channel and still to come."""
        book = self.books.get(sku)
        return [
            (it, max(0, it.remaining - it.claimed - owed))
            for it in (book.inbounds if book else ())
            if self.is_open(policy, it.warehouse) and it.eta_at > self.now and (until is None or it.eta_at <= until)
        ]

    def availability(self, sku, channel):
        """Return what a query with the channel has to show."""
        policy, owed = self.policy(sku, channel), self.owed(sku)
        nothing = {"available": 0, "most_per_reservation": 0, "backorder_room": 0, "promises": []}
        if not policy.enabled or policy.warehouses == ():
            return {"channel": channel, "allowed": False} | nothing
        free = self.free(sku, policy, owed)
        shelf = max(0, sum(free.values()) - policy.buffer)
        book = self.books.get(sku)
        held, undated = next(((h, b) for name, h, b in (book.channels if book else ()) if name == channel), (0, 0))
        room = NO_CAP if policy.cap is None else max(0, policy.cap - held)
        available = min(shelf, room)
        most = min(available, NO_CAP if policy.max_per_reservation is None else policy.max_per_reservation)
        if not policy.split:
            most = min(most, max((min(units, shelf) for units in free.values()), default=0))
        near = [
            each
            for each in self.coming(sku, policy, until=self.now + policy.presell_horizon_ms, owed=owed)
            if each[1] > 0
        ]
        promises = [
            {"at": at, "available_to_promise": min(shelf + sum(units for it, units in near if it.eta_at <= at), room)}
            for at in sorted({it.eta_at for it, _ in near})
        ]
        return {
            "channel": channel, "allowed": True, "available": available, "most_per_reservation": most,
            "backorder_room": max(0, policy.backorder_limit - undated), "promises": promises,
        }  # fmt: skip

    def home(self, sku, row):
        """Return where a reservation that may not be split grows; None: anywhere."""
        places = {it.inbound_id: it.warehouse for it in self.books[sku].inbounds}
        dated = [places[name] for name, _, _ in row.claims if name is not None]
        return next(iter([row.only] if row.only else [name for name, _ in row.allocations] + dated), None)

    def can_be_filled(self, sku, row):
        """Return whether the step `fill` would give a reservation anything."""
        policy = self.policy(sku, row.channel)
        free = self.free(sku, policy)
        shelf = max(0, sum(free.values()) - policy.buffer)
        names = [name for name in free if row.only in {None, name}]
        if not policy.enabled:
            return False
        if policy.split:
            return min(shelf, sum(free[name] for name in names)) > 0
        home = self.home(sku, row)
        return row.waiting <= shelf and any(free[it] >= row.waiting for it in names if home in {None, it})

    def can_be_dated(self, sku, row):
        """Return whether the step `peg` would give a reservation a date."""
        policy, undated = self.policy(sku, row.channel), _undated(row)
        open_ = [(it, units) for it, units in self.coming(sku, policy) if row.only in {None, it.warehouse}]
        if not policy.enabled or not undated:
            return False
        if policy.split:
            return any(units for _, units in open_)
        home = self.home(sku, row)
        return any(units >= undated for it, units in open_ if home in {None, it.warehouse})

    # The invariants.

    def check(self, rules_changed):
        """Check what must be true of the rows; `rules_changed` are SKUs that nobody has looked at since."""
        self.check_reservations()
        self.check_sums()
        for sku, book in self.books.items():
            self.check_book(sku, book)
            if book.since is None and sku not in rules_changed:
                self.check_nobody_waits_for_what_is_there(sku)

    def check_reservations(self):
        """Check each reservation by itself, and that rows have the layout that their content asks for (1)."""
        for key, stored in self.holds.items():
            row = full(stored)
            parts = sum(units for _, units in row.allocations) + row.waiting
            assert row.quantity == row.committed + row.released + parts, (key, row)
            assert (row.state == "held") == (parts > 0), (key, row)
            assert 0 <= row.returned <= row.committed, (key, row)
            assert all(units > 0 for _, units in row.allocations), (key, row)
            assert all(units > 0 for _, units, _ in row.claims), (key, row)
            assert len({name for name, _ in row.allocations}) == len(row.allocations), (key, row)
            assert len({name for name, _, _ in row.claims}) == len(row.claims), (key, row)
            assert None not in [name for name, _, _ in row.claims[:-1]], (key, row)
            has_more = any(getattr(row, name) != default for name, default in _EXTRAS.items())
            assert isinstance(stored, FullReservation) == has_more, (key, stored)
            assert not row.claims or row.priority is not None, (key, row)
        for key, row in self.rows.items():
            assert isinstance(row, FullStock) == bool(quarantine_of(row)), (key, row)
            assert min(row.on_hand, row.reserved, row.damaged, row.safety_stock, row.inbound) >= 0, (key, row)

    def check_sums(self):
        """Check that rows and books count what reservations and announced goods say (2)."""
        reserved, claimed, undated, held, inbound = Counter(), Counter(), Counter(), Counter(), Counter()
        for (sku, _), row in self.holds.items():
            for warehouse, units in row.allocations:
                reserved[sku, warehouse] += units
            for name, units, _ in _claims(row):
                claimed[sku, name] += units
            undated[sku, row.channel] += _undated(row)
            held[sku, row.channel] += row.left if full(row).counted else 0
        for sku, book in self.books.items():
            for it in book.inbounds:
                inbound[sku, it.warehouse] += it.remaining
        assert +reserved == _positive({key: row.reserved for key, row in self.rows.items()})
        assert +inbound == _positive({key: row.inbound for key, row in self.rows.items()})
        books = self.books.items()
        on = {(sku, it.inbound_id): it.claimed for sku, book in books for it in book.inbounds}
        on |= {(sku, None): book.backordered for sku, book in books}
        assert +claimed == _positive(on)
        channels = [(sku, *each) for sku, book in books for each in book.channels]
        assert +undated == _positive({(sku, name): units for sku, name, _, units in channels})
        assert +held == _positive({(sku, name): units for sku, name, units, _ in channels})

    def check_book(self, sku, book):
        """Check a book by itself, and that the dates that were said are those in force (2, 3)."""
        assert book.promised == sum(it.claimed for it in book.inbounds), (sku, book)
        assert [*book.inbounds] == sorted(book.inbounds, key=lambda it: (it.eta_at, it.inbound_id)), (sku, book)
        assert [*book.channels] == sorted(each for each in book.channels if each[1] or each[2]), (sku, book)
        dates = {it.inbound_id: it.eta_at for it in book.inbounds}
        for it in book.inbounds:
            assert 0 <= it.landed <= it.claimed, (sku, it)
            assert it.remaining or (it.claimed and (sku, it.inbound_id) in self.closed), (sku, it)
            assert self.is_pending(sku) or not (it.landed or it.claimed > it.remaining), (sku, it)
        for _, _, row in () if self.is_pending(sku) else self.waiting(sku):
            for name, _, said in row.claims:
                assert said == (None if name is None else dates[name]), (sku, row)
        assert not book.settling or self.is_pending(sku), (sku, book)

    def check_nobody_waits_for_what_is_there(self, sku):
        """Check that nobody could be given anything, where the rules did not change (4)."""
        waiting = [row for _, _, row in self.waiting(sku)]
        for row in _heads(waiting):
            assert not self.can_be_filled(sku, row), (sku, row, "waits for what is there")
        for row in _heads(row for row in waiting if _undated(row)):
            assert not self.can_be_dated(sku, row), (sku, row, "waits for what is coming")


def _claims(row):
    return full(row).claims


def _undated(row):
    return sum(units for name, units, _ in _claims(row) if name is None)


def _heads(by_rank):
    """Return the best of each class."""
    heads = {}
    for row in by_rank:
        heads.setdefault((row.channel, row.only), row)
    return heads.values()


def _positive(units):
    return +Counter(units)
