"""When what recurs comes next: an RRULE on the wall clock of a person's zone, so that nine stays nine when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WIDEST_GAP = timedelta(hours=3)
"""A wall clock jumps by less where the clocks change."""


def series(rule: str, start: datetime) -> str:
    """A rule with its beginning on the wall clock (naive), as tasks keep it."""
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{rule.removeprefix('RRULE:')}"


def rule_of(kept: str) -> str:
    """The bare RRULE of a series."""
    return kept.partition("RRULE:")[2]


def begin_of(kept: str) -> datetime:
    """Where a series begins on the wall clock (naive)."""
    return datetime.fromisoformat(kept.partition("\n")[0].removeprefix("DTSTART:"))


def next_of(kept: str, after: datetime) -> datetime | None:
    """The first time of a series after an aware moment, in that moment's zone; None where it has ended.

    A time that the clocks leap over comes later by the leap; one that they show twice comes once.
    """
    from dateutil.rrule import rrulestr  # not needed by a command that only looks

    times, wall = rrulestr(kept), after.replace(tzinfo=None) - WIDEST_GAP
    while (found := times.after(wall)) is not None:
        moment = _real(found, after)
        if moment.astimezone(UTC) > after.astimezone(UTC):
            return moment
        wall = found
    return None


def last_of(kept: str, until: datetime) -> datetime | None:
    """The last time of a series up to and with an aware moment; None where it has not begun."""
    from dateutil.rrule import rrulestr

    found = rrulestr(kept).before(until.replace(tzinfo=None), inc=True)
    return None if found is None else _real(found, until)


def _real(wall: datetime, like: datetime) -> datetime:
    """The moment at which a wall clock in the zone of *like* shows this, or should have."""
    return wall.replace(tzinfo=like.tzinfo).astimezone(UTC).astimezone(like.tzinfo)
