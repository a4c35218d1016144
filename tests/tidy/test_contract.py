"""The contract in docs/ is what the types say, and its examples are messages that the code reads."""

import json
import re

import pytest
from repository import ROOT, document, text_of

from schemas.codec import decode_command, result_decoder, stock_change_decoder
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.reference import REFERENCE_COMMAND_TYPES
from schemas.topics import ABOUT, TOPICS
from tests.tidy.contract import COMMAND, LINES, line_of, meaning, written_anew

CONTRACT = document("docs/contract.md")


def anchors_of(page):
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_tables_of_the_contract_are_those_of_the_types():
    assert written_anew(CONTRACT) == CONTRACT, f"docs/contract.md is stale: run `{COMMAND}` and look at what changed"


@pytest.mark.parametrize("row", ["| `quantity` |", "| `insufficient_stock` |", "| `POST /v1/adjustments` |"])
def test_a_table_that_was_changed_by_hand_is_noticed(row):
    changed = CONTRACT.replace(row, f"{row} not", 1)
    assert changed != CONTRACT
    assert written_anew(changed) == CONTRACT


def test_a_page_without_a_table_is_refused():
    with pytest.raises(AssertionError, match="needs the markers of topics, "):
        written_anew(CONTRACT.replace("<!-- codes:begin -->", ""))


def test_a_field_without_a_description_is_named():
    with pytest.raises(AssertionError, match=r"Adjust\.note needs a `Meta\(description="):
        meaning(str | None, "Adjust.note")


def test_every_command_has_an_example_that_the_ledger_reads():
    kinds = (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)
    assert {*LINES} <= {tag_of(kind) for kind in kinds}
    for kind in kinds:
        assert type(decode_command(line_of(tag_of(kind)).encode())) is kind


def test_the_result_and_the_stock_change_that_are_shown_have_the_fields_of_their_types():
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)]
    (result,) = (it for it in shown if "status" in it)
    (change,) = (it for it in shown if "delta" in it and "after" in it)
    for decoder, message in ((result_decoder, result), (stock_change_decoder, change)):
        read = decoder.decode(json.dumps(message))
        assert {*message} <= {*read.__struct_fields__}


def test_every_topic_says_what_it_holds():
    assert list(ABOUT) == list(TOPICS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)\s]*#[^)]+)\)", CONTRACT))))
def test_a_link_into_a_page_leads_to_a_heading(target):
    page, _, anchor = target.partition("#")
    assert anchor in anchors_of(text_of(ROOT / "docs" / page) if page else CONTRACT)


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/semantics.md", "docs/codes.md"])
def test_the_contract_is_found_from(page):
    assert re.search(r"\]\((docs/)?contract\.md(#\w+)?\)", document(page))
