"""Owns `holdfast promise`: by when a channel can be promised a quantity, as the ledger and the rules now say."""

import uuid

from ops.problems import FOUND_WRONG
from ops.reference import read_view
from ops.screen import print_json, print_table, say
from ops.stock import ask_about, exit_code_of, time_text
from ops.times import time_ms
from schemas.availability import ChannelAvailability, earliest_promise, supplies_of
from schemas.commands import Query
from schemas.partitioner import partition_of
from schemas.results import Result
from schemas.stock_changes import BookView


async def promise(
    sku: str, quantity: int, *, channel: str, by: str | None, bootstrap: str, timeout_s: float, as_json: bool
) -> int:
    """Query what a channel may have of a SKU, and print by when it can be promised a quantity.

    Returns:
        The exit code: 1 when it cannot be promised, or the SKU is unknown.

    Raises:
        CannotDo: Kafka is away, no worker answered, or `by` is no time.
    """
    until = None if by is None else time_ms(by)
    question = Query(command_id=f"promise-{uuid.uuid4().hex}", sku=sku, channel=channel)
    result = await ask_about(question, bootstrap=bootstrap, timeout_s=timeout_s)
    may_have = result.availability
    if not isinstance(may_have, ChannelAvailability):
        return exit_code_of(result, sku)
    if until is not None:
        may_have.promises = [it for it in may_have.promises if it.at <= until]
    at = await _earliest(result, may_have, quantity, bootstrap)
    if as_json:
        shown = {name: getattr(may_have, name) for name in ("channel", "allowed", "available", "promises")}
        print_json({"sku": sku, "quantity": quantity, "promised_at": at} | shown | {"seq": result.seq, "at": result.at})
    else:
        _print(sku, quantity, may_have, at, result.at)
    return FOUND_WRONG if at is None else 0


async def _earliest(result: Result, may_have: ChannelAvailability, quantity: int, bootstrap: str) -> int | None:
    """Return the first date, by the rules of the SKU's partition and the book that the ledger showed."""
    view = await read_view(bootstrap)
    rules = view.of[partition_of(result.sku, len(view.of))]
    policy = rules.policy(may_have.channel, result.sku)
    book = result.book if isinstance(result.book, BookView) else BookView(0, 0)
    owed = book.backordered + book.promised if book.settling is True else 0
    supplies = supplies_of(book.inbounds, policy, rules.warehouses, result.at, owed)
    return earliest_promise(policy, may_have, supplies, quantity, result.at)


def _print(sku: str, quantity: int, may_have: ChannelAvailability, at: int | None, now_ms: int) -> None:
    rows = [("now", may_have.available), *((time_text(it.at), it.available_to_promise) for it in may_have.promises)]
    print_table(("by", "available to promise"), rows, title=f"{sku} for {may_have.channel}")
    if at is None:
        say(f"{quantity:,} cannot be promised" + ("" if may_have.allowed else ": the channel may not sell"))
    else:
        say(f"{quantity:,} can be promised " + ("now" if at == now_ms else f"by {time_text(at)}"))
