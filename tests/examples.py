"""Owns the examples of commands, one or more for each type: what holds of every command is tested with these."""

import json

from schemas.commands import COMMAND_TYPES, Tick, tag_of

# Every field of a type is given in one of its examples; each differs from its default.
EXAMPLES = [
    {"type": "adjust", "command_id": "c", "sku": "S", "warehouse": "w", "delta": 5, "reason": "receipt"},
    {"type": "adjust", "command_id": "c", "sku": "S", "warehouse": "w", "count": 5, "reason": "damage",
     "bucket": "damaged", "expected_on_hand": 0, "reference": "note"},
    {"type": "reserve", "command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 3, "channel": "web",
     "warehouse": "w", "ttl_ms": 7, "order_id": "o", "partial": True, "region": "north", "wait": "inbound",
     "promise_by": 9},
    {"type": "amend", "command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 2, "partial": True,
     "wait": "inbound", "promise_by": 9, "channels": ["default"]},
    {"type": "reallocate", "command_id": "c", "sku": "S", "reservation_id": "r", "from": "w", "to": "x", "quantity": 1,
     "channels": ["default"]},
    {"type": "expect_inbound", "command_id": "c", "sku": "S", "inbound_id": "po", "warehouse": "w", "quantity": 4,
     "eta_at": 9, "reference": "note"},
    {"type": "amend_inbound", "command_id": "c", "sku": "S", "inbound_id": "po", "quantity": 3, "eta_at": 8},
    {"type": "receive_inbound", "command_id": "c", "sku": "S", "inbound_id": "po", "quantity": 2, "damaged": 1,
     "final": True, "reference": "note"},
    {"type": "cancel_inbound", "command_id": "c", "sku": "S", "inbound_id": "po", "reason": "late"},
    {"type": "return", "command_id": "c", "sku": "S", "warehouse": "w", "quantity": 2, "disposition": "inspect",
     "reservation_id": "r", "reference": "note", "channels": ["default"]},
    {"type": "move", "command_id": "c", "sku": "S", "warehouse": "w", "quantity": 2, "from": "on_hand",
     "to": "quarantine", "reason": "recall", "reference": "note"},
    {"type": "transfer", "command_id": "c", "sku": "S", "from": "w", "to": "x", "quantity": 2, "inbound_id": "t",
     "eta_at": 9, "reference": "note"},
    {"type": "reconcile", "command_id": "c", "sku": "S", "warehouse": "w", "counted_on_hand": 4, "counted_damaged": 1,
     "counted_quarantine": 2, "as_of_at": 5, "tolerance": 3, "reference": "note"},
    {"type": "settle", "command_id": "c", "sku": "S"},
    {"type": "commit", "command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 1,
     "channels": ["default", "web"]},
    {"type": "release", "command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 1, "reason": "changed",
     "channels": ["default"]},
    {"type": "extend", "command_id": "c", "sku": "S", "reservation_id": "r", "ttl_ms": 9, "channels": ["default"]},
    {"type": "query", "command_id": "c", "sku": "S", "reservation_id": "r", "of_command_id": "b",
     "channels": ["default"]},
    {"type": "query", "command_id": "c", "sku": "S", "reservations": 2, "after": "a", "channel": "web",
     "waiting": 3},
    {"type": "set_policy", "command_id": "c", "sku": "S", "channel": "web", "enabled": True, "warehouses": ["w", "x"],
     "strategy": "region", "split": True, "buffer": 1, "cap": 9, "max_per_reservation": 7, "backorder_limit": 2,
     "presell_horizon_ms": 5, "priority": 3, "return_window_ms": 604_800_001},
    {"type": "set_warehouse", "command_id": "c", "warehouse": "w", "version": 2, "enabled": True, "priority": 3,
     "region": "north", "journal_ms": 5, "name": "Leeds"},
    {"type": "set_channel", "command_id": "c", "channel": "*", "version": 2, "name": "all", "enabled": True,
     "warehouses": ["w", "x"], "strategy": "most_stock", "split": False, "buffer": 1, "cap": 9,
     "max_per_reservation": 7, "backorder_limit": 2, "presell_horizon_ms": 5, "priority": 3,
     "return_window_ms": 604_800_001},
    {"type": "set_feed", "command_id": "c", "feed": "wms", "version": 2, "as_of_at": 5, "interval_ms": 5, "rows": 7,
     "refused": 1},
    {"type": "tick", "issued_at": 1, "actor": "anna", "source": "pos"},
]  # fmt: skip
_SENDER = {"issued_at", "actor", "source"}


def _check_examples() -> None:
    for kind in COMMAND_TYPES:
        tag = tag_of(kind)
        given = {name for document in EXAMPLES if document["type"] == tag for name in document}
        missing = {*kind.__struct_encode_fields__} - given - (_SENDER if kind is not Tick else set())
        if missing:
            raise TypeError(f"tests/examples.py has no example of {tag!r} with {', '.join(sorted(missing))}")


_check_examples()
SKU_EXAMPLES = [document for document in EXAMPLES if "sku" in document]


def name_of(document):
    """Return a test's name for an example."""
    return f"{document['type']}-{'-'.join(sorted({*document} - {'type', 'command_id', 'sku'}))}"


def write(document, **changed):
    """Return an example as the bytes of a record, with some fields changed."""
    return json.dumps(document | changed).encode()
