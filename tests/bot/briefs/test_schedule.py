"""When briefs are due, against the zone database itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.briefs.schedule import Course, Due, Habits, courses, moment, next_after, owed, upcoming
from bot.domain.brief import Slot

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))


def habits(zone: str, *times: str, **more: object) -> Habits:
    slots = dict(zip(Slot, map(time.fromisoformat, times or ("07:30", "13:00", "18:30")), strict=False))
    return Habits(zone=zone, times=slots, since=dict.fromkeys(slots, BEGUN), **more)


def by_search(day: date, at: time, zone: str) -> datetime:
    """The first minute whose wall clock shows the local time or, where none does, the first after the leap moved on by as much."""
    start = datetime.combine(day, time(), UTC) - timedelta(hours=15)
    shown = [start + timedelta(minutes=count) for count in range(48 * 60)]
    wanted = datetime.combine(day, at)
    exact = [each for each in shown if each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wanted]
    if exact:
        return exact[0]
    last = max(each for each in shown if each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < wanted)
    return last + (wanted - last.astimezone(ZoneInfo(zone)).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("zone", "day", "at", "utc"),
    [
        ("America/New_York", date(2027, 3, 14), "02:30", "2027-03-14T07:30+00:00"),  # leapt over: 03:30 there
        ("America/New_York", date(2027, 11, 7), "01:30", "2027-11-07T05:30+00:00"),  # twice: the first
        ("Africa/Cairo", date(2027, 4, 30), "00:00", "2027-04-29T22:00+00:00"),  # midnight itself is leapt over
        ("Asia/Beirut", date(2027, 3, 28), "00:30", "2027-03-27T22:30+00:00"),
        ("Australia/Lord_Howe", date(2027, 10, 3), "02:15", "2027-10-02T15:45+00:00"),  # a leap of half an hour
        ("Asia/Kathmandu", date(2027, 1, 1), "07:30", "2027-01-01T01:45+00:00"),
    ],
)
def test_local_times_that_clocks_leap_over_or_repeat(zone: str, day: date, at: str, utc: str):
    assert moment(day, time.fromisoformat(at), zone) == datetime.fromisoformat(utc) == by_search(day, time.fromisoformat(at), zone)


@given(
    st.sampled_from(ZONES), st.dates(date(2026, 1, 1), date(2028, 12, 31)), st.times().map(lambda at: at.replace(second=0, microsecond=0))
)
def test_every_slot_of_every_day_comes_once_and_in_order(zone: str, day: date, at: time):
    known = upcoming(habits(zone, at.isoformat()), first=day, days=5)
    assert len({(due.slot, due.day) for due in known}) == len(known) == 5
    assert [due.at for due in known] == sorted({due.at for due in known})


def test_slots_may_stand_in_odd_order_or_together():
    odd = habits("Europe/Berlin", "20:00", "06:00", "06:00")
    assert [due.slot for due in upcoming(odd, first=date(2027, 6, 1), days=1)] == [Slot.AFTERNOON, Slot.EVENING, Slot.MORNING]
    assert next_after(odd, datetime(2027, 6, 1, 12, tzinfo=UTC)) == Due(
        slot=Slot.MORNING, day=date(2027, 6, 1), at=datetime(2027, 6, 1, 18, tzinfo=UTC), zone="Europe/Berlin"
    )


def test_nothing_is_owed_from_before_somebody_got_briefs():
    now = datetime(2026, 1, 1, 14, tzinfo=UTC)
    late = Habits(zone="UTC", times=habits("UTC").times, since=dict.fromkeys(Slot, datetime(2026, 1, 1, 8, tzinfo=UTC)))
    assert [due.slot for due in owed(late, (), now)] == [Slot.AFTERNOON]


def test_a_flight_east_owes_what_it_leaps_over_and_a_flight_west_brings_no_day_twice():
    east_at, west_at = datetime(2026, 11, 27, 15, tzinfo=UTC), datetime(2026, 11, 27, 12, tzinfo=UTC)
    known = {("morning", date(2026, 11, 27)), *((slot, date(2026, 11, 26)) for slot in Slot)}
    leapt = owed(habits("Asia/Tokyo"), known, east_at)
    assert [(due.slot, due.day.day) for due in leapt] == [("afternoon", 27), ("evening", 27)]
    assert owed(habits("America/Los_Angeles"), {(slot, date(2026, 11, 27)) for slot in Slot}, west_at + timedelta(hours=14)) == []


def test_of_several_missed_in_a_row_only_the_last_is_treated_and_none_once_a_newer_one_is_due():
    three = upcoming(habits("UTC"), first=date(2026, 11, 27), days=1)
    night = datetime(2026, 11, 27, 23, tzinfo=UTC)
    assert [course for _, course in courses(three, now=night, missed="short")] == [Course.SKIP, Course.SKIP, Course.SHORT]
    assert [course for _, course in courses(three, now=three[-1].at, missed="run")] == [Course.SKIP, Course.SKIP, Course.RUN]
    assert [course for _, course in courses(three, now=night, missed="skip")] == [Course.SKIP] * 3


def test_what_the_way_home_leaps_over_comes_at_the_return_and_not_before():
    """At noon in Honolulu it is eleven on the day after in Auckland, where the evening has passed already."""
    back_at = datetime(2026, 3, 10, 22, tzinfo=UTC)
    away = habits("Pacific/Honolulu", home="Pacific/Auckland", back_at=back_at)
    assert [(due.slot, due.at) for due in upcoming(away, first=date(2026, 3, 10), days=1)] == [
        (Slot.MORNING, datetime(2026, 3, 10, 17, 30, tzinfo=UTC)),
        (Slot.AFTERNOON, back_at),
        (Slot.EVENING, back_at),
    ]
