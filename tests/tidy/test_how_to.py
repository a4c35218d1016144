"""The how-tos are true: their commands are commands, and their code does what the page says."""

import json
import re

import msgspec
import pytest
from repository import ROOT, document

from schemas.codec import decode_command
from schemas.commands import SkuCommand
from tables.core.decide import decide
from tables.core.decision import Record
from tables.ledger import Ledger
from tables.store import MemoryStore

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/how-to").glob("*.md"))


def blocks_of(page, language):
    """Return the code blocks of a page in one language, without the indentation of the list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", document(page), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands_in(page):
    return [line for block in blocks_of(page, "json") for line in block.splitlines()]


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands_in(page)])
def test_a_command_in_a_how_to_is_a_valid_command(page, line):
    command = decode_command(line.encode())
    assert isinstance(command, SkuCommand), f"{page}: {command}"


def test_the_normalising_code_gives_one_spelling_that_a_second_time_does_not_change():
    names = {}
    exec(blocks_of("docs/how-to/normalising-skus.md", "python")[0], names)  # noqa: S102 # the page's own code
    normalise = names["normalise"]
    spellings = ["st\u00fcck-1", "stu\u0308ck-1", " ST\u00dcCK-1\t", "Stu\u0308ck-1 "]
    assert {normalise(sku) for sku in spellings} == {"ST\u00dcCK-1"}
    assert normalise("x\u00b2") == "X\u00b2"
    assert all(normalise(normalise(sku)) == normalise(sku) for sku in [*spellings, "\u01f0", "\u0390"])


def tell(ledger, offset, **command):
    decision = decide(ledger, decode_command(json.dumps(command).encode()), Record(0, 1, offset, 1_000))
    ledger.apply(decision)
    return decision


def test_a_copy_that_follows_a_snapshot_equals_a_later_snapshot_and_notices_a_gap():
    names = {}
    exec(blocks_of("docs/how-to/snapshot-then-follow.md", "python")[0], names)  # noqa: S102 # the page's own code
    ledger, snapshots, changes = Ledger(MemoryStore()), [], []
    for i in range(1, 7):
        adjust = {"type": "adjust", "sku": "A", "warehouse": f"w{i % 2}", "delta": i, "reason": "receipt"}
        changes += tell(ledger, 2 * i, command_id=f"c{i}", **adjust).stock_changes
        snapshots.append(tell(ledger, 2 * i + 1, command_id=f"q{i}", type="query", sku="A").result)
    before, after = (json.loads(msgspec.json.encode(snapshots[i])) for i in (2, 5))
    records = [json.loads(msgspec.json.encode(change)) for change in changes]

    copy = names["Copy"](before)
    for record in [*records[:5], *records[1:]]:
        copy.apply(record)
    assert (copy.seq, copy.rows) == (6, names["Copy"](after).rows)
    with pytest.raises(names["Gap"]):
        names["Copy"](before).apply(records[4])
