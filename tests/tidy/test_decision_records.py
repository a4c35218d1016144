"""Decisions are written down alike, and the partition protocol's numbers are the same in ADR and code."""

import re

import pytest
from repository import ROOT, document, text_of

RECORDS = sorted((ROOT / "docs/adr").glob("*.md"))
SECTIONS = ["Status", "Context", "Decision", "Consequences", "Rejected alternatives"]


def test_records_are_numbered_without_gaps():
    names = [path.name for path in RECORDS]
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_a_record_has_its_title_and_the_five_sections(path):
    text = text_of(path)
    assert re.match(rf"# {path.name[:4]}: \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_the_index_of_documents_names_the_record(path):
    assert f"(adr/{path.name})" in document("docs/README.md")


@pytest.mark.parametrize("part", ["commit", "recover", "revoke"])
def test_the_numbered_steps_of_the_protocol_are_those_of_its_record(part):
    code = text_of(ROOT / "agents/partition.py") + text_of(ROOT / "agents/local_store.py")
    in_code = sorted(re.findall(rf'hit\("{part}\.(\d)"\)', code))
    section = document("docs/adr/0002-partition-protocol.md").partition(f"### {part.upper()}\n")[2].partition("\n#")[0]
    in_record = re.findall(r"^(\d)\. ", section, re.MULTILINE)
    assert in_record == in_code != []
