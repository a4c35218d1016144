"""Owns the mutants of a SKU's book: what is due to its queue, what is counted of its channels, which classes wait."""

from tests.mutants.mutant import one

RESERVE = "tables/core/reserve.py"
AMEND = "tables/core/amend.py"
PLACING = "tables/core/placing.py"
SETTLING = "tables/core/settling.py"
MOVEMENTS = "tables/core/movements.py"
REALLOCATE = "tables/core/reallocate.py"
RULES_OF_SETTLING = "tests/tables/core/test_settling.py"
RULES_OF_MOVEMENTS = "tests/tables/core/test_movements_beside_a_queue.py"
RULES_OF_INBOUND = "tests/tables/core/test_inbound.py"

_OF_WHAT_IS_OWED = (
    one(
        "reserve-passes-the-queue",
        "a newcomer does not get what is due to the queue",
        RESERVE,
        "partial, owed = bool(command.partial), owed_to_queue(sku.book)",
        "partial, owed = bool(command.partial), 0",
        RULES_OF_SETTLING,
    ),
    one(
        "amend-passes-the-queue",
        "a reservation does not grow by what is due to the queue",
        AMEND,
        "owed, holding = owed_to_queue(sku.book), ",
        "owed, holding = 0, ",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "reallocate-passes-the-queue",
        "what is due to the queue is not reallocated to",
        REALLOCATE,
        "free_of(sku.stock[command.to], owed_to_queue(sku.book))",
        "free_of(sku.stock[command.to])",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "reallocate-says-too-much",
        "a refused reallocate says what is free beside what is due to the queue",
        REALLOCATE,
        "Refusal(Code.INSUFFICIENT_STOCK, quantity, free)",
        "Refusal(Code.INSUFFICIENT_STOCK, quantity, free_of(sku.stock[command.to]))",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "transfer-passes-the-queue",
        "what is due to the queue does not travel",
        MOVEMENTS,
        "leaves.reserved - owed_to_queue(sku.book))",
        "leaves.reserved)",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "transfer-says-too-much",
        "a refused transfer says what may travel beside what is due to the queue",
        MOVEMENTS,
        "Refusal(Code.INSUFFICIENT_STOCK, quantity, available)",
        "Refusal(Code.INSUFFICIENT_STOCK, quantity, leaves.on_hand - leaves.reserved)",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "promised-before-the-queue",
        "announced goods that are due to the queue are not promised to a newcomer",
        PLACING,
        "supply = {it.inbound_id: free_of_inbound(it, demand.owed) for it in demand.supplies}",
        "supply = {it.inbound_id: free_of_inbound(it) for it in demand.supplies}",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "shown-before-the-queue",
        "a query does not show announced goods that are due to the queue",
        "tables/core/query.py",
        "Supply(inbound.eta_at, free_of_inbound(inbound, owed))",
        "Supply(inbound.eta_at, free_of_inbound(inbound))",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "owed-without-promises",
        "what was promised is due to the queue too",
        "tables/core/book.py",
        "0 if book is None or book.since is None else book.backordered + book.promised",
        "0 if book is None or book.since is None else book.backordered",
        RULES_OF_MOVEMENTS,
    ),
)

_OF_WHAT_IS_COUNTED = (
    one(
        "limit-of-one-backorder",
        "the limit of what waits counts what waits already",
        RESERVE,
        "policy.backorder_limit - backordered_of(sku.book, channel)",
        "policy.backorder_limit",
        RULES_OF_SETTLING,
    ),
    one(
        "asked-for-is-counted",
        "what was given is counted, not what was asked for",
        RESERVE,
        "draft.count(channel, held=placing.possible)",
        "draft.count(channel, held=command.quantity)",
        RULES_OF_SETTLING,
    ),
    one(
        "growth-is-not-counted",
        "an amend upwards is counted under the cap",
        AMEND,
        "held=given + newly_counted if counted else 0",
        "held=newly_counted if counted else 0",
        RULES_OF_SETTLING,
    ),
    one(
        "old-part-is-not-counted",
        "one that grows under a new cap is counted whole",
        AMEND,
        "newly_counted = held.left if counted and not held.counted else 0",
        "newly_counted = 0",
        RULES_OF_SETTLING,
    ),
    one(
        "commit-stays-counted",
        "what is committed makes room under the cap",
        "tables/core/commit.py",
        "    draft.count(held.channel, held=-quantity if held.counted else 0)\n",
        "",
        RULES_OF_SETTLING,
    ),
    one(
        "cut-is-not-counted",
        "who loses a date waits without one, and is counted there",
        SETTLING,
        "            draft.count(row.channel, backordered=units)\n",
        "",
        RULES_OF_INBOUND,
    ),
    one(
        "pegged-stays-counted",
        "who gets a date is not counted among those without one",
        SETTLING,
        "            draft.count(row.channel, backordered=-units)\n",
        "",
        RULES_OF_INBOUND,
    ),
    one(
        "backorder-is-not-counted",
        "what waits without a date is counted",
        "tables/core/holds.py",
        "    draft.count(row.channel, backordered=placing.backordered)\n",
        "",
        RULES_OF_SETTLING,
    ),
)

_OF_CLASSES = (
    one(
        "classes-without-end",
        "a reserve opens no class too many",
        RESERVE,
        "    if placing.waits and opens_too_many(rows, command.sku, channel, command.warehouse):\n",
        "    if False:\n",
        RULES_OF_SETTLING,
    ),
    one(
        "amend-opens-a-class",
        "an amend opens no class too many",
        AMEND,
        "    if placing.waits and opens_too_many(rows, command.sku, held.channel, held.only):\n",
        "    if False:\n",
        RULES_OF_SETTLING,
    ),
    one(
        "known-class-is-full",
        "into a class that waits already more may come",
        RESERVE,
        "    return len(classes) >= MAX_CLASSES and (channel, only) not in classes\n",
        "    return len(classes) >= MAX_CLASSES\n",
        RULES_OF_SETTLING,
    ),
    one(
        "class-of-a-channel",
        "those that named a warehouse are of another class",
        RESERVE,
        "    return len(classes) >= MAX_CLASSES and (channel, only) not in classes\n",
        "    return len(classes) >= MAX_CLASSES and channel not in {it[0] for it in classes}\n",
        RULES_OF_SETTLING,
    ),
    one(
        "one-too-many",
        "as many classes may wait as the contract says",
        RESERVE,
        "    return len(classes) >= MAX_CLASSES and (channel, only) not in classes\n",
        "    return len(classes) > MAX_CLASSES and (channel, only) not in classes\n",
        RULES_OF_SETTLING,
    ),
)

OF_THE_BOOK = _OF_WHAT_IS_OWED + _OF_WHAT_IS_COUNTED + _OF_CLASSES
