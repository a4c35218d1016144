"""The time that bodies have: those that are late are given up, and nobody else is disturbed."""

import asyncio

import pytest

from gateway.body_clock import BodyClock
from gateway.problems import RequestTimedOut


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("gateway.body_clock.BODY_WITHIN_S", 0.1)
    monkeypatch.setattr("gateway.body_clock._LOOK_S", 0.02)
    return BodyClock()


async def after(seconds, body=b"{}"):
    await asyncio.sleep(seconds)
    return body


async def test_a_body_in_time_is_returned_and_its_task_goes_on_undisturbed(clock):
    assert await clock.wait_for(after(0.05)) == b"{}"
    await asyncio.sleep(0.2)
    assert asyncio.current_task().cancelling() == 0


async def test_a_late_body_is_given_up_and_its_task_can_still_answer(clock):
    with pytest.raises(RequestTimedOut):
        await clock.wait_for(after(30))
    await asyncio.sleep(0.2)
    assert asyncio.current_task().cancelling() == 0


async def test_of_many_bodies_only_the_late_ones_are_given_up(clock):
    async def read(seconds):
        try:
            return await clock.wait_for(after(seconds))
        except RequestTimedOut:
            return None

    first = await asyncio.gather(*(read(seconds) for seconds in (0, 30, 0.04, 30)))
    again = await asyncio.gather(*(read(seconds) for seconds in (30, 0.01)))
    assert (first, again) == ([b"{}", None, b"{}", None], [None, b"{}"])


async def test_a_task_that_is_cancelled_for_another_reason_is_not_called_late(clock):
    task = asyncio.ensure_future(clock.wait_for(after(30)))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_body_that_breaks_off_says_why(clock):
    async def broken():
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await clock.wait_for(broken())
    assert clock._since == {}


def test_a_clock_works_in_one_loop_after_another(clock):
    for _ in range(2):
        with pytest.raises(RequestTimedOut):
            asyncio.run(clock.wait_for(after(30)))
