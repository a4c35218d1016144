"""A queue answers as a sorted list of all who wait would, however its pieces lie."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.core import queue
from tables.core.queue import Queue, Rank, WaitsFor

dates = st.sampled_from([1, 2])
claims = st.tuples(
    st.dictionaries(st.sampled_from(["po-1", "po-2"]), dates, max_size=2), st.booleans()
).map(lambda both: (*both[0].items(), *[(None, None)] * both[1]))  # fmt: skip
# What waits under a number, and how: the rank and class of a number never change.
steps = st.lists(st.tuples(st.integers(0, 15), claims), max_size=60)
OF = [("shop", None), ("web", None), ("web", "leeds")]


@pytest.fixture(autouse=True, scope="module")
def _small_pieces():
    with patch.object(queue, "_PIECE", 3):
        yield


def rank_of(number):
    return Rank(number * 7 % 3, number * 5 % 16, f"r{number}")


@given(steps)
def test_it_answers_like_a_sorted_list(steps):
    found, waiting = Queue(), {}
    for number, its_claims in steps:
        rank, waits_for = rank_of(number), WaitsFor(OF[number % 3], its_claims)
        if its_claims:
            found.put(rank, waits_for)
            waiting[rank] = waits_for
        else:
            found.remove(rank)
            waiting.pop(rank, None)
    assert_is(found, waiting)
    for rank in [*waiting]:
        found.remove(rank)
    assert_is(found, {})


def assert_is(found, waiting):
    ranks = sorted(waiting)
    assert found.size == len(waiting)
    for count in range(len(ranks) + 2):
        assert [*found.first(count)] == ranks[:count]
    of_class = {of: [rank for rank in ranks if waiting[rank].of == of] for of in OF}
    assert {of: [*its] for of, its in found.classes.items()} == {of: its for of, its in of_class.items() if its}
    assert [*found.unfilled.heads()] == heads_of(ranks, waiting)
    undated = [rank for rank in ranks if (None, None) in waiting[rank].claims]
    assert [*found.undated.heads()] == heads_of(undated, waiting)
    for inbound_id in ("po-1", "po-2"):
        told = {rank: dict(waiting[rank].claims).get(inbound_id) for rank in ranks}
        claimants = [rank for rank in ranks if told[rank] is not None]
        for eta_at in (1, 2, 3):
            assert found.untold(inbound_id, eta_at) == next((it for it in claimants if told[it] != eta_at), None)
        if claimants:
            assert (found.best_claimant(inbound_id), found.worst_claimant(inbound_id)) == (claimants[0], claimants[-1])


def heads_of(ranks, waiting):
    best = {}
    for rank in ranks:
        best.setdefault(waiting[rank].of, rank)
    return [(rank, of) for of, rank in best.items()]


WEB, SHOP = ("web", None), ("shop", None)


@pytest.fixture(params=[0, 16])
def two(request, monkeypatch):
    """Return a queue of two classes, whether few are sorted or found among all."""
    monkeypatch.setattr(queue, "_FEW", request.param)
    found = Queue()
    found.put(rank_of(1), WaitsFor(WEB, ((None, None),)))
    found.put(rank_of(2), WaitsFor(SHOP, ((None, None),)))
    return found


def asked(asking):
    return {of for _, of in asking.heads()}


def test_a_class_that_was_asked_in_vain_is_asked_again_when_one_of_it_changes(two):
    for change in (lambda: two.put(rank_of(1), WaitsFor(WEB, ((None, None),))), lambda: two.remove(rank_of(1))):
        for asking in (two.unfilled, two.undated):
            asking.classes.discard(WEB)
            asking.classes.discard(SHOP)
            assert asked(asking) == set()
        two.put(rank_of(3), WaitsFor(WEB, ((None, None),)))
        two.unfilled.classes.discard(WEB)
        two.undated.classes.discard(WEB)
        change()
        assert asked(two.unfilled) == asked(two.undated) == {WEB}


def test_what_was_asked_in_vain_is_asked_again_when_what_it_rests_on_is_another_object(two):
    stock, policies = [1], [2]
    asking = two.unfilled.resting_on(stock, policies)
    asking.classes.discard(WEB)
    asking.classes.discard(SHOP)
    assert asked(two.unfilled.resting_on(stock, policies)) == set()
    asking.classes.add(SHOP)
    assert asked(asking) == {SHOP}
    assert asked(two.unfilled.resting_on(stock, [2])) == {WEB, SHOP}
