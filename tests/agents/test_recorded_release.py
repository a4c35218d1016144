"""This release reads a log and a changelog of an earlier one, and writes the same bytes.

What may differ is named here, one rule each:

- A result with `invalid_field` has gained `problem`.
- A reservation whose `reserve` named a warehouse keeps that name, in another layout of its row.
- A query is not remembered any more: it has no row, repeated it is answered anew, and another command may have its id.
"""

import json
import re
from pathlib import Path

import msgspec
import pytest

from schemas.codec import Unreadable, decode_command, encode
from schemas.commands import Tick
from schemas.topics import RESULTS
from tables.core.rows import POSITION_KEY, SEEN, decode_position, encode_row
from tables.ledger import load
from tables.store import MemoryStore
from tests.agents.recorded_release import OUTPUTS, Folding, load_recording

RECORDINGS = sorted((Path(__file__).parent / "data").glob("*.json.gz"))
_PROBLEM = re.compile(rb',"problem":"[a-z_]+"')


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.name.removesuffix(".json.gz"))
def recording(request):
    recording = load_recording(request.param)
    leave_out_remembered_queries(recording)
    return recording


def leave_out_remembered_queries(recording):
    """Take out of a recording what was so because a query was remembered: its row, and who used its id again."""
    types, results = {}, []
    answered = (entry for entry in recording.log if gets_a_result(entry[1].encode()))
    for key, value in recording.published[RESULTS]:
        result = json.loads(value)
        if result["command_id"] is None:
            results.append((key, value))
            continue
        entry, name = next(answered), (key, result["command_id"])
        if result["replayed"] or result["code"] == "idempotency_mismatch":
            if "query" in {types[name], result["type"]}:
                entry[1] = '{"type":"tick"}'
                continue
        elif result["code"] != "invalid_field":
            types[name] = result["type"]
        of_a_query = (result.get("of_command") or {}).get("type") == "query"
        results.append((key, encode(result | {"of_command": None}) if of_a_query else value))
    recording.published[RESULTS] = results
    recording.changelog = without_rows_of_queries(recording.changelog)


def gets_a_result(value):
    try:
        return type(decode_command(value)) is not Tick
    except Unreadable as unreadable:
        return unreadable.command_id is not None


def without_rows_of_queries(changelog):
    types, left = {}, []
    for key, value in changelog:
        if key[:1] == b"C" and value is not None:
            types[key] = SEEN.decode(value).type
        if types.get(key) != "query":
            left.append((key, value))
    return left


def as_before(published, topic):
    if topic != RESULTS:
        return published[topic]
    return [(key, _PROBLEM.sub(b"", value)) for key, value in published[topic]]


def plain(key, value):
    """Return a row's value as the release before wrote it."""
    if value is None or key[:1] not in {b"R", b"C"}:
        return value
    row = msgspec.msgpack.decode(value)
    if key[:1] == b"R":
        return encode_row(without_only(row))
    place = SEEN.row_type.__struct_fields__.index("reservation") + 1
    row[place] = row[place] and without_only(row[place])
    return encode_row(row)


def without_only(reservation):
    """Return a reservation's row without the warehouse that its `reserve` named; it must have nothing else."""
    if reservation[0] == 1:
        return reservation
    *fields, claims, only, region, priority, placed, placed_at, counted, returned, kept_ms = reservation
    assert only
    assert not any((claims, region, priority, placed, placed_at, counted, returned, kept_ms))
    return [1, *fields[1:]]


def live(changelog):
    return {key: value for key, value in dict(changelog).items() if value is not None}


def test_there_is_a_recording():
    assert RECORDINGS


def test_the_log_of_an_earlier_release_gives_the_same_bytes(recording):
    folding = Folding()
    folding.run(recording.log)
    for topic in OUTPUTS:
        assert as_before(folding.published, topic) == recording.published[topic]
    assert [(key, plain(key, value)) for key, value in folding.changelog] == recording.changelog


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
    changelog = [(key, plain(key, value)) for key, value in folding.changelog]
    assert live(recording.changelog[: half + 1] + changelog) == live(recording.changelog)
    for topic in OUTPUTS:
        published = as_before(folding.published, topic)
        assert published == recording.published[topic][len(recording.published[topic]) - len(published) :]
