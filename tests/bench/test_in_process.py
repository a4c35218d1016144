"""A partition in the process of a benchmark does what a worker's does, and says what it took."""

import pytest

from bench.curve_kinds import PLAIN, QUERY, Target
from bench.curves import _figures, _growth
from bench.in_process import Cost, InProcess


@pytest.fixture
def ledger(tmp_path):
    ledger = InProcess(tmp_path / "store")
    yield ledger
    ledger.close()


def stocked(units, **fields):
    stock = {"command_id": f"in-{units}", "warehouse": "w000", "delta": units, "reason": "receipt"}
    return Target("S").command("adjust", **(stock | fields))


def test_commands_are_applied_in_order_and_those_that_are_measured_are_counted_with_their_steps(ledger):
    waits = Target("S", reserve={"wait": "any", "channel": "web", "ttl_ms": 0})
    ledger.tell([stocked(1), waits.command("set_policy", "rules", channel="web", backorder_limit=9)])
    ledger.tell(waits.reserves(["a", "b", "c"]))
    cost = ledger.measure([stocked(1, command_id="more"), {"type": "tick"}])
    assert (cost.commands, cost.results) == (2, 2)
    assert cost.seconds > 0
    assert ledger.ledger.queue("S").size == 1
    assert ledger.ledger.sku("S").stock["w000"].reserved == 2


def test_a_measured_command_that_is_refused_is_an_error(ledger):
    with pytest.raises(RuntimeError, match="was refused"):
        ledger.measure(Target("nothing").reserves(["r"]))


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.name)
def test_every_plain_kind_is_accepted_by_a_sku_with_stock(ledger, kind):
    ledger.tell([stocked(100)])
    commands = kind.make(Target("S"), ["a", "b"])
    ledger.tell(commands.before)
    assert ledger.measure(commands.measured).results == 2


def test_the_figures_are_medians_per_result_beside_the_plain_kind_of_the_same_round():
    costs = [(Cost(us / 1e6, 10, 10), Cost(4 * us / 1e6, 10, 20)) for us in (100, 200, 900)]
    assert _figures(PLAIN[0], 50, costs) == {"plain_us": 20.0, "us": 40.0, "results": 2.0, "times_plain": 2.0}
    assert _growth([2.0, 3.0, 2.5]) == 1.5
    # What grows with the size of what is shown is given for one of these.
    assert _figures(QUERY, 4, costs) == {"plain_us": 20.0, "us": 10.0, "results": 2.0, "times_plain": 0.5}
