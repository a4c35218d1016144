"""The view of the partitions' owners: who is heard, who is silent, and whose records are a zombie's."""

from types import SimpleNamespace

import msgspec
import pytest

from gateway.status_view import StatusView
from schemas.status import PartitionStatus, encode_status, key_of

WALL_MS = 1_764_000_000_000


@pytest.fixture
def seen():
    """Return a view with its time and what its reader knows, as a test sets them."""
    seen = SimpleNamespace(now=100.0, wall_ms=WALL_MS, live=True, behind_ms=0)
    seen.view = StatusView(2, lambda: seen.now, lambda: seen.wall_ms)
    seen.view.is_live, seen.view.behind_ms = lambda: seen.live, lambda: seen.behind_ms
    seen.state = lambda partition=0: seen.view.owned(partition).state
    return seen


def status(partition=0, *, worker="w1", state="open", epoch=5, at=WALL_MS):
    return PartitionStatus(
        partition=partition, worker=worker, state=state, position=7, log_end=9, recovered=0, to_recover=0,
        transaction_ms=None, epoch=epoch, at=at,
    )  # fmt: skip


def hear(seen, partition=0, **fields):
    seen.view.apply(partition, key_of(partition), encode_status(status(partition, **fields)))


def test_an_owner_that_is_silent_for_more_than_5_seconds_is_none(seen):
    hear(seen)
    seen.now += 5
    assert (seen.state(), seen.state(1)) == ("open", "no_owner")
    seen.now += 0.1
    assert seen.state() == "no_owner"
    hear(seen, state="recovering")
    assert seen.state() == "recovering"


def test_a_partition_that_was_given_up_changes_hands_and_has_no_owner_when_nobody_takes_it_for_5_seconds(seen):
    hear(seen)
    hear(seen, state="stopped")
    assert seen.state() == "stopped"
    seen.now += 5.1
    assert seen.state() == "no_owner"


def test_while_nothing_can_be_read_nobody_gets_older(seen):
    hear(seen)
    seen.now, seen.behind_ms = seen.now + 60, 60_000
    assert seen.state() == "open"
    seen.behind_ms = 0
    assert seen.state() == "no_owner"


@pytest.mark.parametrize("worker_ahead_ms", [-3_600_000, 3_600_000])
def test_a_worker_with_a_wrong_clock_is_heard_all_the_same(seen, worker_ahead_ms):
    hear(seen, at=WALL_MS + worker_ahead_ms)
    assert seen.state() == "open"


def test_what_stood_in_the_topic_before_is_as_old_as_it_says(seen):
    seen.live = False
    hear(seen, at=WALL_MS - 6_000)
    hear(seen, 1, at=WALL_MS - 4_000)
    assert seen.state() == "unknown"
    seen.live = True
    assert (seen.state(), seen.state(1)) == ("no_owner", "open")
    seen.now += 1.1
    assert seen.state(1) == "no_owner"


def test_a_zombie_is_not_heard_while_the_owner_speaks(seen):
    hear(seen, worker="w2", epoch=6)
    hear(seen, worker="w1", state="stopped", epoch=5)
    hear(seen, worker="w1", epoch=5)
    assert (seen.state(), seen.view.owned(0).status.worker) == ("open", "w2")


def test_a_new_owner_with_a_smaller_epoch_is_heard_as_soon_as_the_old_one_is_silent_or_has_stopped(seen):
    hear(seen, worker="w1", epoch=9)
    seen.now += 5
    hear(seen, worker="w2", epoch=3)
    assert seen.view.owned(0).status.worker == "w2"
    hear(seen, worker="w2", state="stopped", epoch=3)
    hear(seen, worker="w3", state="recovering", epoch=0)
    assert (seen.state(), seen.view.owned(0).status.worker) == ("recovering", "w3")


def test_the_owner_itself_may_begin_a_smaller_epoch(seen):
    hear(seen, epoch=9)
    hear(seen, epoch=3)
    assert seen.view.owned(0).status.epoch == 3


def test_records_of_others_and_in_the_wrong_place_are_left_out(seen):
    value = encode_status(status(1))
    seen.view.apply(0, key_of(1), value)
    seen.view.apply(1, b"orders/1", value)
    seen.view.apply(1, None, value)
    seen.view.apply(1, key_of(1), None)
    assert seen.state(0) == seen.state(1) == "no_owner"
    with pytest.raises(msgspec.DecodeError):
        seen.view.apply(0, key_of(0), b"{}")


def test_after_a_clear_nobody_is_known(seen):
    hear(seen)
    seen.view.clear()
    assert seen.view.owned(0) == ("no_owner", None, 0.0)
