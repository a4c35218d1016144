"""Owns the invariants: what must be true of a partition's state after any commands."""

from audit.model.documents import QUANTITIES, Hold
from audit.model.oracle import Model
from audit.report.report import Invariant


def check_state(model: Model) -> list[Invariant]:
    """Check the state of the model. The ledger's rows are equal unless the report has a difference."""
    rows = [(sku, warehouse, row) for sku, item in model.items.items() for warehouse, row in item.rows.items()]
    negative = [
        f"{sku}/{warehouse} {name} {getattr(row, name)}"
        for sku, warehouse, row in rows
        for name in QUANTITIES
        if getattr(row, name) < 0
    ]
    short = sum(row.reserved > row.on_hand for _, _, row in rows)
    held: dict[tuple[str, str], int] = {}
    for key, hold in model.holds.items():
        if isinstance(hold, Hold):
            sku = key.partition("\0")[0]
            for warehouse, quantity in hold.allocations:
                held[sku, warehouse] = held.get((sku, warehouse), 0) + quantity
    wrong = [
        f"{sku}/{warehouse} reserved {row.reserved}, held {held.get((sku, warehouse), 0)}"
        for sku, warehouse, row in rows
        if row.reserved != held.pop((sku, warehouse), 0)
    ] + [f"{sku}/{warehouse} no row, held {quantity}" for (sku, warehouse), quantity in held.items()]
    return [
        Invariant(
            "no bucket is negative",
            holds=not negative,
            checked=len(rows),
            note="; ".join(negative[:3]) or (f"{short} rows in flagged shortfall" if short else ""),
        ),
        Invariant(
            "reserved is the sum of what open reservations hold",
            holds=not wrong,
            checked=len(rows),
            note="; ".join(wrong[:3]),
        ),
        _check_held(model),
        _check_waiting(model),
        _check_announced(model),
    ]


def _check_held(model: Model) -> Invariant:
    """Check that a channel holds of a SKU what its counted reservations have left."""
    left: dict[tuple[str, str], int] = {}
    for key, hold in model.holds.items():
        if isinstance(hold, Hold) and hold.counted:
            place = key.partition("\0")[0], hold.channel
            left[place] = left.get(place, 0) + hold.quantity - hold.committed - hold.released
    held = {(sku, channel): units for sku, book in model.books.items() for channel, units in book.held.items()}
    wrong = [
        f"{sku} of {channel}: held {held.get((sku, channel), 0)}, left {left.get((sku, channel), 0)}"
        for sku, channel in sorted(held.keys() | left.keys())
        if held.get((sku, channel)) != left.get((sku, channel))
    ]
    return Invariant(
        "what a channel holds is what its counted reservations have left",
        holds=not wrong,
        checked=len(held),
        note="; ".join(wrong[:3]),
    )


def _check_waiting(model: Model) -> Invariant:
    """Check that units of a reservation are somewhere, and that a SKU is owed without a date what waits like that."""
    lost: list[str] = []
    waiting: dict[tuple[str, str], int] = {}
    for key, hold in model.holds.items():
        if isinstance(hold, Hold):
            if hold.left != sum(units for _, units in hold.allocations) + hold.waiting:
                lost.append(f"{key!r} has {hold.left} left")
            place = key.partition("\0")[0], hold.channel
            waiting[place] = waiting.get(place, 0) + hold.undated
    booked = {(sku, channel): units for sku, book in model.books.items() for channel, units in book.undated.items()}
    wrong = lost + [
        f"{sku} of {channel}: backordered {booked.get((sku, channel), 0)}, waiting {waiting.get((sku, channel), 0)}"
        for sku, channel in sorted(booked.keys() | waiting.keys())
        if booked.get((sku, channel), 0) != waiting.get((sku, channel), 0)
    ]
    return Invariant(
        "what is left of a reservation is allocated or waits, and the book has what waits",
        holds=not wrong,
        checked=model.open,
        note="; ".join(wrong[:3]),
    )


def _check_announced(model: Model) -> Invariant:
    """Check that claims are counted on what they are on, and that rows expect what remains of it."""
    rows = [(sku, warehouse) for sku, item in model.items.items() for warehouse in item.rows]
    wrong = _wrong_inbounds(model) + _wrong_dates(model)
    coming = dict.fromkeys(rows, 0)
    for sku, book in model.books.items():
        for inbound in book.inbounds.values():
            coming[sku, inbound.warehouse] = coming.get((sku, inbound.warehouse), 0) + inbound.remaining
    for (sku, warehouse), units in coming.items():
        row = model.items[sku].rows.get(warehouse)
        found = 0 if row is None else row.inbound
        if found != units:
            wrong.append(f"{sku}/{warehouse} inbound {found}, {units} remain")
    return Invariant(
        "announced goods are claimed by what reservations wait for, and rows expect what remains of them",
        holds=not wrong,
        checked=len(rows),
        note="; ".join(wrong[:3]),
    )


def _wrong_inbounds(model: Model) -> list[str]:
    """Return the announced goods whose claims or landed units are wrong, or that are over."""
    claimed: dict[tuple[str, str | None], int] = {}
    for key, hold in model.holds.items():
        for inbound_id, units, _ in hold.claims if isinstance(hold, Hold) else ():
            place = key.partition("\0")[0], inbound_id
            claimed[place] = claimed.get(place, 0) + units
    wrong = []
    for sku, book in model.books.items():
        for name, inbound in book.inbounds.items():
            units, landed = claimed.pop((sku, name), 0), inbound.landed
            is_settled = book.since is not None or not (landed or inbound.excess)
            if inbound.claimed != units or not 0 <= landed <= units or not is_settled:
                wrong.append(f"{sku} {name}: claimed {inbound.claimed}, claims {units}, landed {landed}")
            if not (inbound.remaining or inbound.claimed):
                wrong.append(f"{sku} {name}: nothing remains or is claimed")
    return wrong + [f"{sku} {name}: none, claims {units}" for (sku, name), units in claimed.items() if name]


def _wrong_dates(model: Model) -> list[str]:
    """Return the claims of settled SKUs whose reservation knows another date."""
    wrong = []
    for book in model.books.values():
        for key in book.queue.by_rank() if book.since is None else ():
            for inbound_id, _, promised_at in model.held(key).claims:
                if inbound_id is not None and promised_at != book.inbounds[inbound_id].eta_at:
                    wrong.append(f"{key!r}: {inbound_id} was said to come at {promised_at}")
    return wrong


def check_sequence(published: int, sequences: int, skus: int) -> Invariant:
    """Check that the number of stock changes equals the sum of the SKUs' sequence numbers, so that none has a gap.

    Args:
        published: how many stock changes were published in the right order.
        sequences: the sum of all SKUs' sequence numbers.
        skus: how many SKUs there are.
    """
    note = "" if published == sequences else f"{published} stock changes, but the sequences count {sequences}"
    return Invariant("every SKU's sequence is without a gap", holds=published == sequences, checked=skus, note=note)


def check_oversold(oversold: int, changes: int) -> Invariant:
    """Check that no reserve made available negative."""
    return Invariant("no reserve made available negative", holds=oversold == 0, checked=changes, note="")
