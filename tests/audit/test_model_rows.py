"""The model's rows are laid out as `docs/semantics.md` says, and hold what is live by the clock alone."""

import msgspec

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000


def rows(log, prefix):
    """Return the rows of one kind, decoded; the content of a remembered command as None."""
    found = {key: msgspec.msgpack.decode(row) for key, row in log.model.rows() if key.startswith(prefix)}
    return {key: [row[0], None, *row[2:]] if prefix[:1] == b"C" else row for key, row in found.items()}


def test_a_stock_row_carries_the_sequence_of_its_own_last_change(log):
    log.stocked(a=5, b=6)
    log.do("adjust", warehouse="a", delta=2, bucket="damaged", reason="damage")
    assert rows(log, b"S") == {b"SS\0a": [1, 3, 5, 0, 2, 0, 0], b"SS\0b": [1, 2, 6, 0, 0, 0, 0]}


def test_a_reservation_row_while_held_and_when_closed(log):
    log.stocked(a=5, b=6).do("reserve", reservation_id="r", quantity=8, channel="web", order_id="o")
    log.do("commit", at=3, reservation_id="r", quantity=6)
    held = [1, "held", 8, 6, 0, [["b", 2]], "web", "o", T0 + 900_000, None]
    assert rows(log, b"R") == {b"RS\0r": held}
    log.do("release", at=4, reservation_id="r")
    assert rows(log, b"R") == {b"RS\0r": [1, "released", 8, 6, 2, [], "web", "o", T0 + 900_000, T0 + 4]}
    log.do("tick", at=4 + 7 * DAY)
    assert rows(log, b"R") == {}


def test_a_remembered_command_holds_its_result_as_rows(log):
    log.stocked(a=5, b=6).do("reserve", at=1, command_id="x", reservation_id="r", quantity=8, ttl_ms=0)
    reservation = [1, "held", 8, 0, 0, [["a", 5], ["b", 3]], "default", None, None, None]
    stock = [["a", [1, 3, 5, 5, 0, 0, 0]], ["b", [1, 4, 6, 3, 0, 0, 0]]]
    expected = [1, None, "reserve", None, 4, T0 + 1, 2, "r", reservation, stock, None, None, None]
    assert rows(log, b"CS\0x") == {b"CS\0x": expected}


def test_a_remembered_refusal_holds_what_was_asked_and_available(log):
    log.stocked(a=5).do("reserve", command_id="x", reservation_id="r", quantity=8)
    expected = [1, None, "reserve", "insufficient_stock", 1, T0, 1, None, None, [], 8, 5, None]
    assert rows(log, b"CS\0x") == {b"CS\0x": expected}


def test_a_remembered_command_shows_the_rows_and_the_reservation_of_then(log):
    log.stocked(a=5, b=6).do("reserve", reservation_id="r", quantity=1, ttl_ms=0)
    log.do("commit", at=2, command_id="x", reservation_id="r")
    log.stocked(a=1)
    (row,) = rows(log, b"CS\0x").values()
    reservation = [1, "committed", 1, 1, 0, [], "default", None, None, T0 + 2]
    assert row == [
        1,
        None,
        "commit",
        None,
        4,
        T0 + 2,
        3,
        "r",
        reservation,
        [["a", [1, 4, 4, 0, 0, 0, 0]]],
        None,
        None,
        None,
    ]


def test_a_query_has_no_row(log):
    log.stocked(a=5).do("query", command_id="x", of_command_id="c0")
    assert rows(log, b"CS\0x") == {}


def test_forgotten_commands_have_no_row(log):
    log.stocked(a=5)
    log.do("tick", at=DAY)
    assert [key for key, _ in log.model.rows()] == [b"SS\0a"]


def test_rejections_that_are_not_remembered_have_no_row(log):
    log.do("query", command_id="x", surprise=1)
    assert list(log.model.rows()) == []
