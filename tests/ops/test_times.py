"""Times and durations are read as people write them, and what is none is refused."""

import pytest

from ops.problems import CannotDo
from ops.times import duration_ms, duration_text, time_ms


@pytest.mark.parametrize(
    "text", ["2025-11-24T16:00:00Z", "2025-11-24 16:00", "2025-11-24T17:00:00+01:00", "1764000000000"]
)
def test_a_time_is_iso_8601_or_milliseconds_and_utc_without_a_zone(text):
    assert time_ms(text) == 1_764_000_000_000


@pytest.mark.parametrize("text", ["", "soon", "2:17", "16:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(CannotDo, match="is no time: give ms since 1970"):
        time_ms(text)


@pytest.mark.parametrize(
    ("text", "duration"), [("90s", 90_000), ("15m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)]
)
def test_a_duration_has_a_unit(text, duration):
    assert duration_ms(text) == duration


@pytest.mark.parametrize("text", ["", "24", "0h", "-1h", "1.5h", "1 h", "24H", "1w"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(CannotDo, match="is no duration"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0, "0 s"), (119_999, "119 s"), (120_000, "2 min"), (5_400_000, "90 min"), (129_600_000, "36 h"),
     (172_800_000, "2 days")],
)  # fmt: skip
def test_a_duration_is_shown_in_a_unit_of_which_it_has_two_or_more(duration, text):
    assert duration_text(duration) == text
