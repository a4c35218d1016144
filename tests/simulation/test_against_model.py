"""The core and the audit's model publish the same bytes for random histories, and what differs is noticed."""

from collections import Counter
from unittest.mock import patch

import pytest

from schemas.codes import Code
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.reference import REFERENCE_COMMAND_TYPES
from tables.core import book, movements, query, reserve
from tests.simulation.against_model import compare
from tests.simulation.histories import MIXTURES


@pytest.fixture(scope="module")
def compared():
    """Return what became of some histories, at least one of each mixture."""
    return [compare(seed, 900) for seed in range(8)]


def test_core_and_model_publish_the_same_for_random_histories(compared):
    assert [history.wrong for history in compared] == [None] * 8
    assert all(history.commands == 900 for history in compared)
    assert {history.about for history in compared} == set(MIXTURES)


def test_the_histories_have_commands_of_every_type_and_meet_every_code(compared):
    outcomes = sum((history.outcomes for history in compared), Counter())
    accepted = {type_ for (type_, code), count in outcomes.items() if code is None and count >= 3}
    sent = {tag_of(kind) for kind in (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)}
    assert sent | {"expire", "fill", "promise"} <= accepted
    # There is one partition, a record without readable ids is not answered, and limits are far off.
    never = {Code.WRONG_PARTITION, Code.MALFORMED, Code.LIMIT_EXCEEDED}
    assert {*Code} - never <= {code for _, code in outcomes}


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (reserve, "owed_to_queue", lambda _: 0),
        (movements, "owed_to_queue", lambda _: 0),
        (book, "bisect_left", lambda *_: 0),
        (query, "waits", lambda _: False),
    ],
)
def test_a_core_that_breaks_a_rule_is_noticed(module, name, broken):
    with patch.object(module, name, broken):
        assert any(compare(seed, 1_500).wrong for seed in range(12))
