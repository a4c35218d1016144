"""Owns the mutants of settling: the budget, what is pending, ranks and classes, and the queue of a SKU."""

from tests.mutants.mutant import one

SETTLING = "tables/core/settling.py"
QUEUE = "tables/core/queue.py"
LEDGER = "tables/ledger.py"
RULES_OF_SETTLING = "tests/tables/core/test_settling.py"
IN_VAIN = "tests/tables/core/test_settling_in_vain.py"

OF_SETTLING = (
    one(
        "budget-without-warehouses",
        "a step costs one unit and one for each row of the reservation",
        SETTLING,
        "work = 1 + len(after.allocations) + (",
        "work = 1 + 0 * (",
        RULES_OF_SETTLING,
    ),
    one(
        "settling-stays",
        "a look that finds no step takes `settling` back",
        SETTLING,
        "replace(book, since=None, settling=False)",
        "replace(book, since=None)",
        RULES_OF_SETTLING,
    ),
    one(
        "settling-is-not-said",
        "the end of a tail says that there is more to do",
        SETTLING,
        "    if after.settling != before.settling:\n",
        "    if before.settling:\n",
        RULES_OF_SETTLING,
    ),
    one(
        "fill-is-not-counted",
        "a fill takes its units from what is backordered",
        "tables/core/holds.py",
        "            draft.count(row.channel, backordered=-less)\n",
        "            pass\n",
        RULES_OF_SETTLING,
    ),
    one(
        "rank-without-priority",
        "a better priority goes first",
        QUEUE,
        "Rank(row.priority, row.placed, reservation_id)",
        "Rank(0, row.placed, reservation_id)",
        RULES_OF_SETTLING,
    ),
    one(
        "pending-is-lost",
        "a recovery finds what was pending",
        LEDGER,
        '            yield pending_key(sku), None if since is None else since.to_bytes(8, "big")\n',
        "            yield pending_key(sku), None\n",
        RULES_OF_SETTLING,
    ),
    one(
        "queue-is-lost",
        "a recovery finds who waits",
        LEDGER,
        "                yield waiting_key(sku, *ranked), waiting_value(waiting) if row.claims else None\n",
        "                yield waiting_key(sku, *ranked), None\n",
        RULES_OF_SETTLING,
    ),
    one(
        "asked-in-vain-for-ever",
        "a class that got nothing is asked again when one of it changes",
        QUEUE,
        "        self.unfilled.classes.add(of)\n",
        "",
        IN_VAIN,
    ),
    one(
        "old-rules-in-vain",
        "a class that got nothing is asked again when the rules change",
        QUEUE,
        "            self.classes.update(self._ranked.groups)\n",
        "",
        IN_VAIN,
    ),
    one(
        "shelf-stays",
        "what a row has free is known after each change",
        LEDGER,
        "                    shelf.put(warehouse, free_of(row))\n",
        "                    pass\n",
        IN_VAIN,
    ),
    one(
        "queue-of-the-last-transaction",
        "who waits since the open transaction is in a queue that is read anew",
        "tables/queues.py",
        "            if after is not None:\n",
        "            if after is None:\n",
        "tests/tables/test_queues.py",
    ),
)
