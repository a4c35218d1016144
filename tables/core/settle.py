"""Owns the rule for `settle`: the SKU's queue is looked at by the rules now in force."""

from schemas.codes import Code
from schemas.commands import Settle
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.rule import Rule


def settle(_rows: Rows, sku: Sku | None, _command: Settle, _record: Record) -> Outcome | Refusal:
    """Change nothing; the SKU becomes pending if anybody waits for it (`tables/core/settling.py`)."""
    return Refusal(Code.UNKNOWN_SKU) if sku is None else Outcome()


RULE = Rule(Settle, settle, content=lambda _: ("settle",), looks_again=True)
