"""Owns the mutants of goods that move and are counted: returns, moves, transfers, counts and their journal."""

from tests.mutants.mutant import one

MOVEMENTS = "tables/core/movements.py"
RECONCILE = "tables/core/reconcile.py"
JOURNAL = "tables/core/journal.py"
ROWS = "tables/core/rows.py"
RULES_OF_MOVEMENTS = "tests/tables/core/test_movements_beside_a_queue.py"
RULES_OF_COUNTS = "tests/tables/core/test_reconcile_in_time.py"

_OF_RETURNS = (
    one(
        "comes-back-again",
        "what came back of a reservation cannot come back again",
        MOVEMENTS,
        "        if command.quantity > row.committed - row.returned:\n",
        "        if command.quantity > row.committed:\n",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "last-return-counts",
        "all returns of a reservation count together",
        MOVEMENTS,
        "returned=row.returned + command.quantity",
        "returned=command.quantity",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "inspected-is-sold",
        "what has to be inspected is not sold",
        MOVEMENTS,
        '"inspect": "quarantine"',
        '"inspect": "on_hand"',
        RULES_OF_MOVEMENTS,
    ),
    one(
        "returns-of-any-channel",
        "a return on behalf of channels finds only their reservations",
        MOVEMENTS,
        "if before is None or (command.channels is not None and before.channel not in command.channels):",
        "if before is None:",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "moves-what-is-not-there",
        "no more is moved than its bucket has",
        MOVEMENTS,
        "    if units_of(row, command.from_) < command.quantity:\n",
        "    if False:\n",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "layout-by-history",
        "a stock row has the longer layout exactly while something is in quarantine",
        ROWS,
        "    if quarantine:\n        return FullStock(",
        "    if quarantine is not None:\n        return FullStock(",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "reserve-loses-quarantine",
        "a plain reserve keeps what is in quarantine",
        "tables/core/reserve.py",
        "            after = with_quarantine(after, row)\n",
        "            pass\n",
        RULES_OF_MOVEMENTS,
    ),
)

_OF_TRANSFERS = (
    one(
        "safety-stock-stays",
        "safety stock may travel",
        MOVEMENTS,
        "leaves.on_hand - leaves.reserved - owed_to_queue",
        "leaves.available - owed_to_queue",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "holds-travel",
        "what is held does not travel",
        MOVEMENTS,
        "leaves.on_hand - leaves.reserved - owed_to_queue",
        "leaves.on_hand - owed_to_queue",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "two-shipments-of-one-name",
        "a shipment's name is not one that is known",
        MOVEMENTS,
        "        return cannot_announce(rows, sku, command.sku, command.inbound_id, now_ms)\n",
        "        return None\n",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "from-nowhere",
        "a shipment says where it comes from",
        MOVEMENTS,
        "quantity, from_=command.from_, reference",
        "quantity, from_=None, reference",
        RULES_OF_MOVEMENTS,
    ),
    one(
        "lost-in-transit",
        "what is shipped is announced where it goes",
        MOVEMENTS,
        "    draft.move(command.to, inbound=quantity)\n",
        "",
        RULES_OF_MOVEMENTS,
    ),
)

_OF_COUNTS = (
    one(
        "corrections-are-forgotten",
        "a drift counts from the time of its count",
        RECONCILE,
        "        corrections = (*corrections, correction)\n",
        "",
        RULES_OF_COUNTS,
    ),
    one(
        "corrections-count-for-ever",
        "what was applied by then is in the journal already",
        RECONCILE,
        "        if counted_at <= at < applied_at:\n",
        "        if counted_at <= at:\n",
        RULES_OF_COUNTS,
    ),
    one(
        "corrections-count-once-more",
        "what was applied in that millisecond is in the journal already",
        RECONCILE,
        "        if counted_at <= at < applied_at:\n",
        "        if counted_at <= at <= applied_at:\n",
        RULES_OF_COUNTS,
    ),
    one(
        "same-count-again",
        "a count of the time of the last one is stale",
        RECONCILE,
        "    if at <= last.as_of_at:\n",
        "    if at < last.as_of_at:\n",
        RULES_OF_COUNTS,
    ),
    one(
        "tolerance-of-one-less",
        "a drift as large as the tolerance is taken",
        RECONCILE,
        "max(map(abs, drift.values())) > command.tolerance",
        "max(map(abs, drift.values())) >= command.tolerance",
        RULES_OF_COUNTS,
    ),
    one(
        "tolerance-of-good-units",
        "the largest drift of any bucket is held against the tolerance",
        RECONCILE,
        "max(map(abs, drift.values())) > command.tolerance",
        'abs(drift["on_hand"]) > command.tolerance',
        RULES_OF_COUNTS,
    ),
    one(
        "a-millisecond-too-far-back",
        "a journal reaches back by its length, and no further",
        RECONCILE,
        "at <= now_ms - rule.journal_ms",
        "at < now_ms - rule.journal_ms",
        RULES_OF_COUNTS,
    ),
    one(
        "before-the-journal",
        "a journal knows nothing from before it began",
        RECONCILE,
        " or at < rule.journal_since or ",
        " or ",
        RULES_OF_COUNTS,
    ),
    one(
        "the-count-is-taken",
        "a count is compared with what the ledger had then",
        RECONCILE,
        "        entry = entry_at(rows.journal(command.sku, command.warehouse), rule, at)\n",
        "        entry = None\n",
        RULES_OF_COUNTS,
    ),
    one(
        "no-negative-count",
        "more than there is now is not taken away",
        RECONCILE,
        "    return Code.NEGATIVE_STOCK if min(after) < 0 else None\n",
        "    return None\n",
        RULES_OF_COUNTS,
    ),
)

_OF_THE_JOURNAL = (
    one(
        "void-in-its-millisecond",
        "movements of the millisecond in which a journal began are in its first entry",
        JOURNAL,
        "    return journal.find(since, 0) if entry.at == since else entry\n",
        "    return entry\n",
        RULES_OF_COUNTS,
    ),
    one(
        "void-is-believed",
        "entries of an earlier journal are void",
        JOURNAL,
        "    if entry is None or since is None or entry.at < since:\n",
        "    if entry is None or since is None:\n",
        RULES_OF_COUNTS,
    ),
    one(
        "no-first-entry",
        "the first entry of a journal says what was there before",
        JOURNAL,
        "            writes.append((journal_key(sku_id, warehouse, rule.journal_since, 0), before))\n",
        "",
        RULES_OF_COUNTS,
    ),
    one(
        "trimmed-too-early",
        "an entry stays while a count may ask for it",
        JOURNAL,
        "later[0].at + rule.journal_ms >= now_ms",
        "later[0].at + rule.journal_ms > now_ms",
        RULES_OF_COUNTS,
    ),
    one(
        "trimmed-never",
        "an entry that no count can ask for is dropped",
        JOURNAL,
        "        yield entry\n",
        "        return\n        yield entry\n",
        RULES_OF_COUNTS,
    ),
)

OF_MOVEMENTS = _OF_RETURNS + _OF_TRANSFERS + _OF_COUNTS + _OF_THE_JOURNAL
