"""Owns how units come to a reservation's allocations and claims, and leave them."""

from audit.model.documents import Hold, Holding, StockRow, draw_from
from audit.model.parts import Item
from audit.model.placing import Placing
from audit.model.policies import PolicyInForce
from audit.model.state import PartitionState
from schemas.stock_changes import Cause

Touched = list[tuple[str, StockRow]]


def put(state: PartitionState, sku: str, hold: Hold, placing: Placing, policy: PolicyInForce, cause: Cause) -> Touched:
    """Give a reservation what was placed, and publish the rows; they are returned in the order of the allocations."""
    item = state.items[sku]
    touched = [reserve_at(state, sku, item, holding, cause) for holding in placing.rows]
    for warehouse, units in placing.rows:
        allocate(hold, warehouse, units)
    for inbound_id, units in placing.inbounds:
        promise(state, sku, hold, inbound_id, units)
    if placing.backordered:
        wait(hold, placing.backordered)
    if hold.claims and hold.priority is None:  # its rank is given with its first claim, and stays
        hold.priority, hold.placed, hold.placed_at = policy.priority, state.offset, state.now
    return touched


def promise(state: PartitionState, sku: str, hold: Hold, inbound_id: str, units: int) -> None:
    """Let units wait for announced goods, whose date is said anew; 0 units: say their date."""
    eta_at = state.books[sku].inbounds[inbound_id].eta_at
    waits = {claim[0]: claim for claim in hold.claims}
    undated = waits.pop(None, None)  # always the last claim
    _, has, _ = waits.get(inbound_id, (inbound_id, 0, None))
    waits[inbound_id] = (inbound_id, has + units, eta_at)
    hold.claims = [*waits.values()] if undated is None else [*waits.values(), undated]


def wait(hold: Hold, units: int) -> None:
    """Let units wait without a date; this claim is always the last."""
    dated = [claim for claim in hold.claims if claim[0] is not None]
    hold.claims = [*dated, (None, hold.undated + units, None)]


def take_claim(hold: Hold, inbound_id: str | None, at_most: int) -> int:
    """Take units from one claim of a reservation, and return how many those were."""
    (there,) = [units for name, units, _ in hold.claims if name == inbound_id]
    taken = min(there, at_most)
    claims = [(name, units - (taken if name == inbound_id else 0), date) for name, units, date in hold.claims]
    hold.claims = [claim for claim in claims if claim[1]]
    return taken


def allocate(hold: Hold, warehouse: str, units: int) -> None:
    """Add units to the allocation at a warehouse, or take some away; a new one comes last, one of 0 is gone."""
    there = dict(hold.allocations)
    there[warehouse] = there.get(warehouse, 0) + units
    hold.allocations = [holding for holding in there.items() if holding[1]]


def reserve_at(state: PartitionState, sku: str, item: Item, holding: Holding, cause: Cause) -> tuple[str, StockRow]:
    """Reserve more units of a row, or fewer, and publish it."""
    warehouse, units = holding
    row = item.rows[warehouse]
    row.reserved += units
    state.change(sku, item, warehouse, row, cause, {"reserved": units})
    return warehouse, row


def take_claims(hold: Hold, quantity: int) -> int:
    """Take units from a reservation's claims, from the last to the first, and return how many those were."""
    before = hold.waiting
    kept = before - min(before, quantity)
    claims = []
    for inbound_id, units, promised_at in hold.claims:
        if part := min(units, kept):
            claims.append((inbound_id, part, promised_at))
        kept -= part
    hold.claims = claims
    return min(before, quantity)


def give_back(state: PartitionState, sku: str, hold: Hold, quantity: int, cause: Cause) -> Touched:
    """Take units from a reservation, from its last claim to its first allocation, and publish the rows."""
    item = state.items[sku]
    rest = quantity - take_claims(hold, quantity)
    # Units are taken from the last allocation first; stock changes are in the order of the allocations.
    taken = draw_from(reversed(hold.allocations), rest)[::-1]
    touched = [reserve_at(state, sku, item, (warehouse, -units), cause) for warehouse, units in taken]
    for warehouse, units in taken:
        allocate(hold, warehouse, -units)
    return touched
