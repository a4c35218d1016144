"""The figures of the answers of the last 10 s."""

from types import SimpleNamespace

import pytest

from gateway.answer_times import AnswerTimes


def test_the_last_10_full_seconds_count():
    clock = SimpleNamespace(now=50.0)
    times = AnswerTimes(lambda: clock.now)
    assert times.lately() == (0.0, 0.0, 0.0, None, None)
    for second in range(12):
        clock.now = 50.0 + second
        for number in range(100):
            status = 504 if second >= 10 and number < 2 else 429 if number < 10 else 200
            times.add(clock.now - (0.5 if number == 99 else 0.002), status)
    clock.now = 62.0
    found = times.lately()
    assert (found.per_second, found.failed_per_second, found.refused_per_second) == (100.0, 0.4, 9.6)
    assert found.p50_ms == pytest.approx(2, rel=0.05)
    assert found.p99_ms == pytest.approx(2, rel=0.05)
    clock.now = 72.0
    assert times.lately().per_second == 0.0


@pytest.mark.parametrize("took_s", [0.00001, 0.0004, 0.03, 5.0, 99.0, 1000.0])
def test_a_time_is_told_within_5_percent_up_to_100_seconds(took_s):
    clock = SimpleNamespace(now=50.0)
    times = AnswerTimes(lambda: clock.now)
    times.add(clock.now - took_s, 200)
    clock.now += 1
    assert times.lately().p99_ms == pytest.approx(1000 * min(max(took_s, 0.0001), 100), rel=0.05)
