"""Owns what the OpenAPI document says of bodies beside their fields' types: an example of each, and rules over fields.

The types themselves enforce the rules (`__post_init__`); here they are in the words of JSON Schema.
"""

from typing import Any

import msgspec

from gateway.availability_routes import AvailabilityBody
from gateway.bulk_routes import CommandList
from schemas.commands import Adjust, Amend, Commit, Extend, Reallocate, Release, Reserve, SetPolicy
from schemas.inbound import AmendInbound, CancelInbound, ExpectInbound, ReceiveInbound
from schemas.movements import Move, Reconcile, Return, Transfer
from schemas.reference import SetChannel, SetWarehouse

_OF_LEEDS = {"sku": "85123A", "warehouse": "leeds"}
_IN_NOVEMBER_2027 = 1_826_323_200_000
# By the type of a route's body; what the path gives is left out.
EXAMPLES: dict[type[msgspec.Struct], dict[str, Any]] = {
    Adjust: {**_OF_LEEDS, "delta": 12, "reason": "receipt", "reference": "delivery note 4711"},
    Reserve: {"sku": "85123A", "quantity": 2, "channel": "web", "ttl_ms": 900_000, "order_id": "order-1001"},
    Amend: {"sku": "85123A", "quantity": 3},
    Reallocate: {"sku": "85123A", "from": "leeds", "to": "york", "quantity": 1},
    Commit: {"sku": "85123A"},
    Release: {"sku": "85123A", "quantity": 1, "reason": "customer changed the order"},
    Extend: {"sku": "85123A", "ttl_ms": 900_000},
    ExpectInbound: {**_OF_LEEDS, "inbound_id": "po-2001", "quantity": 100, "eta_at": _IN_NOVEMBER_2027},
    AmendInbound: {"sku": "85123A", "quantity": 80},
    ReceiveInbound: {"sku": "85123A", "quantity": 78, "damaged": 2, "final": True},
    CancelInbound: {"sku": "85123A", "reason": "supplier is out of stock"},
    Return: {**_OF_LEEDS, "quantity": 1, "disposition": "inspect"},
    Move: {**_OF_LEEDS, "quantity": 1, "from": "quarantine", "to": "on_hand"},
    Transfer: {"sku": "85123A", "quantity": 10, "from": "leeds", "to": "york"},
    Reconcile: {**_OF_LEEDS, "counted_on_hand": 42, "tolerance": 2},
    SetPolicy: {"sku": "85123A", "channel": "web", "buffer": 2, "max_per_reservation": 10},
    SetWarehouse: {"version": 1, "name": "Leeds", "priority": 10, "region": "north"},
    SetChannel: {"version": 1, "name": "Web shop", "warehouses": ["leeds", "york"], "buffer": 2},
    AvailabilityBody: {"skus": ["85123A", "22423"], "channel": "web"},
    CommandList: {
        "commands": [
            {"type": "adjust", **_OF_LEEDS, "delta": 12, "reason": "receipt"},
            {"type": "reserve", "sku": "22423", "quantity": 1, "ttl_ms": 900_000},
        ]
    },
}
# Null is the same as absent, so a rule names the type that the field then has.
_INTEGER = {"type": "integer"}
RULES: dict[type[msgspec.Struct], dict[str, Any]] = {
    Adjust: {
        "oneOf": [
            {"required": ["delta"], "properties": {"delta": _INTEGER | {"not": {"const": 0}}}},
            {"required": ["count"], "properties": {"count": _INTEGER}},
        ]
    },
    AmendInbound: {
        "anyOf": [
            {"required": ["quantity"], "properties": {"quantity": _INTEGER}},
            {"required": ["eta_at"], "properties": {"eta_at": _INTEGER}},
        ]
    },
}
