"""If a log has lost its beginning, everything is checked that can be checked without the state."""

import json

import msgspec
import pytest

from schemas.topics import DEAD_LETTERS, STOCK_CHANGES

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000
START = 10


@pytest.fixture
def trimmed(log, published):
    """Return what a ledger published for 30 commands, of which the first ten are gone.

    Offset 3 and 12 are malformed, 15 replays 5, 16 replays 11, 20 expires what was reserved at 4 to 8, 25 ff. commit.
    """
    log.stocked(a=500, b=500, c=500)
    for number in range(3, 25):
        special = {3: b"{", 12: b"["}
        if number in special:
            log.send(special[number])
        elif number in (15, 16):
            again = {15: 5, 16: 11}[number]
            log.do("reserve", command_id=f"c{again}", reservation_id=f"r{again}", quantity=1, ttl_ms=100)
        elif number == 20:
            log.do("tick", at=150)
        else:
            ttl_ms = 100 if number < 9 or number == 11 else 1_000_000
            log.do("reserve", at=150 if number > 20 else 0, reservation_id=f"r{number}", quantity=1, ttl_ms=ttl_ms)
    for number in range(21, 25):
        log.do("commit", at=150, reservation_id=f"r{number}")
    log.do("reserve", at=150, reservation_id="big", quantity=1100)
    return published(log)


def said(report):
    return [(it.kind, it.what, it.offset, it.record_offset, it.key) for it in report.differences]


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("results_start", [0, 4, 12])
async def test_a_faultless_ledger_is_equal_but_not_completely_checked(trimmed, piece, results_start):
    del trimmed.results[:results_start]
    report = await trimmed.audit(piece=piece, log_start=START)
    assert said(report) == []
    assert (report.complete, report.lost, report.doubled, report.oversold) == (False, 0, 0, 0)
    assert "state cannot be rebuilt" in report.notes[0]
    assert report.compared.commands == len(trimmed.commands) - START
    assert report.compared.stock_changes == len(trimmed.changes)


def place_of(records, text):
    return next(i for i, record in enumerate(records) if text in record.value)


async def test_a_command_without_its_result_is_lost(trimmed):
    del trimmed.results[place_of(trimmed.results, b'"c18"')]
    report = await trimmed.audit(log_start=START)
    assert (said(report), report.lost) == ([("result", "lost", 18, None, "S")], 1)


async def test_a_result_without_its_command_is_doubled(trimmed):
    place = place_of(trimmed.results, b'"c18"')
    trimmed.results.insert(place + 2, trimmed.results[place]._replace(offset=1000))
    report = await trimmed.audit(log_start=START)
    assert (said(report), report.doubled) == ([("result", "doubled", 18, 1000, "S")], 1)


async def test_a_result_that_names_another_command_is_altered(trimmed):
    place = place_of(trimmed.results, b'"c18"')
    trimmed.edit(trimmed.results, place, command_id="c77")
    report = await trimmed.audit(log_start=START)
    assert said(report) == [("result", "altered", 18, trimmed.results[place].offset, "S")]


async def test_dead_letters_are_compared_with_the_records_that_are_left(trimmed):
    trimmed.letters[1] = trimmed.letters[1]._replace(value=b"}")
    assert said(await trimmed.audit(log_start=START)) == [("dead_letter", "altered", 12, 1, "S")]
    del trimmed.letters[1]
    assert said(await trimmed.audit(log_start=START)) == [("dead_letter", "lost", 12, None, "S")]


async def test_dead_letters_that_have_lost_their_beginning(trimmed):
    trimmed.heads_missing = [DEAD_LETTERS]
    del trimmed.letters[0]
    assert said(await trimmed.audit(log_start=START)) == []


async def test_a_gap_in_a_skus_sequence_is_a_lost_change(trimmed):
    del trimmed.changes[6]
    report = await trimmed.audit(log_start=START)
    # The row's arithmetic breaks at the same place.
    assert said(report) == [("stock_change", "lost", None, 7, "S/a"), ("stock_change", "altered", None, 7, "S/a")]


async def test_a_change_that_comes_twice_is_doubled(trimmed):
    trimmed.changes.insert(7, trimmed.changes[6]._replace(offset=1006))
    assert said(await trimmed.audit(log_start=START)) == [("stock_change", "doubled", None, 1006, "S/a")]


@pytest.mark.parametrize("fields", [{"delta": {"reserved": 2}}, {"shortfall": True}, {"delta": None}, {"after": 7}])
async def test_a_change_that_does_not_add_up_is_altered(trimmed, fields):
    trimmed.edit(trimmed.changes, 6, **fields)
    assert said(await trimmed.audit(log_start=START))[0] == ("stock_change", "altered", None, 6, "S/a")


async def test_a_change_that_is_no_json_is_altered(trimmed):
    trimmed.changes[6] = trimmed.changes[6]._replace(value=b"{")
    assert ("stock_change", "altered", None, 6, "S/a") in said(await trimmed.audit(log_start=START))


async def test_a_change_under_another_key_is_altered(trimmed):
    trimmed.changes[6] = trimmed.changes[6]._replace(key=b"S/b")
    assert said(await trimmed.audit(log_start=START)) == [("stock_change", "altered", None, 6, "S/b")]


async def test_a_reserve_that_made_available_negative_is_oversold(trimmed):
    after = json.loads(trimmed.changes[6].value)["after"]
    trimmed.edit(trimmed.changes, 6, after=after | {"on_hand": 0, "available": -after["reserved"]}, shortfall=True)
    report = await trimmed.audit(log_start=START)
    assert report.oversold == 1
    assert "oversold" in [it.what for it in report.differences]


async def test_a_stock_row_is_what_its_last_change_says(trimmed):
    trimmed.edit_row(b"SS\0a", 2, 7)
    assert said(await trimmed.audit(log_start=START)) == [("row", "altered", None, None, "SS\\0a")]


async def test_a_stock_row_whose_change_is_missing_is_reported(trimmed):
    trimmed.edit_row(b"SS\0a", 1, 999)
    assert said(await trimmed.audit(log_start=START)) == [("row", "lost", None, None, "SS\\0a")]


async def test_a_running_ledger_has_later_changes_than_its_rows(trimmed):
    trimmed.edit_row(b"SS\0a", 1, 20)
    after = next(it["after"] for it in (json.loads(r.value) for r in trimmed.changes) if it["seq"] == 20)
    for place, name in enumerate(("on_hand", "reserved"), start=2):
        trimmed.edit_row(b"SS\0a", place, after[name])
    assert said(await trimmed.audit(log_start=START)) == []


async def test_gaps_are_no_loss_where_old_changes_were_compacted_away(trimmed):
    trimmed.now_ms = T0 + 8 * DAY
    del trimmed.changes[4:9]
    assert said(await trimmed.audit(log_start=START)) == []


@pytest.mark.parametrize("heads_missing", [[], [STOCK_CHANGES]])
async def test_a_sequence_may_begin_anywhere_when_the_topics_beginning_is_gone(trimmed, heads_missing):
    trimmed.heads_missing = heads_missing
    del trimmed.changes[:5]
    assert said(await trimmed.audit(log_start=START)) == []


@pytest.fixture
def capped(log, published):
    """Return what a ledger published for a SKU whose channel has a cap: its book has seq 5, its rows 3 and 4."""
    log.stocked(a=5, b=5)
    log.do("set_policy", channel="default", cap=8)
    log.do("set_policy", sku="T", channel="default", cap=8)
    log.do("reserve", reservation_id="r", quantity=6, warehouse=None)
    return published(log)


async def test_the_book_of_a_sku_is_compared_with_its_last_change(capped):
    report = await capped.audit(log_start=2)
    assert (said(report), report.compared.rows) == ([], 5)
    capped.edit_row(b"SS\0", 8, [["default", 5, 0]])
    (difference,) = (await capped.audit(log_start=2)).differences
    assert (difference.kind, difference.what, difference.key) == ("row", "altered", "SS\\0")


async def test_a_book_without_its_last_change_is_lost(capped):
    del capped.changes[-1]
    assert said(await capped.audit(log_start=2)) == [("row", "lost", None, None, "SS\\0")]


async def test_a_change_of_a_book_without_the_book_is_altered_and_the_rest_is_compared(capped):
    document = json.loads(capped.changes[-1].value)
    del document["book"]
    capped.changes[-1] = capped.changes[-1]._replace(value=json.dumps(document).encode())
    capped.edit_row(b"SS\0a", 2, 7)
    report = await capped.audit(log_start=2)
    assert said(report) == [("row", "altered", None, None, "SS\\0a"), ("stock_change", "altered", None, 4, "S/")]


async def test_a_change_of_a_row_has_no_book(capped):
    book = json.loads(capped.changes[-1].value)["book"]
    capped.edit(capped.changes, 3, book=book)
    assert said(await capped.audit(log_start=2)) == [("stock_change", "altered", None, 3, "S/b")]


@pytest.mark.parametrize("book", [None, 7, {}, {"backordered": 0, "promised": 0, "inbounds": [], "channels": [{}]}])
async def test_a_book_that_is_none_is_altered(capped, book):
    capped.edit(capped.changes, 4, book=book)
    assert said(await capped.audit(log_start=2)) == [
        ("stock_change", "altered", None, 4, "S/"),
        ("row", "lost", None, None, "SS\\0"),
    ]


@pytest.mark.parametrize("row", [b"\xc1", 7, [], [1], [1, "x"]])
async def test_a_stock_row_that_is_none_is_altered(capped, row):
    capped.rows[b"SS\0a"] = row if isinstance(row, bytes) else msgspec.msgpack.encode(row)
    (difference,) = (await capped.audit(log_start=2)).differences
    assert (difference.kind, difference.what, difference.found) == ("row", "altered", row)


async def test_a_stock_row_whose_key_is_no_text_is_lost(capped):
    capped.rows[b"S\xff"] = capped.rows[b"SS\0a"]
    assert said(await capped.audit(log_start=2)) == [("row", "lost", None, None, "S\\xff")]
