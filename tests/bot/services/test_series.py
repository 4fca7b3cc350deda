"""What recurs keeps its time on the wall clock when the clocks change, and comes once a night that has an hour twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.services.series import last_of, next_of, series

ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia")


def at(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))  # type: ignore[arg-type]


def wall(text: str) -> datetime:
    """What a clock on the wall shows."""
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("after", "local"),
    [
        (at("Europe/Berlin", 2027, 3, 27, 10), "2027-03-28T09:00:00+02:00"),
        (at("Europe/Berlin", 2027, 10, 30, 10), "2027-10-31T09:00:00+01:00"),
    ],
)
def test_nine_stays_nine(after: datetime, local: str):
    found = next_of(series("FREQ=DAILY", wall("2027-01-01T09:00")), after)
    assert found is not None
    assert found.isoformat() == local


def test_a_time_that_does_not_exist_comes_later_by_the_leap_and_the_next_day_is_itself_again():
    kept = series("FREQ=DAILY", wall("2027-03-01T02:30"))
    night = next_of(kept, at("Europe/Berlin", 2027, 3, 27, 12))
    assert night is not None
    assert night.isoformat() == "2027-03-28T03:30:00+02:00"
    after = next_of(kept, night)
    assert after is not None
    assert after.isoformat() == "2027-03-29T02:30:00+02:00"


def test_every_other_week_and_a_number_of_times_count_from_the_beginning():
    kept = series("FREQ=WEEKLY;INTERVAL=2;COUNT=3", wall("2026-11-27T09:00"))
    times, now = [], at("Europe/Berlin", 2026, 11, 1)
    while (found := next_of(kept, now)) is not None:
        times.append(found.date().isoformat())
        now = found
    assert times == ["2026-11-27", "2026-12-11", "2026-12-25"]


@settings(deadline=None)
@given(zone=st.sampled_from(ZONES), minutes=st.integers(0, 1439), hours=st.integers(0, 24 * 366))
def test_the_next_is_always_ahead_and_within_two_days_in_every_zone(zone: str, minutes: int, hours: int):
    start = wall("2026-01-01T00:00") + timedelta(minutes=minutes)
    now = (datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=hours)).astimezone(ZoneInfo(zone))
    kept = series("FREQ=DAILY", start)
    found, last = next_of(kept, now), last_of(kept, now)
    assert found is not None
    assert last is not None
    assert timedelta(0) < found.astimezone(UTC) - now.astimezone(UTC) <= timedelta(hours=49)
    assert last.date() < found.date()
