"""This release reads a log and a changelog of an earlier one, and writes the same bytes.

What may differ is named here, one rule each: a result with `invalid_field` has gained `problem`.
"""

import re
from pathlib import Path

import pytest

from schemas.topics import RESULTS
from tables.core.rows import POSITION_KEY, decode_position
from tables.ledger import load
from tables.store import MemoryStore
from tests.agents.recorded_release import OUTPUTS, Folding, load_recording

RECORDINGS = sorted((Path(__file__).parent / "data").glob("*.json.gz"))
_PROBLEM = re.compile(rb',"problem":"[a-z_]+"')


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.name.removesuffix(".json.gz"))
def recording(request):
    return load_recording(request.param)


def as_before(published, topic):
    if topic != RESULTS:
        return published[topic]
    return [(key, _PROBLEM.sub(b"", value)) for key, value in published[topic]]


def live(changelog):
    return {key: value for key, value in dict(changelog).items() if value is not None}


def test_there_is_a_recording():
    assert RECORDINGS


def test_the_log_of_an_earlier_release_gives_the_same_bytes(recording):
    folding = Folding()
    folding.run(recording.log)
    for topic in OUTPUTS:
        assert as_before(folding.published, topic) == recording.published[topic]
    assert folding.changelog == recording.changelog


def test_a_changelog_of_an_earlier_release_is_gone_on_from(recording):
    # The half of it, as a recovery reads it; then the rest of the log.
    ends = [number for number, (key, _) in enumerate(recording.changelog) if key == POSITION_KEY]
    half = ends[len(ends) // 2]
    rows = [(offset, key, value) for offset, (key, value) in enumerate(recording.changelog[: half + 1])]
    store = MemoryStore()
    load(store, rows)
    folding = Folding(store)
    folding.run(recording.log, decode_position(recording.changelog[half][1]).next_offset)
    # A rebuilt store may drop a row that is over some transactions sooner or later; what is left is the same.
    assert live(recording.changelog[: half + 1] + folding.changelog) == live(recording.changelog)
    for topic in OUTPUTS:
        published = as_before(folding.published, topic)
        assert published == recording.published[topic][len(recording.published[topic]) - len(published) :]
