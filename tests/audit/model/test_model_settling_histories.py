"""Over random histories of queues, the contract's invariants hold after every record, with small and large tails."""

from itertools import pairwise
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.comparison.changes import oversold
from audit.comparison.invariants import check_state
from audit.model import steps, tail
from audit.model.documents import Hold
from tests.audit.ledger import T0, Log, through_a_checkpoint

SKUS, WAREHOUSES, CHANNELS = ("S", "T"), ("a", "b", "c"), ("web", "shop")
RESERVATIONS = [f"r{number}" for number in range(8)]
FEW = st.integers(1, 6)
TAILS = st.sampled_from([1, 2, 5, 16])
MANY_TICKS = 300


def any_of(*values):
    return st.sampled_from(values)


def commands(type_, **fields):
    """Return commands of a type; a field that a strategy gives as None is left out."""
    fields = {"sku": any_of("S", "S", "T")} | fields
    return st.tuples(st.just(type_), st.fixed_dictionaries(fields))


RULES = {
    "presell_horizon_ms": any_of(None, None, 0, 60, 1000),
    "backorder_limit": any_of(None, None, 0, 4, 40),
    "split": any_of(None, None, True, False),
    "strategy": any_of(None, "most_stock", "fewest_splits", "region"),
    "warehouses": any_of(None, None, ["b", "a"], ["c", "a", "b"], ["b"]),
    "enabled": any_of(None, None, None, False),
    "priority": any_of(None, 5, 200),
}
RESERVE = {
    "quantity": FEW,
    "channel": any_of(*CHANNELS),
    "partial": st.booleans(),
    "region": any_of(None, "n"),
    "warehouse": any_of(None, None, "a"),
}
TO_SEVERAL = {"reservation_id": any_of(*RESERVATIONS), "quantity": any_of(None, 1, 2)}

WAITS = any_of("any", "any", None, "inbound", "inbound")
INBOUNDS = any_of("i0", "i0", "i1", "i2")
DATES = any_of(20, 60, 90, 150, 150, 400)  # in ms from the beginning
RECEIVE = {
    "inbound_id": INBOUNDS,
    "quantity": st.integers(0, 6),
    "damaged": any_of(None, None, 1),
    "final": st.booleans(),
}

SHIPMENT = {"inbound_id": INBOUNDS, "eta_at": DATES}
MOVED = {"from": any_of("on_hand", "quarantine"), "to": any_of("quarantine", "on_hand", "damaged")}
AMEND = TO_SEVERAL | {"quantity": st.integers(1, 12), "partial": st.booleans()}


def histories(**more):
    """Return histories of commands, with these policy fields beside the usual ones."""
    return st.lists(
        st.one_of(
            commands("adjust", warehouse=any_of(*WAREHOUSES), delta=any_of(1, 2, 3, 5, 9, -1, -3)),
            commands("adjust", warehouse=any_of(*WAREHOUSES), delta=any_of(2, 7, 20)),
            commands("reserve", **RESERVE, wait=WAITS, ttl_ms=any_of(0, 0, 40)),
            commands("reserve", **RESERVE, wait=st.just("any"), ttl_ms=st.just(0)),
            commands("amend", **AMEND, wait=any_of(None, "any", "inbound")),
            commands("expect_inbound", inbound_id=INBOUNDS, warehouse=any_of(*WAREHOUSES), quantity=FEW, eta_at=DATES),
            commands("expect_inbound", inbound_id=INBOUNDS, warehouse=any_of("a", "b"), quantity=FEW, eta_at=DATES),
            commands("receive_inbound", **RECEIVE),
            commands("amend_inbound", inbound_id=INBOUNDS, quantity=st.integers(0, 9), eta_at=DATES),
            commands("amend_inbound", inbound_id=INBOUNDS, eta_at=DATES),
            commands("cancel_inbound", inbound_id=INBOUNDS),
            commands("reallocate", **TO_SEVERAL, **{"from": any_of("a", "b"), "to": any_of("b", "c")}),
            commands("transfer", quantity=FEW, **{"from": any_of("a", "b"), "to": any_of("b", "c")}),
            commands("transfer", quantity=FEW, **SHIPMENT, **{"from": any_of("a", "b"), "to": any_of("b", "c")}),
            commands("return", warehouse=any_of(*WAREHOUSES), quantity=FEW, disposition=any_of("restock", "inspect")),
            commands("move", warehouse=any_of(*WAREHOUSES), quantity=FEW, **MOVED),
            commands("commit", **TO_SEVERAL),
            commands("release", **TO_SEVERAL),
            commands("set_policy", channel=any_of("*", *CHANNELS), **RULES, **more),
            commands("set_warehouse", warehouse=any_of(*WAREHOUSES), enabled=any_of(True, True, False)),
            commands("tick"),
        ),
        min_size=12,
        max_size=30,
    )


HISTORIES = histories(
    buffer=any_of(None, 0, 1, 3), cap=any_of(None, None, 9), max_per_reservation=any_of(None, None, 5)
)
WITHOUT_BUFFERS = histories(cap=any_of(None, None, 9))


def told(history, check=None):
    """Apply a history, two records at a time; whoever changes a warehouse has both SKUs settled."""
    log = Log()
    log.do("set_channel", sku=None, channel="*", version=1, backorder_limit=20, presell_horizon_ms=200)
    for sku in SKUS:
        for warehouse, units in (("a", 3), ("b", 1)):
            log.do("adjust", sku=sku, warehouse=warehouse, delta=units, reason="receipt")
        log.do("reserve", sku=sku, reservation_id="r0", quantity=2, ttl_ms=60)
        log.do("expect_inbound", sku=sku, inbound_id="i0", warehouse="b", quantity=5, eta_at=T0 + 150)
        log.do("reserve", sku=sku, reservation_id="r1", quantity=6, channel="web", wait="any", ttl_ms=0)
    for number, (type_, fields) in enumerate(history):
        _tell(log, number, type_, dict(fields), check)
    return log


def _tell(log, number, type_, fields, check):
    at = 10 * (number // 2)
    if type_ == "set_warehouse":
        region = "n" if fields["warehouse"] == "b" else None
        log.do(type_, at, **fields | {"sku": None, "version": number + 1, "region": region})
        for sku in SKUS:
            log.do("settle", at, sku=sku)
    elif type_ == "adjust":
        log.do(type_, at, **fields, reason="receipt")
    elif type_ == "tick":
        log.do(type_, at)
    elif type_ == "reserve":
        log.do(type_, at, **fields, reservation_id=f"r{number // 3 + 2}")
    else:
        if "eta_at" in fields:
            fields["eta_at"] += T0
        if type_ == "receive_inbound":
            fields["quantity"] = fields["quantity"] or (0 if fields["final"] or fields["damaged"] else 1)
        if type_ in {"reallocate", "transfer"} and fields["from"] == fields["to"]:
            fields["to"] = "a"
        log.do(type_, at, **fields)
    if check is not None:
        check(log)


def settle_all(log, at):
    """Write ticks until no SKU is pending."""
    for _ in range(MANY_TICKS):
        if not log.model.pending:
            return log
        log.do("tick", at)
    raise AssertionError("settling does not end")


def waiting_of(model, sku):
    """Return the reservations of a SKU that wait, by rank; found by looking at all reservations."""
    found = [
        (hold.priority, hold.placed, key)
        for key, hold in model.holds.items()
        if isinstance(hold, Hold) and hold.claims and key.startswith(f"{sku}\0")
    ]
    return [key for *_, key in sorted(found)]


def check_one(log):
    """Check what must be true after every record."""
    model = log.model
    assert [found.note for found in check_state(model) if not found.holds] == []
    for key, value in model.rows():
        assert model.row(key) == value
    for hold in model.holds.values():
        if isinstance(hold, Hold):
            given = sum(units for _, units in hold.allocations) + hold.waiting
            assert hold.left == given > 0
            assert all(units > 0 for _, units in hold.allocations)
    assert model.pending == sorted((book.since, sku) for sku, book in model.books.items() if book.since is not None)
    for sku, book in model.books.items():
        assert list(book.queue.by_rank()) == waiting_of(model, sku)
        assert book.published == book.document()
        if book.since is None:
            assert not book.settling
            assert [key for key in book.queue.heads() if can_be_filled(model, sku, key)] == []
            undated = [key for key in book.queue.by_rank() if model.holds[key].undated]
            assert list(book.undated_queue.by_rank()) == undated
            assert [key for key in book.undated_queue.heads() if steps.find_goods(model, sku, model.holds[key])] == []


def can_be_filled(model, sku, key):
    hold = model.holds[key]
    return bool(steps.find_units(model, sku, hold, model.policy_of(sku, hold.channel)).rows)


def check_steps(all_steps):
    """Return steps that check that the best goes first: of each class, or of those with a claim on the same goods."""

    def check(step):
        def checked(state, sku):
            keys = waiting_of(state, sku)
            ranks = {key: (state.holds[key].priority, state.holds[key].placed) for key in keys}
            may_go = first_of(step.__name__, state, sku)
            shown = step(state, sku)
            assert shown is None or any(shown is hold for hold in may_go)
            assert ranks == {key: (state.holds[key].priority, state.holds[key].placed) for key in keys}
            return shown

        return checked

    return tuple(check(step) for step in all_steps)


def first_of(name, state, sku):
    """Return the reservations one of which a step may show."""
    holds = [state.holds[key] for key in waiting_of(state, sku)]
    if name == "_peg":
        holds = [hold for hold in holds if hold.undated]
    groups = {}
    for hold in reversed(holds) if name != "_cut" else holds:
        on = [inbound_id for inbound_id, _, _ in hold.claims if inbound_id is not None]
        for group in on if name in {"_land", "_cut"} else [(hold.channel, hold.only)]:
            groups[group] = hold
    return holds if name == "_tell" else list(groups.values())


@settings(deadline=None, max_examples=250)
@given(HISTORIES, TAILS)
def test_the_invariants_hold_after_every_record(history, work):
    with patch.object(tail, "WORK", work), patch.object(tail, "STEPS", check_steps(tail.STEPS)):
        log = settle_all(told(history, check_one), 1000)
        check_one(log)
    for expected in log.expected:
        shown = [result["reservation"] for result in expected.results if result["type"] in {"fill", "promise"}]
        units = [1 + len(one["allocations"]) + len(one.get("claims", [])) for one in shown]
        assert sum(units[:-1]) < work
        assert not any(oversold(change) for change in expected.stock_changes)
    for sku in SKUS:
        changes = [change for expected in log.expected for change in expected.stock_changes if change["sku"] == sku]
        assert [change["seq"] for change in changes] == list(range(1, len(changes) + 1))
        books = [change["book"] for change in changes if not change["warehouse"]]
        assert all(before != after for before, after in pairwise(books))


@settings(deadline=None, max_examples=250)
@given(WITHOUT_BUFFERS, TAILS, any_of(*SKUS), st.fixed_dictionaries(RESERVE))
def test_a_newcomer_changes_nothing_for_those_that_wait(history, work, sku, newcomer):
    with patch.object(tail, "WORK", work):
        alone, among = told(history), told(history)
        at = 10 * (len(history) // 2)
        alone.do("tick", at)
        among.do("reserve", at, sku=sku, reservation_id="newcomer", **newcomer)
        assert parts(settle_all(alone, at)) == parts(settle_all(among, at))


def parts(log):
    """Return how many units each reservation has, and what it waits for, but for the newcomer's."""
    holds = {key: hold for key, hold in log.model.holds.items() if isinstance(hold, Hold)}
    return {key: (hold.left, hold.claims) for key, hold in holds.items() if not key.endswith("\0newcomer")}


@settings(deadline=None, max_examples=250)
@given(HISTORIES, TAILS, any_of(*CHANNELS))
def test_reads_equal_decisions_while_queues_settle(history, work, channel):
    def own(type_, **fields):
        log = told(history)
        return log.do(type_, 10 * (len(history) // 2), channel=channel, **fields).results, log

    with patch.object(tail, "WORK", work):
        found = own_result(*own("query"))
        if found["code"] == "unknown_sku":
            return
        availability = found["availability"]
        most, room = availability["most_per_reservation"], availability["backorder_room"]
        assert own_result(*own("reserve", reservation_id="x", quantity=most + 1))["code"] is not None
        if most:
            assert own_result(*own("reserve", reservation_id="x", quantity=most))["code"] is None
        results, log = own("reserve", reservation_id="x", quantity=500, wait="any", partial=True)
        policy = log.model.policy_of("S", channel)
        for promise in availability["promises"] if policy.split and policy.max_per_reservation is None else ():
            fields = {"quantity": promise["available_to_promise"], "promise_by": promise["at"], "wait": "inbound"}
            assert not fields["quantity"] or own_result(*own("reserve", reservation_id="x", **fields))["code"] is None
            fields["quantity"] += 1
            assert own_result(*own("reserve", reservation_id="x", **fields))["code"] is not None
        if policy.split and policy.cap is None and policy.max_per_reservation is None:
            given_ = own_result(results, log)
            dated = [promise["available_to_promise"] for promise in availability["promises"]]
            units = max([availability["available"], *dated]) + room
            assert (given_["reservation"] or {"quantity": 0})["quantity"] == units


def own_result(results, log):
    """Return the result of the last command among those of its record."""
    return next(result for result in results if result["command_id"] == f"c{log.next_offset - 1}")


@settings(deadline=None, max_examples=60)
@given(HISTORIES, st.integers(0, 20), TAILS)
def test_a_model_that_continues_from_a_checkpoint_publishes_the_same(tmp_path_factory, history, number, work):
    with patch.object(tail, "WORK", work):
        log = told(history[:number])
        other = Log()
        other.commands = list(log.commands)
        other.model = through_a_checkpoint(tmp_path_factory.mktemp("checkpoint"), log)
        assert list(map(tuple, sorted(other.model.rows()))) == sorted(log.model.rows())
        for later, (type_, fields) in enumerate(history[number:], number):
            _tell(log, later, type_, dict(fields), None)
            _tell(other, later, type_, dict(fields), check_one)
        settle_all(log, 1000)
        settle_all(other, 1000)
    assert log.expected[-len(other.expected) :] == other.expected or not other.expected
