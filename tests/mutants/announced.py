"""Owns the mutants of announced goods: what is promised, kept, cut and told."""

from tests.mutants.mutant import one

INBOUND = "tables/core/inbound.py"
SETTLING = "tables/core/settling.py"
AVAILABILITY = "schemas/availability.py"
RULES_OF_INBOUND = "tests/tables/core/test_inbound.py"
READS = "tests/gateway/test_reads_equal_decisions.py"

OF_ANNOUNCED_GOODS = (
    one(
        "lands-with-the-worst",
        "goods that come go to the best rank that was promised them",
        SETTLING,
        "look.queue.best_claimant(inbound.inbound_id)",
        "look.queue.worst_claimant(inbound.inbound_id)",
        RULES_OF_INBOUND,
    ),
    one(
        "cuts-the-best",
        "the worst rank loses its date first",
        SETTLING,
        "look.queue.worst_claimant(inbound.inbound_id)",
        "look.queue.best_claimant(inbound.inbound_id)",
        RULES_OF_INBOUND,
    ),
    one(
        "fills-before-it-lands",
        "goods that come go to those who were promised them, whoever else waits",
        SETTLING,
        "for step in (_land, _cut, _fill, _peg, _tell):",
        "for step in (_cut, _fill, _land, _peg, _tell):",
        RULES_OF_INBOUND,
    ),
    one(
        "tells-nobody",
        "another date is told to each who was promised the goods",
        SETTLING,
        "for step in (_land, _cut, _fill, _peg, _tell):",
        "for step in (_land, _cut, _fill, _peg):",
        RULES_OF_INBOUND,
    ),
    one(
        "overdue-promises",
        "goods whose date has passed promise nothing",
        AVAILABILITY,
        "        inbound.eta_at > now_ms\n",
        "        True\n",
        RULES_OF_INBOUND,
    ),
    one(
        "no-horizon",
        "nothing is sold beyond the channel's horizon",
        AVAILABILITY,
        "        and (until is None or inbound.eta_at <= until)\n",
        "",
        RULES_OF_INBOUND,
    ),
    one(
        "promises-parts-of-what-may-not-be-split",
        "what may not be split is promised by one delivery alone",
        AVAILABILITY,
        "any(it.eta_at == promise.at and it.free >= quantity for it in supplies)",
        "bool(supplies)",
        READS,
    ),
    one(
        "sold-twice",
        "what reservations wait for is not promised again",
        AVAILABILITY,
        "max(0, it.remaining - it.claimed - owed)",
        "max(0, it.remaining - owed)",
        READS,
    ),
    one(
        "opens-again",
        "a closed delivery is known for 7 days",
        INBOUND,
        "    return find_closed_inbound(rows, inbound_key(sku_id, inbound_id), now_ms) is not None\n",
        "    return False\n",
        RULES_OF_INBOUND,
    ),
)
