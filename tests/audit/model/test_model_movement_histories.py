"""Over random histories of movements and counts, the contract's invariants hold after every record."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.checkpoint import Mark, Writer, read_state
from audit.comparison.changes import oversold
from audit.comparison.digest import Digest
from audit.comparison.invariants import check_state
from audit.model.documents import Hold, decode_hold
from tests.audit.ledger import T0, Log

SKUS, WAREHOUSES = ("S", "T"), ("a", "b", "c")
PHYSICAL = ("on_hand", "damaged", "quarantine")
# What comes into the building or leaves it, but for drifts and what is received.
FROM_OUTSIDE = {"adjust", "commit", "return", "reconcile"}


def any_of(*values):
    return st.sampled_from(values)


FEW = st.integers(1, 5)
PLACE = any_of("a", "a", "a", "b", "c")
RESERVATION = any_of("r0", "r1", "r2", "r3")
INBOUND = any_of("i0", "i1")
COUNTS = st.integers(0, 9)


def commands(type_, **fields):
    """Return commands of a type; a field that a strategy gives as None is left out."""
    fields = {"sku": any_of("S", "S", "S", "T"), "pause": any_of(0, 0, 1, 2, 7)} | fields
    return st.tuples(st.just(type_), st.fixed_dictionaries(fields))


COUNT = {
    "warehouse": PLACE,
    "counted_on_hand": COUNTS,
    "counted_damaged": any_of(None, None, 0, 1),
    "counted_quarantine": any_of(None, None, 0, 2),
    "tolerance": any_of(None, None, None, 3),
}
HISTORIES = st.lists(
    st.one_of(
        commands("adjust", warehouse=PLACE, delta=any_of(1, 2, 5, 9, -1), bucket=any_of(None, None, *PHYSICAL)),
        commands(
            "reserve", reservation_id=RESERVATION, quantity=FEW, ttl_ms=any_of(0, 0, 20), wait=any_of(None, "any")
        ),
        commands("commit", reservation_id=RESERVATION, quantity=any_of(None, 1, 2)),
        commands("release", reservation_id=RESERVATION, quantity=any_of(None, 1)),
        commands(
            "return",
            warehouse=PLACE,
            quantity=any_of(1, 1, 2),
            disposition=any_of("restock", "damaged", "inspect"),
            reservation_id=any_of(None, "r0", "r0", "r1", "r2", "r3"),
        ),
        commands("move", warehouse=PLACE, quantity=FEW, **{"from": any_of(*PHYSICAL), "to": any_of(*PHYSICAL)}),
        commands("transfer", quantity=FEW, **{"from": PLACE, "to": PLACE}),
        commands("transfer", quantity=FEW, inbound_id=INBOUND, eta_at=st.just(T0), **{"from": PLACE, "to": PLACE}),
        commands("receive_inbound", inbound_id=INBOUND, quantity=FEW, damaged=any_of(None, 1), final=st.booleans()),
        commands("cancel_inbound", inbound_id=INBOUND),
        commands("reconcile", **COUNT, ago=any_of(None, 0, 1, 1, 2, 3, 5, 9)),
        commands("reconcile", **COUNT, ago=any_of(1, 2, 3, 5)),
        commands("set_warehouse", warehouse=PLACE, journal_ms=any_of(0, 6, 10, 10)),
        commands("tick"),
    ),
    min_size=10,
    max_size=40,
)


class Story:
    """A log that is told a history, with what any reader can work out from what is published."""

    def __init__(self, log=None):
        self.log = log or Log()
        self.at = 0
        self.movements = []  # (SKU, warehouse, when it counts from, units by bucket)
        self.units = Counter()  # units of each SKU, with those in transit

    def begin(self):
        """Set what all histories begin with."""
        self.log.do("set_channel", sku=None, channel="*", version=1, backorder_limit=20)
        for warehouse in ("a", "b"):
            journal_ms = 10 if warehouse == "a" else 0
            self.log.do("set_warehouse", sku=None, warehouse=warehouse, version=1, journal_ms=journal_ms)
        self.log.do("adjust", warehouse="a", delta=9, reason="receipt")
        self.log.do("reserve", reservation_id="r0", quantity=5, ttl_ms=0)
        self.log.do("commit", reservation_id="r0", quantity=3)
        for expected in self.log.expected:
            self.look(expected)
        return self

    def tell(self, number, type_, fields):
        """Do one command of a history, and return what is published for it."""
        self.at += fields.pop("pause")
        if type_ == "reconcile":
            ago = fields.pop("ago")
            fields["as_of_at"] = None if ago is None else T0 + max(0, self.at - ago)
        if type_ in {"set_warehouse", "tick"}:
            del fields["sku"]
        if type_ == "set_warehouse":
            fields |= {"sku": None, "version": number + 2}
        if type_ == "adjust":
            fields["reason"] = "receipt"
        return self.log.do(type_, self.at, **fields)

    def look(self, expected):
        """Check what a record published, and note it."""
        for result in expected.results:
            if "reconciliation" in result:
                self.check_count(result)
        for change in expected.stock_changes:
            assert not oversold(change)
            self.note(change, expected)

    def check_count(self, result):
        """Check that a count was compared with all movements up to its time, and all drifts counted by then."""
        found = result["reconciliation"]
        place, until = (result["sku"], found["warehouse"]), found["as_of_at"]
        there = Counter()
        for sku, warehouse, at, units in self.movements:
            if (sku, warehouse) == place and at <= until:
                there.update(units)
        for name, units in found["ledger"].items():
            assert units == there[name], (name, result)
            assert found["drift"][name] == found["counted"][name] - units

    def note(self, change, expected):
        """Note a change; a drift counts from the time of its count."""
        at, type_ = change["at"], change["cause"]["type"]
        if type_ == "reconcile":
            (result,) = [it for it in expected.results if it["type"] == "reconcile"]
            at = result["reconciliation"]["as_of_at"]
            assert change["delta"] == {name: by for name, by in result["reconciliation"]["drift"].items() if by}
        units = {name: by for name, by in change["delta"].items() if name in PHYSICAL}
        self.movements.append((change["sku"], change["warehouse"], at, units))
        if type_ in FROM_OUTSIDE:
            self.units[change["sku"]] += sum(units.values())

    def lose(self, expected, before):
        """Note what was lost in transit by a record."""
        for result in expected.results:
            if result["type"] in {"receive_inbound", "cancel_inbound"} and result["code"] is None:
                found = result["inbound"]
                came = found["received"] + found["damaged"] - before[result["sku"], found["inbound_id"]][0]
                gone = before[result["sku"], found["inbound_id"]][1] - found["remaining"]
                self.units[result["sku"]] += came - gone


def in_transit(model):
    """Return (came, remaining) of the announced goods, by SKU and id."""
    return {
        (sku, inbound.inbound_id): (inbound.came, inbound.remaining)
        for sku, book in model.books.items()
        for inbound in book.inbounds.values()
    }


def check_state_of(story):
    """Check what must be true after every record."""
    model = story.log.model
    assert [found.note for found in check_state(model) if not found.holds] == []
    for sku in SKUS:
        rows = model.items[sku].rows.values() if sku in model.items else []
        there = sum(row.on_hand + row.damaged + row.quarantine for row in rows)
        coming = sum(remaining for (of, _), (_, remaining) in in_transit(model).items() if of == sku)
        assert there + coming == story.units[sku]
    for hold in model.holds.values():
        found = hold if isinstance(hold, Hold) else decode_hold(hold)
        assert 0 <= found.returned <= found.committed


@settings(deadline=None, max_examples=120)
@given(HISTORIES)
def test_the_invariants_hold_after_every_record(history):
    story = Story().begin()
    model = story.log.model
    for number, (type_, fields) in enumerate(history):
        before, rows = in_transit(model), dict(model.rows())
        model.touched = set()
        expected = story.tell(number, type_, dict(fields))
        story.look(expected)
        story.lose(expected, before)
        check_state_of(story)
        after = dict(model.rows())
        assert all(model.row(key) == value for key, value in after.items())
        assert {key for key, value in after.items() if rows.get(key) != value} <= {it.encode() for it in model.touched}
        for key in rows.keys() - after.keys():
            assert key[:1] != b"J" or (model.is_over(key) and model.row(key) is None)
        assert not any(model.is_over(key) for key in after if key[:1] == b"J")


@settings(deadline=None, max_examples=60)
@given(HISTORIES, st.integers(0, 30))
def test_a_model_that_continues_from_a_checkpoint_publishes_the_same(tmp_path_factory, history, number):
    story = Story().begin()
    for place, (type_, fields) in enumerate(history[:number]):
        story.tell(place, type_, dict(fields))
    other = Story(Log())
    other.at, other.log.commands = story.at, list(story.log.commands)
    other.log.model = through_a_checkpoint(tmp_path_factory.mktemp("checkpoint"), story.log)
    assert sorted(other.log.model.rows()) == sorted(story.log.model.rows())
    for place, (type_, fields) in enumerate(history[number:], number):
        assert other.tell(place, type_, dict(fields)) == story.tell(place, type_, dict(fields))
    assert sorted(other.log.model.rows()) == sorted(story.log.model.rows())


def through_a_checkpoint(directory, log):
    """Return the model that a later audit begins with."""
    writer = Writer(directory, 0)
    writer.write_model(log.model)
    name, digest = writer.finish(Digest(), Digest(), log.next_offset)
    numbers = {"partition": 0, "next_offset": log.next_offset, "at": log.model.now, "changelog": 0}
    mark = Mark(file=name, sha256=digest, incarnation=None, last_command=None, outputs={}, **numbers)
    return read_state(directory, mark).model
