"""What notes have to tell in a brief: days that come, and promises that are due, each with when it was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.services.affairs import title_of
from bot.services.dates import When
from bot.services.promises import promise_key
from bot.services.tasks import PROMISE
from storage.database import Database
from storage.models.memory import StickyNote

SECTIONS = {"promises": ("You promised", 60), "today": ("Today, by your notes", 55), "dates": ("Coming up, by your notes", 25)}
WEEK, NEAR, LATE = timedelta(days=6), timedelta(days=1), timedelta(days=2)
"""Time ahead that are told in the morning, and later in the day; and for how many a promise that is late is told."""
YEARLY = ("birthday", "anniversary", "wedding anniversary")


class NoteNews:
    """A `BriefSource`. A promise that became a task is told among the tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self._database.reading() as work:
            coming = sorted((on, row.id, row) for row in await work.notes.dated(person.id) if (on := _next(row, day.date)))
            last = day.date + (WEEK if day.slot is Slot.MORNING else NEAR)
            found = [(on, row) for on, _, row in coming if day.date - LATE <= on <= last and (on >= day.date or row.kind == PROMISE)]
            tasks = [row for _, row in found if row.kind == PROMISE and await work.activities.find_by_key(promise_key(row))]
        told = dict[str, list[Item]]()
        for on, row in found:
            if row not in tasks:
                key = "promises" if row.kind == PROMISE else "today" if on == day.date else "dates"
                told.setdefault(key, []).append(_item(on, row, day))
        return [
            Section(key=f"note_{key}", title=title, items=told[key][:longest], weight=weight, more=max(len(told[key]) - longest, 0))
            for key, (title, weight) in SECTIONS.items()
            if key in told
        ]


def _next(row: StickyNote, today: date) -> date | None:
    """The day that a note is about; of a birthday or the like, the coming one."""
    if row.on is None or row.on >= today or not row.topic.endswith(YEARLY):
        return row.on
    return next(on for year in (today.year, today.year + 1) if (on := _in(year, row.on)) >= today)


def _in(year: int, day: date) -> date:
    try:
        return day.replace(year=year)
    except ValueError:  # 29 February
        return day.replace(year=year, day=28)


def _item(on: date, row: StickyNote, day: Day) -> Item:
    said = row.created_at.astimezone(day.now.tzinfo)
    when = When(date=on, spans=()).spoken(day.now)
    return Item(text=f"{when[0].upper()}{when[1:]}: {title_of(row)} (said {said.day} {said:%b})")
