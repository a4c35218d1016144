"""Owns what the OpenAPI document says of bodies beside their fields' types: the rules over several fields.

The types themselves enforce the rules (`__post_init__`); here they are in the words of JSON Schema.
"""

from typing import Any

import msgspec

from schemas.commands import Adjust
from schemas.inbound import AmendInbound

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
