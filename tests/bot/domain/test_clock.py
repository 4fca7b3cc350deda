"""Ids sort in the order in which they were made, whatever the clock does."""

from __future__ import annotations

from uuid import UUID

from bot.domain.clock import _Ids, new_id


def test_ids_sort_as_they_were_made():
    made = [new_id() for _ in range(1000)]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_ids_come_after_those_of_a_clock_that_was_ahead():
    ids = _Ids()
    an_hour_ahead = UUID(int=ids.next().int + (3_600_000 << 80))
    ids.begin_after(an_hour_ahead)
    made = [ids.next() for _ in range(1000)]
    assert an_hour_ahead < made[0]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}
    assert made[-1].int - an_hour_ahead.int < 2_000 << 80, "the lead melts away while the clock catches up"


def test_what_is_older_changes_nothing():
    ids = _Ids()
    first = ids.next()
    ids.begin_after(UUID(int=0))
    assert first < ids.next()
