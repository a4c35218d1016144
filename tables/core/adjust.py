"""Owns the rule for `adjust`: it changes one bucket of one stock row."""

from typing import assert_never

from schemas.codes import Code
from schemas.commands import Adjust, Bucket
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.rows import Stock, quarantine_of, stock_row
from tables.core.rule import Rule

# With more rows a query's result would not fit into a record batch (about 150 bytes a row, 1 MiB a batch).
MAX_WAREHOUSES = 1_000
# Every JSON reader can represent it. A command's field holds less, but the sum of commands may be larger.
MAX_BUCKET = (1 << 53) - 1
_NO_STOCK = Stock()


def has_no_place_for(sku: Sku, warehouse: str) -> bool:
    """Return whether a row of the SKU in this warehouse would be one too many."""
    return warehouse not in sku.stock and len(sku.stock) >= MAX_WAREHOUSES


def adjust(_rows: Rows, sku: Sku | None, command: Adjust, _record: Record) -> Outcome | Refusal:
    """Set a bucket of a row, or change it by a difference; make the row when it is missing.

    Physical stock may be set below what is reserved; that is a shortfall, not an error.
    """
    warehouse = command.warehouse
    before = sku.stock.get(warehouse) if sku else None
    if before is None:
        if sku is not None and command.count != 0 and len(sku.stock) >= MAX_WAREHOUSES:
            return Refusal(Code.UNKNOWN_WAREHOUSE)
        before = _NO_STOCK
    bucket: Bucket = command.bucket or "on_hand"
    held: int = quarantine_of(before) if bucket == "quarantine" else getattr(before, bucket)
    quantity = command.count if command.delta is None else held + command.delta
    assert quantity is not None  # noqa: S101 - the decoder lets no adjust pass without one of the two
    if quantity > MAX_BUCKET:
        return Refusal(Code.LIMIT_EXCEEDED)
    if command.expected_on_hand is not None and command.expected_on_hand != before.on_hand:
        return Refusal(Code.STALE_EXPECTATION)
    if quantity < 0:
        return Refusal(Code.NEGATIVE_STOCK)

    # Past here it must succeed.
    if quantity == held:
        return Outcome(((warehouse, before),))
    seq = sku.seq + 1 if sku else 1
    after = _with_bucket(before, seq, bucket, quantity)
    return Outcome(((warehouse, after),), ({bucket: quantity - held},))


def _with_bucket(row: Stock, seq: int, bucket: Bucket, quantity: int) -> Stock:
    quarantine = quarantine_of(row)
    match bucket:
        case "on_hand":
            return stock_row(seq, quantity, row.reserved, row.damaged, row.safety_stock, row.inbound, quarantine)
        case "damaged":
            return stock_row(seq, row.on_hand, row.reserved, quantity, row.safety_stock, row.inbound, quarantine)
        case "safety_stock":
            return stock_row(seq, row.on_hand, row.reserved, row.damaged, quantity, row.inbound, quarantine)
        case "quarantine":
            return stock_row(seq, row.on_hand, row.reserved, row.damaged, row.safety_stock, row.inbound, quantity)
    assert_never(bucket)


def _content(c: Adjust) -> tuple[object, ...]:
    bucket = c.bucket or "on_hand"
    return ("adjust", c.warehouse, c.delta, c.count, bucket, c.reason, c.reference, c.expected_on_hand)


RULE = Rule(Adjust, adjust, content=_content, cause=("reason", "reference"))
