"""Owns commands that are aimed at what is there: at those who hold, who wait, and at goods that nobody may take."""

import json

from tables.core.rows import full
from tests.tables.histories import SKUS, WAREHOUSES, Told


def aim(chance, state, number, rules_changed=()):
    """Return a command for a ledger as it stands; None where there is nothing to aim at.

    Args:
        chance: chooses.
        state: the rows of the ledger.
        number: of the command; its id and version are made of it.
        rules_changed: SKUs whose queue nobody has looked at since the rules changed.
    """
    pending = [sku for sku in SKUS if state.is_pending(sku)]
    sku = chance.choice(pending or SKUS)
    if rules_changed and chance.random() < 0.5:
        settle = {"type": "settle", "sku": chance.choice(sorted(rules_changed)), "command_id": f"aimed-{number}"}
        return Told(state.now, json.dumps(settle).encode())
    kind = _give_back if _landed(state, sku) and chance.random() < 0.4 else chance.choice(_KINDS)
    fields = kind(chance, state, sku)
    if fields is None:
        return None
    ids = {"command_id": f"aimed-{number}"}
    ids |= {"version": number} if fields["type"] in {"set_channel", "set_warehouse"} else {"sku": sku}
    return Told(state.now, json.dumps(ids | fields).encode())


def _holds(state, sku):
    return [(name, full(row)) for (of, name), row in state.holds.items() if of == sku and row.state == "held"]


def _landed(state, sku):
    """Return the announced goods that have come for somebody who does not have them yet."""
    return {it.inbound_id for it in state.books[sku].inbounds if it.landed} if sku in state.books else set()


def _reallocate(chance, state, sku):
    held = [(name, *part) for name, row in _holds(state, sku) for part in row.allocations]
    if not held:
        return None
    name, source, units = chance.choice(held)
    to = chance.choice([it for it in WAREHOUSES if it != source])
    quantity = chance.randint(1, units)
    return {"type": "reallocate", "reservation_id": name, "from": source, "to": to, "quantity": quantity}


def _transfer(chance, state, sku):
    rows = [(name, state.rows[sku, name]) for name in state.of_sku.get(sku, ())]
    rows = [(name, row.on_hand - row.reserved) for name, row in rows if row.on_hand > row.reserved]
    if not rows:
        return None
    source, units = chance.choice(rows)
    to = chance.choice([it for it in WAREHOUSES if it != source])
    return {"type": "transfer", "from": source, "to": to, "quantity": chance.randint(1, units)}


def _amend(chance, state, sku):
    held = _holds(state, sku)
    if not held:
        return None
    name, row = chance.choice(held)
    quantity = max(1, row.quantity + chance.choice([-2, -1, 1, 1, 2, 3]))
    wait = chance.choice(["none", "inbound", "any"])
    return {
        "type": "amend",
        "reservation_id": name,
        "quantity": quantity,
        "wait": wait,
        "partial": chance.random() < 0.5,
    }


def _receive(chance, state, sku):
    coming = [it for it in state.books[sku].inbounds if it.remaining] if sku in state.books else []
    if not coming:
        return None
    inbound = chance.choice([it for it in coming if it.claimed] or coming)
    fields = {"type": "receive_inbound", "inbound_id": inbound.inbound_id, "damaged": chance.choice([0, 0, 1])}
    return fields | {"quantity": chance.randint(1, inbound.remaining), "final": chance.random() < 0.3}


def _change_inbound(chance, state, sku):
    promised = [it for it in state.books[sku].inbounds if it.remaining and it.claimed] if sku in state.books else []
    if not promised:
        return None
    inbound = chance.choice(promised)
    fields = {"inbound_id": inbound.inbound_id}
    match chance.randrange(4):
        case 0:
            return fields | {"type": "cancel_inbound"}
        case 1:
            return fields | {"type": "amend_inbound", "quantity": chance.randint(0, inbound.quantity)}
    return fields | {"type": "amend_inbound", "eta_at": inbound.eta_at + chance.choice([-2, -1, 1, 2, 50])}


def _give_back(chance, state, sku):
    held = _holds(state, sku)
    if not held:
        return None
    landed = _landed(state, sku)
    name, row = chance.choice([it for it in held if landed & {of for of, _, _ in it[1].claims}] or held)
    type_ = chance.choice(["release", "release", "commit"])
    return {"type": type_, "reservation_id": name, "quantity": chance.randint(1, row.left)}


def _return(chance, state, sku):
    sold = [(name, full(row)) for (of, name), row in state.holds.items() if of == sku and row.committed]
    if not sold:
        return None
    name, row = chance.choice(sold)
    fields = {"type": "return", "reservation_id": name, "warehouse": chance.choice(WAREHOUSES)}
    quantity = chance.randint(1, row.committed - row.returned + 1)
    return fields | {"quantity": quantity, "disposition": chance.choice(["restock", "inspect"])}


def _reconcile(chance, state, sku):
    known = [name for name in state.of_sku.get(sku, ()) if (it := state.warehouses.get(name)) and it.journal_ms]
    if not known:
        return None
    name = chance.choice(known)
    counted = max(0, state.rows[sku, name].on_hand + chance.choice([-2, -1, 0, 1, 2]))
    as_of_at = state.now - chance.choice([0, 0, 1, 1, 2, 3, 5, 20])
    return {"type": "reconcile", "warehouse": name, "counted_on_hand": counted, "as_of_at": as_of_at}


def _set_policy(chance, state, sku):
    held = _holds(state, sku)
    if not held:
        return None
    row = chance.choice([row for _, row in held if row.waiting] or [row for _, row in held])
    policy = chance.choice([
        {"cap": 25}, {"cap": 9}, {"cap": 9, "backorder_limit": 30}, {"split": False}, {"warehouses": ["york", "leeds"]},
        {"enabled": False}, {"presell_horizon_ms": 300, "backorder_limit": 30}, {"enabled": True}, {"split": True}, {},
    ])  # fmt: skip
    type_ = chance.choice(["set_policy", "set_policy", "set_channel"])
    # What was closed is opened, and what was open is closed.
    if not state.policy(sku, row.channel).enabled:
        policy = {"enabled": True}
    return {"type": type_, "channel": row.channel} | policy


def _set_warehouse(chance, state, _sku):
    disabled = [name for name, row in state.warehouses.items() if not row.enabled]
    name = chance.choice(disabled or WAREHOUSES)
    return {"type": "set_warehouse", "warehouse": name, "enabled": bool(disabled), "journal_ms": chance.choice([0, 50])}


def _reserve(chance, state, sku):
    fields = {
        "type": "reserve",
        "reservation_id": f"aimed-{chance.randrange(10**6)}",
        "quantity": chance.choice([1, 1, 2, 3, 5]),
    }
    channels = sorted({row.channel for _, row in _holds(state, sku)}) or ["web"]
    wait = chance.choice(["none", "inbound", "inbound", "any"])
    return fields | {"channel": chance.choice(channels), "wait": wait, "partial": True, "ttl_ms": 0}


_KINDS = [
    _reallocate, _transfer, _amend, _amend, _receive, _receive, _change_inbound, _give_back, _give_back, _return,
    _reconcile,     _set_policy, _set_policy, _set_warehouse, _reserve, _reserve, _reserve,
]  # fmt: skip
