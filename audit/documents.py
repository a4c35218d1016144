"""Owns the shapes of what the model expects: commands' content, causes, views in JSON, and the ledger's rows."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import orjson

from schemas.commands import (
    DEFAULT_CHANNEL,
    DEFAULT_TTL_MS,
    Adjust,
    Commit,
    Extend,
    Query,
    Release,
    Reserve,
    SkuCommand,
)

Json = dict[str, Any]
Content = tuple[object, ...]

ROW_VERSION = 1
QUANTITIES = ("on_hand", "reserved", "damaged", "safety_stock", "inbound")  # of a stock row, in its order
NO_ROW = {"seq": 0} | dict.fromkeys(QUANTITIES, 0)
_quantities = itemgetter(*QUANTITIES)
_balance = itemgetter("state", "quantity", "committed", "released")
_terms = itemgetter("channel", "order_id", "expires_at", "closed_at")
_verdict = itemgetter("type", "code", "seq", "at", "offset")
_CAUSE_FIELDS = ("reservation_id", "reason", "reference", "actor", "source")

# With the defaults filled in, and without what is no content. The quantity of a commit or release has no fixed
# default ("all that is left" depends on when it is asked), so that it was left open is the content.
_CONTENT: dict[type, Callable[[Any], Content]] = {
    Adjust: lambda c: (
        "adjust",
        c.warehouse,
        c.delta,
        c.count,
        c.bucket or "on_hand",
        c.reason,
        c.reference,
        c.expected_on_hand,
    ),
    Reserve: lambda c: (
        "reserve",
        c.reservation_id,
        c.quantity,
        c.channel or DEFAULT_CHANNEL,
        c.warehouse,
        DEFAULT_TTL_MS if c.ttl_ms is None else c.ttl_ms,
        c.order_id,
    ),
    Commit: lambda c: ("commit", c.reservation_id, c.quantity),
    Release: lambda c: ("release", c.reservation_id, c.quantity, c.reason),
    Extend: lambda c: ("extend", c.reservation_id, c.ttl_ms),
    Query: lambda c: ("query", c.reservation_id, c.of_command_id),
}


def content_of(command: SkuCommand) -> Content:
    """Give what a second command with the same id must repeat to be the same command; the type comes first."""
    return _CONTENT[type(command)](command)


def cause_of(command: SkuCommand, type_: str) -> Json:
    """Give the `cause` of the stock changes that a command brings about."""
    cause = {"type": type_, "command_id": command.command_id}
    for field in _CAUSE_FIELDS:
        if (value := getattr(command, field, None)) is not None:
            cause[field] = value
    return cause


def quantities_of(row: Json) -> Json:
    """Give a stock row's quantities, `available` included."""
    return {
        "on_hand": row["on_hand"],
        "reserved": row["reserved"],
        "damaged": row["damaged"],
        "safety_stock": row["safety_stock"],
        "inbound": row["inbound"],
        "available": row["on_hand"] - row["reserved"] - row["safety_stock"],
    }


def reservation_view(reservation_id: str, reservation: Json) -> Json:
    """Give the `reservation` of a result."""
    return {
        "reservation_id": reservation_id,
        "state": reservation["state"],
        "quantity": reservation["quantity"],
        "committed": reservation["committed"],
        "released": reservation["released"],
        "allocations": [{"warehouse": w, "quantity": quantity} for w, quantity in reservation["allocations"]],
        "channel": reservation["channel"],
        "order_id": reservation["order_id"],
        "expires_at": reservation["expires_at"],
    }


def stock_row(seq: int, row: Json) -> list[Any]:
    """Give the decoded value of an `S` row."""
    return [ROW_VERSION, seq, *_quantities(row)]


def reservation_row(reservation: Json) -> list[Any]:
    """Give the decoded value of an `R` row."""
    return [
        ROW_VERSION,
        *_balance(reservation),
        [list(holding) for holding in reservation["allocations"]],
        *_terms(reservation),
    ]


def seen_row(result: Json, row_seqs: list[int], closed_at: int | None) -> list[Any]:
    """Give the decoded value of a `C` row, the content as None.

    Args:
        result: the remembered result.
        row_seqs: the sequence number of each row in its `stock`.
        closed_at: when the reservation in it had ended, or None.
    """
    view = result["reservation"]
    reservation = None
    if view is not None:
        allocations = [(allocation["warehouse"], allocation["quantity"]) for allocation in view["allocations"]]
        reservation = reservation_row(view | {"allocations": allocations, "closed_at": closed_at})
    return [
        ROW_VERSION,
        None,
        *_verdict(result),
        None if view is None else view["reservation_id"],
        reservation,
        [[row["warehouse"], stock_row(seq, row)] for row, seq in zip(result["stock"], row_seqs, strict=True)],
        result.get("requested"),
        result.get("available"),
        orjson.dumps(result["of_command"]) if "of_command" in result else None,
    ]
