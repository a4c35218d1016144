"""Each request gets the result of its own record."""

import json

import pytest

from gateway.pending import PendingResults

KEY = "ä".encode()


def record(command_id, offset, **changed):
    return json.dumps(
        {"command_id": command_id, "status": "accepted", "code": None, "offset": offset, **changed}
    ).encode()


@pytest.fixture
async def pending():
    return PendingResults()


async def waiting(pending, offset=None, command_id="k"):
    waiter = pending.add(KEY, command_id)
    if offset is not None:
        pending.acknowledge(waiter, offset)
    return waiter


def answered_with(waiter):
    return json.loads(waiter.future.result().document)["offset"] if waiter.future.done() else None


async def test_a_result_answers_the_request_whose_record_it_was_decided_for(pending):
    first, second = await waiting(pending, 5), await waiting(pending, 6)
    pending.match_result(KEY, record("k", 6, status="rejected", code="idempotency_mismatch"))
    assert (answered_with(first), answered_with(second)) == (None, 6)


async def test_a_result_that_comes_before_the_acknowledgement_waits_for_it(pending):
    first, second = await waiting(pending), await waiting(pending)
    pending.match_result(KEY, record("k", 9))
    assert (answered_with(first), answered_with(second)) == (None, None)
    pending.acknowledge(second, 9)
    assert (answered_with(first), answered_with(second)) == (None, 9)


async def test_a_replay_behind_an_early_result_waits_for_the_acknowledgements(pending):
    first, second = await waiting(pending), await waiting(pending)
    pending.match_result(KEY, record("k", 9))
    pending.match_result(KEY, record("k", 9, replayed=True))
    pending.acknowledge(first, 9)
    assert (answered_with(first), answered_with(second)) == (9, None)
    pending.acknowledge(second, 10)
    assert answered_with(second) == 9


async def test_an_early_result_of_another_gateway_does_not_keep_the_replay_from_its_request(pending):
    waiter = await waiting(pending)
    pending.match_result(KEY, record("k", 2))
    pending.match_result(KEY, record("k", 2, replayed=True))
    pending.acknowledge(waiter, 5)
    assert answered_with(waiter) == 2


async def test_replayed_results_answer_in_the_order_of_sending(pending):
    first, second = await waiting(pending, 5), await waiting(pending)
    pending.match_result(KEY, record("k", 2, replayed=True))
    assert (answered_with(first), answered_with(second)) == (2, None)
    pending.match_result(KEY, record("k", 2, replayed=True))
    assert answered_with(second) == 2


async def test_a_mismatch_does_not_take_the_replay_of_a_request_with_the_right_content(pending):
    original, mismatched, same = [await waiting(pending, offset) for offset in (3, 4, 5)]
    pending.match_result(KEY, record("k", 3))
    pending.match_result(KEY, record("k", 4, status="rejected", code="idempotency_mismatch"))
    pending.match_result(KEY, record("k", 3, replayed=True))
    assert [answered_with(waiter) for waiter in (original, mismatched, same)] == [3, 4, 3]


async def test_a_record_that_was_written_twice_is_answered_by_the_replay(pending):
    waiter = await waiting(pending, 11)
    pending.match_result(KEY, record("k", 10))
    assert answered_with(waiter) is None
    pending.match_result(KEY, record("k", 10, replayed=True))
    assert answered_with(waiter) == 10


async def test_results_of_other_skus_and_keys_and_unsolicited_ones_answer_nobody(pending):
    waiter = await waiting(pending, 5)
    for key, value in (
        (b"other", record("k", 5)),
        (KEY, record("other", 5)),
        (KEY, record(None, 5)),
        (KEY, b"no json"),
        (KEY, None),
        (None, record("k", 5)),
    ):
        pending.match_result(key, value)
    assert not waiter.future.done()


async def test_a_request_that_is_gone_leaves_nothing_behind(pending):
    first, second = await waiting(pending), await waiting(pending)
    pending.match_result(KEY, record("k", 1))
    pending.discard(first)
    assert len(pending) == 1
    pending.discard(second)
    assert len(pending) == 0
    assert pending._by_sku == {}
    pending.acknowledge(first, 1)
    assert not first.future.done()


async def test_when_kafka_goes_away_only_unacknowledged_requests_are_let_go(pending):
    acknowledged, other = await waiting(pending, 5), await waiting(pending, command_id="k2")
    pending.fail_unacknowledged(OSError)
    assert not acknowledged.future.done()
    assert str(other.future.exception()) == "k2"


async def test_who_watches_for_a_command_hears_of_any_result_with_its_key_until_the_block_ends(pending):
    with pending.watch(KEY, "k") as seen:
        assert pending.watching == 1
        pending.match_result(KEY, record("other", 1))
        pending.match_result(b"other", record("k", 1))
        assert not seen.is_set()
        sent = await waiting(pending, 5)
        pending.match_result(KEY, record("k", 5))
        assert seen.is_set()
        assert answered_with(sent) == 5
        pending.discard(sent)
    assert (pending.watching, pending._by_sku) == (0, {})
