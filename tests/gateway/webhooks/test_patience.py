"""How long a webhook is tried."""

import pytest

from gateway.webhooks.patience import STOP_AFTER_S, Patience
from gateway.webhooks.requests import Reaction

FAILS = Reaction("again", "status 500", 500)
REFUSED = Reaction("refused", "status 400", 400)


def test_what_fails_is_tried_for_a_day_and_then_the_endpoint_stops():
    patience = Patience()
    assert patience.after(FAILS, 1_000.0) == "again"
    assert patience.after(FAILS, 1_000.0 + STOP_AFTER_S - 1) == "again"
    assert patience.after(FAILS, 1_000.0 + STOP_AFTER_S) == "stop"


def test_a_failure_that_began_with_another_owner_of_the_partition_counts_from_there():
    assert Patience(failing_since=0.0).after(FAILS, STOP_AFTER_S) == "stop"


def test_what_is_refused_is_tried_three_times():
    patience = Patience()
    assert [patience.after(REFUSED, 0.0) for _ in range(3)] == ["again", "again", "dead_letter"]
    patience = Patience()
    assert [patience.after(it, 0.0) for it in (REFUSED, FAILS, FAILS, REFUSED, REFUSED)][-2:] == [
        "again",
        "dead_letter",
    ]


def test_one_that_is_gone_stops_at_once_and_one_that_is_delivered_is_done():
    assert Patience().after(Reaction("gone", "status 410", 410), 0.0) == "stop"
    assert Patience().after(Reaction("delivered", "status 200", 200), 0.0) == "next"


@pytest.mark.parametrize(("tries", "about"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)])
def test_pauses_double_up_to_five_minutes_with_jitter(tries, about):
    patience = Patience()
    patience.tries = tries
    pauses = {patience.pause_s(FAILS) for _ in range(50)}
    assert all(about * 0.75 <= pause <= about * 1.25 for pause in pauses)
    assert len(pauses) > 1


def test_the_receivers_own_wish_wins():
    patience = Patience()
    patience.tries = 10
    assert patience.pause_s(FAILS._replace(wait_s=7.5)) == 7.5
    assert patience.pause_s(FAILS._replace(wait_s=0.0)) == 1.0
    assert patience.pause_s(FAILS._replace(wait_s=1e9)) == STOP_AFTER_S
