"""Every mutant still applies: a change of the source that moves its text must move the mutant too."""

import ast
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).parents[2]


def test_mutants_have_names_of_their_own():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_texts_stand_once_in_the_source_and_the_outcome_is_python(mutant):
    texts = {edit.path: (ROOT / edit.path).read_text(encoding="utf-8") for edit in mutant.edits}
    before = dict(texts)
    for edit in mutant.edits:
        assert texts[edit.path].count(edit.old) == 1, f"{edit.path}: {edit.old}"
        texts[edit.path] = texts[edit.path].replace(edit.old, edit.new)
    for path, text in texts.items():
        ast.parse(text)
        assert text != before[path]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_have_to_notice_exist(mutant):
    assert mutant.tests
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests)
