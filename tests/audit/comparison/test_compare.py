"""Published records are compared with the expected ones; each kind of difference is named, with its offset."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tests.audit.ledger import Log, Published

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000


@pytest.fixture
def busy(log, published):
    """Return what a ledger published for 30 commands of all kinds.

    Offsets 0 and 1 stock warehouses; 2 to 21 reserve (`r2` ..), 22 expires them all, 23 is malformed, 24 invalid,
    25 replays 3, 26 to 29 commit, release, extend and query what is refused.
    """
    log.stocked(a=50, b=50)
    for number in range(2, 22):
        log.do("reserve", command_id=f"c{number}", reservation_id=f"r{number}", quantity=number, ttl_ms=100 + number)
    log.do("tick", at=500)
    log.send(b"{", at=500, key=None)
    log.do("query", at=500, command_id="invalid", surprise=1)
    log.do("reserve", at=500, command_id="c3", reservation_id="r3", quantity=3, ttl_ms=103)
    log.do("commit", at=500, reservation_id="r2")
    log.do("release", at=500, reservation_id="r2")
    log.do("extend", at=500, reservation_id="no", ttl_ms=5)
    log.do("query", at=500)
    return published(log)


def said(report):
    return [(it.kind, it.what, it.offset, it.record_offset, it.key) for it in report.differences]


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
async def test_a_faultless_ledger_is_equal(busy, piece):
    report = await busy.audit(piece=piece)
    assert said(report) == []
    assert (report.difference_count, report.lost, report.doubled, report.oversold) == (0, 0, 0, 0)
    assert (report.complete, report.notes) == (True, [])
    counts = report.compared
    assert (counts.commands, counts.results, counts.stock_changes) == (30, len(busy.results), len(busy.changes))
    assert (counts.dead_letters, counts.rows) == (2, len(busy.rows))


async def test_a_log_with_many_records_that_cannot_be_read_is_equal(log, published):
    for number in range(200):
        log.send(b"{%d" % number)
    report = await published(log).audit()
    assert (said(report), report.compared.dead_letters) == ([], 200)


async def test_the_order_of_keys_and_blanks_do_not_matter(busy):
    for index, record in enumerate(busy.results):
        document = json.loads(record.value)
        busy.results[index] = record._replace(value=json.dumps(document, sort_keys=True, indent=1).encode())
    assert said(await busy.audit()) == []


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_lost_result_is_named_by_its_command(busy, piece):
    del busy.results[5]
    report = await busy.audit(piece=piece)
    assert said(report) == [("result", "lost", 5, None, "S")]
    assert (report.lost, report.doubled) == (1, 0)
    assert report.differences[0].expected["command_id"] == "c5"


async def test_a_lost_last_result_is_lost(busy):
    busy.results.pop()
    assert said(await busy.audit()) == [("result", "lost", 29, None, "S")]


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_doubled_result_is_named_by_its_command_and_its_own_place(busy, piece):
    busy.results.insert(9, busy.results[4]._replace(offset=1004))
    report = await busy.audit(piece=piece)
    assert said(report) == [("result", "doubled", 4, 1004, "S")]
    assert (report.lost, report.doubled) == (0, 1)


async def test_a_batch_that_was_published_twice_is_all_doubled(busy):
    again = [record._replace(offset=1000 + record.offset) for record in busy.results[3:20]]
    busy.results[20:20] = again
    report = await busy.audit()
    assert [it.record_offset for it in report.differences] == list(range(1003, 1020))
    assert (report.lost, report.doubled) == (0, 17)


async def test_a_doubled_result_in_the_place_of_a_lost_one_is_both(busy):
    busy.results[5] = busy.results[4]._replace(offset=1004)
    report = await busy.audit()
    assert said(report) == [("result", "lost", 5, None, "S"), ("result", "doubled", 4, 1004, "S")]
    assert (report.lost, report.doubled) == (1, 1)


@given(data=st.data())
async def test_all_that_is_lost_and_doubled_is_counted(data):
    log = Log().stocked(a=100)
    for _ in range(40):
        log.do("query")
    spoiled = Published(log)
    places = st.sets(st.integers(0, 40))
    lost, doubled = data.draw(places), data.draw(places)
    spoiled.outputs[RESULTS] = [
        copy
        for place, record in enumerate(spoiled.results)
        for copy in [record] * (place not in lost) + [record._replace(offset=1000 + place)] * (place in doubled)
    ]
    report = await spoiled.audit(piece=data.draw(st.integers(1, 50)))
    # Of a result that is gone, one that was published a second time is just the one.
    assert (report.lost, report.doubled) == (len(lost - doubled), len(doubled - lost))
    assert report.difference_count == len(lost ^ doubled)


async def test_what_pending_commands_would_bring_about_is_not_lost_when_a_doubled_result_follows(log, published):
    log.stocked(a=5)
    early = published(log)
    log.do("query")
    log.do("query")
    early.commands = list(log.commands)
    early.results.append(early.results[0]._replace(offset=1000))
    assert said(await early.audit()) == [("result", "doubled", 0, 1000, "S")]


async def test_a_result_after_the_last_is_doubled(busy):
    busy.results.append(busy.results[-1]._replace(offset=1000))
    assert said(await busy.audit()) == [("result", "doubled", 29, 1000, "S")]


@pytest.mark.parametrize("distance", [1, 2, 12])
async def test_a_result_in_another_place_is_reordered_and_neither_lost_nor_doubled(busy, distance):
    busy.results.insert(4 + distance, busy.results.pop(4))
    report = await busy.audit()
    assert said(report) == [("result", "reordered", 4, 4, "S")] or distance == 1
    assert [it.what for it in report.differences] == ["reordered"]
    assert (report.lost, report.doubled) == (0, 0)


ALTERATIONS = [
    {"seq": 99},
    {"shortfall": True},
    {"at": T0 + 1},
    {"code": "unknown_sku"},
    {"offset": 77},
    {"command_id": "someone-else"},
    {"seq": 7.0},
    {"replayed": 0},
    {"surprise": None},
    {"stock": []},
]


@pytest.mark.parametrize("fields", ALTERATIONS)
async def test_an_altered_result_is_shown_with_what_was_expected(busy, fields):
    busy.edit(busy.results, 6, **fields)
    report = await busy.audit()
    assert said(report) == [("result", "altered", 6, 6, "S")]
    assert report.differences[0].found == report.differences[0].expected | fields
    assert (report.lost, report.doubled) == (0, 0)


@pytest.mark.parametrize("value", [None, b"", b"{", b"7", b"[]", b'{"sku":{}}'])
async def test_a_result_that_is_none_is_altered(busy, value):
    busy.results[6] = busy.results[6]._replace(value=value)
    assert said(await busy.audit()) == [("result", "altered", 6, 6, "S")]


async def test_a_result_under_another_key_is_altered(busy):
    busy.results[6] = busy.results[6]._replace(key=b"T")
    assert said(await busy.audit()) == [("result", "altered", 6, 6, "S")]


async def test_a_missing_expiry_is_lost(busy):
    place = next(
        i for i, record in enumerate(busy.results) if b'"reservation_id":"r9","state":"expired"' in record.value
    )
    del busy.results[place]
    report = await busy.audit()
    assert said(report) == [("result", "lost", 22, None, "S")]
    assert report.differences[0].expected["reservation"]["reservation_id"] == "r9"


async def test_a_replay_that_was_not_published_is_lost(busy):
    place = next(i for i, record in enumerate(busy.results) if b'"replayed":true' in record.value)
    del busy.results[place]
    assert said(await busy.audit()) == [("result", "lost", 25, None, "S")]


async def test_a_lost_stock_change(busy):
    del busy.changes[5]
    assert said(await busy.audit()) == [("stock_change", "lost", 5, None, "S/a")]


async def test_a_doubled_stock_change(busy):
    busy.changes.insert(6, busy.changes[5]._replace(offset=1005))
    assert said(await busy.audit()) == [("stock_change", "doubled", None, 1005, "S/a")]


async def test_reordered_stock_changes(busy):
    busy.changes[5], busy.changes[6] = busy.changes[6], busy.changes[5]
    report = await busy.audit()
    assert [(it.kind, it.what) for it in report.differences] == [("stock_change", "reordered")]


@pytest.mark.parametrize("fields", [{"delta": {"reserved": 6}}, {"seq": 99}, {"warehouse": "b"}, {"shortfall": True}])
async def test_an_altered_stock_change(busy, fields):
    busy.edit(busy.changes, 5, **fields)
    assert said(await busy.audit()) == [("stock_change", "altered", 5, 5, "S/a")]


async def test_a_reserve_that_made_available_negative_is_oversold(busy):
    after = json.loads(busy.changes[5].value)["after"]
    busy.edit(busy.changes, 5, after=after | {"available": -1})
    report = await busy.audit()
    assert [it.what for it in report.differences] == ["altered", "oversold"]
    assert report.oversold == 1


async def test_a_reserve_that_the_log_does_not_demand_can_oversell_too(busy):
    document = json.loads(busy.changes[5].value)
    extra = document | {"seq": 1000, "after": document["after"] | {"available": -3}}
    busy.changes.append(busy.changes[5]._replace(offset=1000, value=json.dumps(extra).encode()))
    assert (await busy.audit()).oversold == 1


LETTERS = [
    ("lost", lambda letters: letters.pop(0), (23, None)),
    ("doubled", lambda letters: letters.append(letters[1]._replace(offset=9)), (24, 9)),
    ("altered", lambda letters: letters.append(letters.pop()._replace(value=b"}")), (24, 1)),
    ("altered", lambda letters: letters.append(letters.pop()._replace(key=b"T")), (24, 1)),
    ("altered", lambda letters: letters.append(letters.pop()._replace(headers=())), (24, 1)),
]


@pytest.mark.parametrize(("what", "spoil", "place"), LETTERS)
async def test_dead_letters(busy, what, spoil, place):
    spoil(busy.letters)
    (difference,) = (await busy.audit()).differences
    assert (difference.kind, difference.what) == ("dead_letter", what)
    assert (difference.offset, difference.record_offset) == place


@pytest.mark.parametrize(("name", "text"), [("reason", b"malformed"), ("partition", b"1"), ("offset", b"25")])
async def test_a_dead_letter_with_another_header(busy, name, text):
    headers = tuple((header, text if header == name else value) for header, value in busy.letters[1].headers)
    busy.letters[1] = busy.letters[1]._replace(headers=headers)
    assert said(await busy.audit()) == [("dead_letter", "altered", 24, 1, "S")]


@pytest.mark.parametrize("key", [b"SS\0a", b"RS\0r5", b"CS\0c5"])
async def test_a_lost_row(busy, key):
    del busy.rows[key]
    printed = key.decode().replace("\0", "\\0")
    assert said(await busy.audit()) == [("row", "lost", None, None, printed)]


@pytest.mark.parametrize(
    ("key", "place", "value"),
    [(b"SS\0a", 2, 51), (b"SS\0a", 0, 2), (b"RS\0r5", 1, "held"), (b"CS\0c5", 4, 0), (b"CS\0c5", 2, "commit")],
)
async def test_an_altered_row(busy, key, place, value):
    busy.edit_row(key, place, value)
    (difference,) = (await busy.audit()).differences
    assert (difference.kind, difference.what) == ("row", "altered")
    assert difference.found[place] == value != difference.expected[place]


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (b"SS\0c", [1, 7, 5, 0, 0, 0, 0]),
        (b"RS\0more", [1, "held", 1, 0, 0, [["a", 1]], "default", None, None, None]),
        (b"CS\0more", [1, b"f", "extend", None, 4, T0, 4, None, None, [], None, None, None]),
        (b"X", [1]),
        (b"C", "no row at all"),
    ],
)
async def test_a_row_too_many(busy, key, row):
    busy.rows[key] = msgspec.msgpack.encode(row)
    (difference,) = (await busy.audit()).differences
    assert (difference.kind, difference.what, difference.found) == ("row", "doubled", row)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (b"CS\0old", [1, b"f", "extend", None, 4, T0 + 500 - DAY, 4, None, None, [], None, None, None]),
        (b"RS\0old", [1, "committed", 1, 1, 0, [], "default", None, None, T0 + 500 - 7 * DAY]),
    ],
)
async def test_a_row_whose_time_is_over_may_still_be_there(busy, key, row):
    busy.rows[key] = msgspec.msgpack.encode(row)
    assert said(await busy.audit()) == []


async def test_the_row_of_a_query_that_an_earlier_release_remembered_may_still_be_there(busy):
    row = [1, b"f", "query", None, 4, T0 + 500, 4, None, None, [], None, None, b"{}"]
    busy.rows[b"CS\0old"] = msgspec.msgpack.encode(row)
    assert said(await busy.audit()) == []
    busy.rows[b"CS\0c5"] = msgspec.msgpack.encode(row)
    assert said(await busy.audit()) == [("row", "altered", None, None, "CS\\0c5")]


async def test_another_content_of_a_remembered_command_is_an_altered_row(busy):
    busy.edit_row(b"CS\0c5", 1, b"12345678")
    assert said(await busy.audit()) == [("row", "altered", None, None, "CS\\0c5")]


async def test_the_reservation_id_of_a_refusal_is_the_ledgers_own(busy):
    busy.edit_row(b"CS\0c28", 7, "no")
    assert said(await busy.audit()) == []


async def test_the_ledgers_clock_is_compared(busy):
    busy.edit_row(b"P", 2, T0 + 501)
    assert said(await busy.audit()) == [("row", "altered", None, None, "P")]


async def test_a_running_ledger_that_went_on_after_its_position_was_read_is_equal(log, published):
    log.stocked(a=9)
    snapshot = published(log)
    for number in range(40):
        log.do("reserve", reservation_id=f"r{number}", quantity=1)
    running = published(log)
    running.rows = snapshot.rows
    del running.results[30:], running.changes[5:]
    report = await running.audit()
    assert (said(report), report.lost, report.compared.commands) == ([], 0, 1)


async def test_what_follows_the_position_is_compared_as_far_as_it_goes(log, published):
    log.stocked(a=9)
    snapshot = published(log)
    for number in range(9):
        log.do("reserve", reservation_id=f"r{number}", quantity=1)
    running = published(log)
    running.rows = snapshot.rows
    del running.results[4]
    assert said(await running.audit()) == [("result", "lost", 4, None, "S")]


async def test_commands_beyond_the_position_are_not_lost(busy):
    busy.commands += [busy.commands[-1]._replace(offset=30 + number) for number in range(50)]
    report = await busy.audit()
    assert (said(report), report.compared.commands) == ([], 30)


async def test_without_a_position_nothing_is_applied_yet(busy):
    busy.rows = {}
    for records in busy.outputs.values():
        records.clear()
    report = await busy.audit()
    assert (said(report), report.compared.commands) == ([], 0)


async def test_an_empty_results_topic_has_lost_everything(busy):
    expected = len(busy.results)
    busy.results.clear()
    report = await busy.audit()
    assert (report.lost, {it.what for it in report.differences}) == (expected, {"lost"})


async def test_no_more_than_100_differences_are_kept_and_all_are_counted(log, published):
    log.stocked(a=1)
    for _ in range(300):
        log.do("query")
    spoiled = published(log)
    for index in range(1, 301):
        spoiled.edit(spoiled.results, index, seq=-1)
    report = await spoiled.audit()
    assert (len(report.differences), report.difference_count) == (100, 300)


@pytest.mark.parametrize("topic", [RESULTS, STOCK_CHANGES, DEAD_LETTERS])
async def test_a_topic_that_has_lost_its_beginning_is_compared_from_what_is_left_on(busy, topic):
    busy.heads_missing = [topic]
    del busy.outputs[topic][:1]
    report = await busy.audit()
    assert said(report) == []
    assert report.notes == [f"{report.notes[0].split(':')[0]}: the topic has lost the 1 first of those expected"]
    assert report.complete is False


async def test_what_is_lost_after_a_lost_beginning_is_lost(busy):
    busy.heads_missing = [RESULTS]
    del busy.results[9], busy.results[:4]
    assert said(await busy.audit()) == [("result", "lost", 9, None, "S")]


async def test_a_topic_that_has_lost_everything_is_not_compared(busy):
    busy.heads_missing = [RESULTS]
    busy.results.clear()
    report = await busy.audit()
    assert (said(report), report.lost, report.complete) == ([], 0, False)


async def test_old_stock_changes_may_have_been_compacted_away(busy):
    busy.now_ms = T0 + 8 * DAY
    del busy.changes[3:9]
    report = await busy.audit()
    assert (said(report), report.notes) == ([], ["6 stock changes have been compacted away"])


async def test_the_last_change_of_a_row_is_never_compacted_away(busy):
    busy.now_ms = T0 + 8 * DAY
    last = max(i for i, record in enumerate(busy.changes) if record.key == b"S/a")
    del busy.changes[last]
    (difference,) = (await busy.audit()).differences
    assert (difference.kind, difference.what, difference.key) == ("stock_change", "lost", "S/a")


async def test_a_doubled_old_change_is_doubled_all_the_same(busy):
    busy.now_ms = T0 + 8 * DAY
    busy.changes.append(busy.changes[5]._replace(offset=1005))
    assert said(await busy.audit()) == [("stock_change", "doubled", None, 1005, "S/a")]


async def test_all_changes_that_no_later_one_accounts_for_are_counted(busy):
    busy.now_ms = T0 + 8 * DAY
    missing = [i for i, record in enumerate(busy.changes) if record.key == b"S/a"][-4:]
    for index in reversed(missing):
        del busy.changes[index]
    report = await busy.audit()
    # Of each row the last is shown, for all the others as well.
    assert (len(report.differences), report.difference_count) == (1, 4)


async def test_a_dead_letter_that_was_cut_is_compared_with_what_its_headers_say(log, published):
    log.send(b"{" + b"x" * 1_200_000, key=b"S")
    cut = published(log)
    assert dict(cut.letters[0].headers)["cut_value"] == b"1200001"
    assert said(await cut.audit()) == []
    headers = tuple((name, b"7" if name == "cut_value" else value) for name, value in cut.letters[0].headers)
    cut.letters[0] = cut.letters[0]._replace(headers=headers)
    assert said(await cut.audit()) == [("dead_letter", "altered", 0, 0, "S")]


async def test_a_result_of_the_first_release_has_no_problem(busy):
    (index,) = [n for n, record in enumerate(busy.results) if b'"problem"' in record.value]
    document = json.loads(busy.results[index].value)
    del document["problem"]
    busy.results[index] = busy.results[index]._replace(value=json.dumps(document).encode())
    assert said(await busy.audit()) == []
    busy.edit(busy.results, index, problem="too_large")
    assert said(await busy.audit()) == [("result", "altered", 24, index, "S")]
