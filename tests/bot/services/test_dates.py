"""Dates in plain words: what is read, what is asked, what remains, and what the clocks do to it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.services.dates import Unclear, When, find_end, find_when, without
from tests.bot.services.date_phrases import HABITS, SENTENCES_NOW, moment, phrases, sentences

MONDAY = moment(SENTENCES_NOW)
WORDS = sorted({word for each in (*phrases(), *sentences()) for word in each.text.split()})
ZONES = sorted(available_timezones())


def shown(found: When | Unclear | None) -> str:
    """As the tables write it."""
    if not isinstance(found, When):
        return "ask" if found else "-"
    return " ".join(filter(None, (f"{found.date}", f"{found.time:%H:%M}" if found.time else "", found.rule)))


@pytest.mark.parametrize("held_out", [False, True], ids=["seen", "held-out"])
def test_phrases_are_right_or_asked_and_never_guessed_wrong(held_out):
    """At least 95 % as a careful human reads them, all others asked."""
    table = [phrase for phrase in phrases() if phrase.held_out is held_out]
    answers = [(phrase, shown(find_when(phrase.text, now=phrase.now))) for phrase in table]
    right = [phrase for phrase, answer in answers if answer == phrase.expected]
    guessed = [(phrase.text, phrase.expected, answer) for phrase, answer in answers if answer not in {phrase.expected, "ask"}]
    print(f"{len(table)} phrases: {100 * len(right) / len(table):.1f} % right, {len(table) - len(right) - len(guessed)} asked needlessly")
    assert guessed == []
    assert len(right) >= 0.95 * len(table)


@pytest.mark.parametrize("sentence", list(sentences()), ids=lambda sentence: sentence.text)
def test_a_sentence_reads_well_without_its_date(sentence):
    found = find_when(sentence.text, now=sentence.now)
    remains = without(sentence.text, found) if isinstance(found, When) else sentence.text
    assert (shown(found), remains) == (sentence.expected, sentence.remains)


@pytest.mark.parametrize(("day_first", "text"), [(habit, text) for habit, table in HABITS.items() for text in table])
def test_a_known_habit_reads_slashes(day_first, text):
    assert shown(find_when(text, now=MONDAY, day_first=day_first)) == HABITS[day_first][text]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("30 February", "February 2027 has 28 days. Did you mean 28 February or 1 March?"),
        ("03/04", "Is 3/4 the 3 April or the 4 March?"),
        ("in the year 9999", "I can plan up to the year 2076."),
        ("next Friday", "Do you mean Friday 27 November or Friday 4 December?"),
        ("at 25:00", "There is no time 25:00. Which do you mean, for example 15:00 or 3pm?"),
        ("tomorrow at 3pm EST", "That is by another clock than yours. What time is it where you are?"),
        ("every 5 minutes", "Once an hour is the most often that I can. How often do you mean?"),
    ],
)
def test_what_is_doubtful_is_asked_with_the_nearest_forms(text, question):
    found = find_when(text, now=MONDAY)
    assert isinstance(found, Unclear)
    assert found.question.startswith(question)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mood playful until 6pm", "2026-11-23 18:00"),
        ("until Friday", "2026-11-27 23:59"),
        ("till tomorrow", "2026-11-24 23:59"),
        ("slow down for 2 hours", "2026-11-23 12:00"),
        ("be gentler today", "2026-11-23 23:59"),
        ("slow down this week", "2026-11-29 23:59"),
        ("for the rest of the month", "2026-11-30 23:59"),
        ("until next week", "2026-11-29 23:59"),
        ("for a week", "2026-11-30 23:59"),
        ("for the weekend", "2026-11-29 23:59"),
        ("this weekend", "2026-11-29 23:59"),
        ("until the weekend", "2026-11-28 23:59"),
        ("until further notice", "-"),
        ("until 30 February", "ask"),
    ],
)
def test_when_something_ends(text, expected):
    assert shown(find_end(text, now=MONDAY)) == expected


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("today at 6pm", "today at 18:00"),
        ("Friday at 3", "Friday 27 November at 15:00"),
        ("5 January", "Tuesday 5 January 2027"),
        ("every weekday at 9", "every weekday at 09:00, first tomorrow"),
        ("every 2 weeks on Monday", "every 2 weeks on Monday, first today"),
        ("last Friday of every month", "every month on the last Friday, first on Friday 27 November"),
        ("every month on the 31st", "every month on the last day, first on Monday 30 November"),
        ("every hour", "every hour, first today at 11:00"),
        ("every day at 5pm until Friday", "every day at 17:00, first today, until 27 November 2026"),
    ],
)
def test_what_was_understood_is_said_back(text, spoken):
    found = find_when(text, now=MONDAY)
    assert isinstance(found, When)
    assert found.spoken(MONDAY) == spoken


def test_a_time_that_the_clocks_leave_out_moves_on_and_is_told():
    friday = moment("2027-03-12 09:00 America/New_York")
    found = find_when("Sunday at 2:30am", now=friday)
    assert isinstance(found, When)
    assert found.moment(ZoneInfo("America/New_York")) == datetime(2027, 3, 14, 7, 30, tzinfo=UTC)
    assert found.spoken(friday).endswith("(the clocks change then: 02:30 does not exist, so 03:30)")


def test_midnight_that_does_not_exist_moves_on():
    """Santiago's clocks go from 24:00 to 1:00."""
    found = find_when("Sunday at 00:30", now=moment("2027-09-02 08:00 America/Santiago"))
    assert isinstance(found, When)
    assert found.moment(ZoneInfo("America/Santiago")) == datetime(2027, 9, 5, 4, 30, tzinfo=UTC)


def test_of_a_time_that_comes_twice_the_first_is_meant():
    thursday = moment("2027-10-28 12:00 Europe/London")
    found = find_when("Sunday at 1:30am", now=thursday)
    assert isinstance(found, When)
    assert found.moment(ZoneInfo("Europe/London")) == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert "comes twice" in found.spoken(thursday)


def test_what_is_over_is_known_as_such():
    past = {text: find_when(text, now=MONDAY) for text in ("yesterday", "two days ago", "today at 8:00", "today", "tomorrow")}
    assert [text for text, found in past.items() if isinstance(found, When) and found.is_past(MONDAY)] == ["yesterday", "two days ago"]


@pytest.mark.parametrize("text", ["no reply since Monday", "what did we decide on Monday?", "did Dana call on Friday?"])
def test_what_was_is_no_date_to_come(text):
    assert find_when(text, now=MONDAY) is None


@given(minutes=st.integers(1, 60 * 24 * 400), start=st.integers(0, 365 * 24), zone=st.sampled_from(ZONES))
@settings(max_examples=300, deadline=None)
def test_so_many_minutes_are_that_long_in_every_zone_whatever_its_clocks_do(minutes, start, zone):
    here = ZoneInfo(zone)
    now = (datetime(2027, 1, 1, tzinfo=UTC) + timedelta(hours=start)).astimezone(here)
    found = find_when(f"in {minutes} minutes", now=now)
    assert isinstance(found, When)
    assert found.moment(here) - now.astimezone(UTC) == timedelta(minutes=minutes)


@given(day=st.dates(date(2026, 11, 24), date(2030, 12, 31)), at=st.times(), zone=st.sampled_from(ZONES))
@settings(max_examples=300, deadline=None)
def test_a_date_written_out_comes_back_in_every_zone(day, at, zone):
    here, at = ZoneInfo(zone), time(at.hour, at.minute)
    now = datetime(2026, 11, 23, 10, tzinfo=here)
    for text in (
        f"{day} {at:%H:%M}",
        f"{at:%H:%M} on {day.day} {day:%B} {day.year}",
        f"{day:%A}, {day:%b} {day.day}, {day.year} at {at:%H:%M}",
    ):
        found = find_when(text, now=now)
        assert isinstance(found, When)
        assert (found.date, found.time) == (day, at)
        moved = found.moment(here).astimezone(here)
        assert moved.replace(tzinfo=None) == datetime.combine(day, at) or found.spoken(now).endswith(f"so {moved:%H:%M})")


@given(text=st.one_of(st.text(max_size=400), st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)), offset=st.integers(0, 500_000))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_raise(text, offset):
    now = MONDAY + timedelta(minutes=offset)
    for found in (find_when(text, now=now), find_end(text, now=now)):
        if isinstance(found, When):
            assert found.moment(ZoneInfo("Europe/Berlin")).tzinfo is UTC
            assert found.spoken(now)
            assert len(without(text, found)) <= len(text)
        elif found:
            assert found.question.endswith(("?", "."))
