"""When briefs are due: local times become moments by the zone database, and what was missed is treated by a rule. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from bot.domain.brief import Slot

LATE = timedelta(minutes=60)
"""What is later than this was missed."""
LOOK_BACK = timedelta(days=400)
"""Nobody is told of briefs that were missed longer ago."""
OFF = "off"
"""In the place of a slot's time."""

Missed = Literal["run", "short", "skip"]


class Course(StrEnum):
    """What is done about a brief that is due: the whole of it, a few lines, or nothing but a word in the next one."""

    RUN = "run"
    SHORT = "short"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """One brief of a person: its slot and local day, which are its key, the moment, and the zone that made it so."""

    slot: Slot
    day: date
    at: datetime
    zone: str

    @property
    def local(self) -> datetime:
        """The moment on the person's own clock."""
        return self.at.astimezone(ZoneInfo(self.zone))


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """When somebody's briefs come: the local time of each slot that is on, and since when it is so; nothing earlier is owed.

    They are in `zone`, and again in `home` from `back_at` on, if that is known.
    """

    zone: str
    times: Mapping[Slot, time]
    since: Mapping[Slot, datetime]
    home: str = ""
    back_at: datetime | None = None


def moment(day: date, at: time, zone: str) -> datetime:
    """A local time in UTC: one that the clocks leap over comes later by the leap, of one that they repeat the first is meant."""
    return datetime.combine(day, at, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def on(day: date, habits: Habits) -> list[Due]:
    """The briefs of a local day, in the order in which they come."""
    found = []
    for slot, at in habits.times.items():
        due = Due(slot=slot, day=day, at=moment(day, at, habits.zone), zone=habits.zone)
        if habits.back_at is not None and due.at >= habits.back_at:
            due = Due(slot=slot, day=day, at=max(moment(day, at, habits.home), habits.back_at), zone=habits.home)
        found.append(due)
    return sorted(found, key=lambda due: (due.at, tuple(Slot).index(due.slot)))


def upcoming(habits: Habits, *, first: date, days: int) -> list[Due]:
    """The briefs of so many local days."""
    return [due for count in range(days) for due in on(first + timedelta(days=count), habits)]


def owed(habits: Habits, known: Collection[tuple[str, date]], now: datetime) -> list[Due]:
    """What has come due by *now* and is not among the *known* (slot, day), in order.

    Days count, not moments: who changes zones has no local day twice, and what a journey leaps over is owed.
    """
    today = now.astimezone(ZoneInfo(habits.zone)).date()
    latest = max((day for _, day in known), default=date.min)
    begun = min(habits.since.values(), default=now).astimezone(ZoneInfo(habits.zone)).date()
    first = min(max(latest, begun, today - LOOK_BACK), today)
    due = upcoming(habits, first=first, days=(today - first).days + 1)
    return [each for each in due if habits.since[each.slot] < each.at <= now and (each.slot, each.day) not in known]


def next_after(habits: Habits, now: datetime) -> Due | None:
    """The first brief that is still to come."""
    today = now.astimezone(ZoneInfo(habits.zone)).date()
    coming = upcoming(habits, first=today - timedelta(days=1), days=4)
    return min((due for due in coming if due.at > now), key=lambda due: due.at, default=None)


def courses(due: Sequence[Due], *, now: datetime, missed: Missed) -> list[tuple[Due, Course]]:
    """What to do about each of those that are due: of several missed in a row only the last is treated, if nothing newer is due."""
    late = [each for each in due if now - each.at > LATE]
    timely = [(each, Course.RUN) for each in due if now - each.at <= LATE]
    treated = [] if timely or not late else [(late.pop(), Course(missed))]
    return [*((each, Course.SKIP) for each in late), *treated, *timely]
