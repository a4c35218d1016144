"""Over histories of policies and caps, reads equal decisions, counts add up, and a checkpoint loses nothing."""

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.checkpoint import Mark, Writer, read_state
from audit.comparison.digest import Digest
from tests.audit.ledger import T0, Log

DAY = 24 * 60 * 60 * 1000
WAREHOUSES, CHANNELS, RESERVATIONS = ("a", "b", "c"), ("web", "shop"), [f"r{number}" for number in range(12)]
FEW = st.integers(1, 6)


def commands(type_, **fields):
    """Return commands of a type; a field that a strategy gives as None is left out."""
    return st.tuples(st.just(type_), st.fixed_dictionaries(fields))


def any_of(*values):
    return st.sampled_from(values)


COMMANDS = st.one_of(
    commands("adjust", warehouse=any_of(*WAREHOUSES), delta=st.integers(-4, 9).filter(bool), reason=st.just("receipt")),
    commands(
        "reserve",
        quantity=FEW,
        channel=any_of(*CHANNELS),
        partial=st.booleans(),
        region=any_of(None, "n"),
        warehouse=any_of(None, None, "a"),
        ttl_ms=any_of(0, 30),
    ),
    commands("commit", reservation_id=any_of(*RESERVATIONS), quantity=any_of(None, 1, 2)),
    commands("release", reservation_id=any_of(*RESERVATIONS), quantity=any_of(None, 1, 2)),
    commands(
        "set_policy",
        channel=any_of("*", *CHANNELS),
        cap=st.none() | st.integers(0, 9),
        buffer=any_of(None, 0, 1, 3),
        split=any_of(None, True, False),
        max_per_reservation=st.none() | FEW,
        strategy=any_of(None, "most_stock", "fewest_splits", "region"),
        warehouses=st.none() | st.lists(any_of(*WAREHOUSES), unique=True),
        enabled=any_of(None, True, True, False),
    ),
    commands(
        "set_warehouse",
        warehouse=any_of(*WAREHOUSES),
        version=st.integers(1, 9),
        enabled=any_of(True, True, False),
        region=any_of(None, "n"),
        priority=any_of(None, 1),
    ),
)
HISTORIES = st.lists(COMMANDS, min_size=3, max_size=14)


def told(history):
    """Apply commands one after the other, those of the SKU 10 ms apart."""
    log = Log()
    number = 0
    for type_, fields in history:
        if type_ == "set_warehouse":
            log.do(type_, at=10 * number, sku=None, **fields)
        else:
            ids = {"reservation_id": f"r{number}"} if type_ == "reserve" else {}
            number += 1
            log.do(type_, at=10 * number, **fields | ids)
    log.do("tick", at=1000)
    return log


@settings(deadline=None, max_examples=150)
@given(HISTORIES, any_of(*CHANNELS))
def test_a_reserve_of_the_most_is_accepted_and_of_one_more_refused(history, channel):
    query = told(history).result("query", channel=channel)
    if query["code"] == "unknown_sku":
        return
    most = query["availability"]["most_per_reservation"]
    one_more = told(history).result("reserve", reservation_id="x", channel=channel, quantity=most + 1)
    assert one_more["code"] is not None
    if most:
        assert told(history).result("reserve", reservation_id="x", channel=channel, quantity=most)["code"] is None


@settings(deadline=None, max_examples=150)
@given(HISTORIES)
def test_what_channels_hold_and_the_sequence_follow_from_reservations_and_changes(history):
    log = told(history)
    rows = {key: msgspec.msgpack.decode(value) for key, value in log.model.rows()}
    counted = {}
    for key, reservation in rows.items():
        if key[:1] == b"R" and reservation[0] == 2 and reservation[16] and reservation[1] == "held":
            left = sum(quantity for _, quantity in reservation[5])
            counted[reservation[6]] = counted.get(reservation[6], 0) + left
    book = rows.get(b"SS\0", [0] * 8 + [[]])
    assert {channel: units for channel, units, _ in book[8]} == counted
    changes = [change["seq"] for expected in log.expected for change in expected.stock_changes]
    assert changes == list(range(1, len(changes) + 1))
    assert all(log.model.row(key) == value for key, value in log.model.rows())


@settings(deadline=None, max_examples=100)
@given(HISTORIES, st.integers(0, 14))
def test_what_nothing_was_set_for_decides_as_without_any_reference_data(history, number):
    plain = [(type_, fields) for type_, fields in history if not type_.startswith("set_")]
    other = {"warehouse": "elsewhere", "version": 1, "enabled": False}
    among = [*plain[:number], ("set_warehouse", other), *plain[number:]]
    with_other = [expected for expected in told(among).expected if not expected.reference]
    assert [of_any_place(expected) for expected in with_other] == [
        of_any_place(expected) for expected in told(plain).expected
    ]


def of_any_place(expected):
    """Return a record's stock changes by what changed, whatever its offset and time."""
    return [(change["seq"], change["warehouse"], change["delta"]) for change in expected.stock_changes]


LATER = [
    {"type": "reserve", "sku": "S", "reservation_id": "x", "quantity": 20, "channel": "web"},
    {"type": "set_warehouse", "version": 2, "warehouse": "leeds", "journal_ms": 5},
    {"type": "query", "sku": "S", "channel": "web"},
    {"type": "query", "sku": "S", "reservation_id": "closed"},
]


def test_a_checkpoint_keeps_the_book_policies_reference_data_and_return_windows(tmp_path):
    log = Log().stocked(leeds=10, main=6)
    log.do("set_warehouse", sku=None, version=1, warehouse="leeds", priority=10, region="north", journal_ms=5)
    log.do("set_channel", sku=None, version=1, channel="web", buffer=3, cap=12)
    log.do("set_feed", sku=None, version=1, feed="wms", as_of_at=5, interval_ms=7)
    log.do("set_policy", channel="web", warehouses=["main", "leeds"], return_window_ms=30 * DAY)
    log.do("reserve", reservation_id="r", quantity=2, channel="web", region="north", warehouse="main", ttl_ms=0)
    log.do("reserve", reservation_id="closed", quantity=1, channel="web")
    log.do("commit", reservation_id="closed")
    writer = Writer(tmp_path, 0)
    writer.write_model(log.model)
    name, digest = writer.finish(Digest(), Digest(), log.next_offset)
    mark = Mark(
        partition=0,
        file=name,
        sha256=digest,
        next_offset=log.next_offset,
        at=log.model.now,
        incarnation=None,
        last_command=None,
        outputs={},
        changelog=0,
    )
    model = read_state(tmp_path, mark).model
    assert list(model.rows()) == list(log.model.rows())
    for at in (T0 + 1, T0 + 8 * DAY, T0 + 31 * DAY):
        for number, fields in enumerate(LATER):
            value = json.dumps({"command_id": f"later-{number}"} | fields).encode()
            before, after = (it.apply(log.next_offset, at, b"S", value) for it in (log.model, model))
            assert before == after
