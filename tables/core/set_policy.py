"""Owns the rule for `set_policy`: the policy of a channel for one SKU, the last in the log wins."""

import msgspec

from schemas.codec import encode
from schemas.codes import Code
from schemas.commands import SetPolicy
from schemas.reference import SkuPolicy
from tables.core.book import NO_BOOK
from tables.core.decision import Beside, KeyedRow, More, Outcome, Record, Refusal, Rows, Sku
from tables.core.reference import given_policy
from tables.core.rows import PolicyRow, book_key, policy_key
from tables.core.rule import Rule
from tables.core.views import given_fields

MAX_POLICIES = 100
_NO_POLICY = PolicyRow()


def set_policy(rows: Rows, _sku: Sku | None, command: SetPolicy, record: Record) -> Outcome | Refusal:
    """Put a policy in force for the SKU, or remove it when no field is given. The SKU may have no stock yet."""
    sku = rows.sku_or_book(command.sku)
    book = (sku.book if sku else None) or NO_BOOK
    known = sku is not None and command.channel in sku.policies
    row: PolicyRow | None = PolicyRow(*given_policy(command))
    if row == _NO_POLICY:
        row = None
    if row is not None and not known and book.policies >= MAX_POLICIES:
        return Refusal(Code.LIMIT_EXCEEDED, extra={"reference": None})

    # Past here it must succeed.
    document = None if row is None else SkuPolicy(command.channel, command.sku, record.now_ms, **given_fields(row))
    writes: list[KeyedRow] = []
    if known or row is not None:
        writes.append((policy_key(command.sku, command.channel), row))
    if known != (row is not None):
        book = msgspec.structs.replace(book, policies=book.policies + (1 if row is not None else -1))
        writes.append((book_key(command.sku), book))
    # The same fields again are no change of the SKU.
    changed = None if sku is not None and row == sku.policies.get(command.channel) else (command.channel, row)
    published = None if document is None else encode(document)
    key = f"policy/{command.channel}/{command.sku}".encode()
    return Outcome(
        writes=tuple(writes),
        more=More({"reference": document}, Beside(book, changed, reference=((key, published),))),
    )


def _content(c: SetPolicy) -> tuple[object, ...]:
    return ("set_policy", c.channel, *given_policy(c))


RULE = Rule(SetPolicy, set_policy, content=_content)
