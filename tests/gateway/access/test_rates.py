"""A credential's rate, its streams and its waiting requests: what is let through, and what the refusal says."""

import pytest

from gateway.access.rates import Allowance, Bucket, Usage
from gateway.problems import RateLimited


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_full_bucket_gives_its_burst_and_then_its_rate(clock):
    bucket = Bucket(Allowance(8, 3), clock)
    assert [bucket.wait_for(1) for _ in range(4)] == [0, 0, 0, 0.125]
    clock.now += 0.125
    assert [bucket.wait_for(1), bucket.wait_for(1)] == [0, 0.125]


def test_a_bucket_never_holds_more_than_its_burst(clock):
    bucket = Bucket(Allowance(8, 2), clock)
    clock.now += 3600
    assert [bucket.wait_for(1) for _ in range(3)] == [0, 0, 0.125]


def test_a_list_longer_than_the_burst_takes_a_full_bucket_and_owes_the_rest(clock):
    bucket = Bucket(Allowance(8, 5), clock)
    assert bucket.wait_for(25) == 0
    assert bucket.wait_for(1) == 2.625
    clock.now += 2.625
    assert bucket.wait_for(1) == 0


def test_a_list_longer_than_the_burst_passes_although_its_request_has_taken_a_token(clock):
    usage = Usage(Allowance(10, 10), clock=clock)
    usage.take()
    usage.take(11, paid=1)
    assert usage.bucket.tokens == -2


def test_what_is_refused_takes_no_token(clock):
    bucket = Bucket(Allowance(1, 2), clock)
    assert bucket.wait_for(1) == 0
    assert bucket.wait_for(2) == 1
    assert bucket.wait_for(1) == 0


def test_the_refusal_says_the_policy_what_is_left_and_when_to_come_back(clock):
    usage = Usage(Allowance(0.5, 4), clock=clock)
    usage.take(3)
    with pytest.raises(RateLimited) as caught:
        usage.take(2)
    assert caught.value.retry_after_s == 2
    assert dict(caught.value.headers) == {
        b"ratelimit-policy": b'"credential";q=4;w=8',
        b"ratelimit": b'"credential";r=1;t=2',
    }


def test_without_a_rate_everything_is_let_through():
    usage = Usage()
    usage.take(1_000_000)
    usage.enter(1_000_000)
    with usage.stream(), usage.stream():
        assert (usage.streams, usage.waits) == (2, 1_000_000)


def test_streams_are_bounded_and_given_back():
    usage = Usage(most_streams=1)
    with usage.stream(), pytest.raises(RateLimited), usage.stream():
        pass
    with usage.stream():
        assert usage.streams == 1
    assert usage.streams == 0


def test_waiting_requests_are_bounded_together_and_given_back():
    usage = Usage(most_waiting=5)
    with usage.waiting(4):
        usage.enter()
        with pytest.raises(RateLimited):
            usage.enter()
    assert usage.waits == 1
