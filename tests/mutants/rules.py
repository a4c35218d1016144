"""Owns the mutants of the domain's rules: reference data, policies, caps, what is remembered."""

from tests.mutants.mutant import one

DECIDE = "tables/core/decide.py"
LEDGER = "tables/ledger.py"
RULES_OF_DECISIONS = "tests/tables/core/test_decide.py"
RULES_OF_POLICIES = "tests/tables/core/test_policies.py"
RULES_OF_QUERIES = "tests/tables/core/test_query.py"
RULES_OF_REFERENCE = "tests/tables/core/test_reference.py"

OF_THE_RULES = (
    one(
        "versions-alone",
        "of two reference commands with one version the greater command id is in force",
        "schemas/reference.py",
        "    return it.version, it.command_id, _encode([None if value is UNSET else value for value in given])\n",
        '    return it.version, "", b""\n',
        RULES_OF_REFERENCE,
    ),
    one(
        "old-is-better",
        "an old version that comes late changes nothing",
        "tables/core/reference.py",
        "    if held is not None and version_of(name, held) > rank:\n",
        "    if False:\n",
        RULES_OF_REFERENCE,
    ),
    one(
        "journal-goes-on",
        "a journal begins anew when its length changes",
        "tables/core/reference.py",
        " and held.journal_ms == row.journal_ms\n",
        "\n",
        RULES_OF_REFERENCE,
    ),
    one(
        "channel-beats-sku",
        "a SKU's policy beats that of the channel for all SKUs",
        "tables/core/register.py",
        '(own.get(channel), own.get("*"), *self._layers(channel))',
        '(*self._layers(channel), own.get(channel), own.get("*"))',
        RULES_OF_POLICIES,
    ),
    one(
        "old-policies-stay",
        "a new rule counts from the next command on",
        "tables/core/register.py",
        "            self._has_channels = True\n            self._policies = {}\n",
        "            self._has_channels = True\n",
        RULES_OF_POLICIES,
    ),
    one(
        "no-buffer",
        "a channel may not have its buffer",
        "schemas/availability.py",
        "    return max(0, sum(free) - policy.buffer)\n",
        "    return max(0, sum(free))\n",
        RULES_OF_POLICIES,
    ),
    one(
        "disabled-gives",
        "a disabled warehouse gives nothing",
        "schemas/availability.py",
        "    return found is None or found.enabled\n",
        "    return True\n",
        RULES_OF_POLICIES,
    ),
    one(
        "cap-without-end",
        "what leaves a counted reservation makes room under the cap",
        "tables/core/holds.py",
        "held=-quantity if row.counted else 0",
        "held=0",
        RULES_OF_POLICIES,
    ),
    one(
        "uncounted-gives-back",
        "a reservation from before the cap does not lower what is counted",
        "tables/core/holds.py",
        "held=-quantity if row.counted else 0",
        "held=-quantity",
        RULES_OF_POLICIES,
    ),
    one(
        "book-without-end",
        "a book counts 1,000 channels at most",
        "tables/core/reserve.py",
        "    if policy.cap is not None and not has_place_for(sku.book, channel):\n",
        "    if False:\n",
        RULES_OF_POLICIES,
    ),
    one(
        "book-without-seq",
        "a change of the book takes the SKU's next sequence number",
        LEDGER,
        "        sku.seq = max(sku.seq, beside.book.seq)\n",
        "",
        RULES_OF_POLICIES,
    ),
    one(
        "window-of-seven-days",
        "a committed reservation is known for its channel's return window",
        "tables/core/retention.py",
        "(kept_ms or CLOSED_RESERVATION_MS)",
        "CLOSED_RESERVATION_MS",
        RULES_OF_POLICIES,
    ),
    one(
        "list-of-what-is-stored",
        "a list of reservations holds those of the open transaction",
        LEDGER,
        "        fresh = self._changed_keys(prefix)\n",
        "        fresh: list[bytes] = []\n",
        RULES_OF_DECISIONS,
    ),
    one(
        "every-channel-sees",
        "a query for some channels hides results with reservations of others",
        DECIDE,
        ' and _is_shown(seen, getattr(command, "channels", None))\n',
        "\n",
        RULES_OF_QUERIES,
    ),
    one(
        "every-channel-sees-who-waits",
        "a query for some channels shows only their reservations that wait",
        "tables/core/query.py",
        "rows.queue(command.sku).first(wanted, command.channels)",
        "rows.queue(command.sku).first(wanted)",
        RULES_OF_QUERIES,
    ),
    one(
        "query-has-an-id",
        "a query is answered anew each time",
        DECIDE,
        "    if not rule.remembered:\n        return _read(rows, sku, rule, command, record)\n",
        "",
        RULES_OF_DECISIONS,
    ),
)
