"""The times of the demo's HTTP requests give the percentiles that its summary shows."""

import pytest

from ops.demo.http_times import HttpTimes


@pytest.mark.parametrize(("share", "ms"), [(0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_percentiles_are_those_of_the_times(share, ms):
    times = HttpTimes(seconds=[number / 1000 for number in range(100, 0, -1)])
    assert times.percentile_ms(share) == pytest.approx(ms)
    assert HttpTimes().percentile_ms(share) is None
