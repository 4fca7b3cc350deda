"""What notes have to tell in a brief: days that come, and promises that are due, each with when it was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.services.affairs import title_of
from bot.services.dates import When
from bot.services.promises import promise_key
from bot.services.tasks import PROMISE
from storage.database import Database
from storage.models.memory import StickyNote

WEEK, NEAR, LATE = 6, 1, 2
"""Days ahead that are told in the morning, and later in the day; and for how many a promise that is late is told."""
YEARLY = ("birthday", "anniversary", "wedding anniversary")


class NoteNews:
    """A `BriefSource`. A promise that became a task is told among the tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self._database.reading() as work:
            rows = await work.notes.dated(person.id)
            coming = sorted([(on, row.id, row) for row in rows if (on := _next(row, day.date)) is not None])
            found = [(on, row) for on, _, row in coming if -LATE <= (on - day.date).days <= (WEEK if day.slot is Slot.MORNING else NEAR)]
            promised = [
                pair for pair in found if pair[1].kind == PROMISE and await work.activities.find_by_key(promise_key(pair[1])) is None
            ]
        dated = [(on, row) for on, row in found if row.kind != PROMISE and on >= day.date]
        told = (
            ("note_promises", "You promised", 60, promised),
            ("note_today", "Today, by your notes", 55, [pair for pair in dated if pair[0] == day.date]),
            ("note_dates", "Coming up, by your notes", 25, [pair for pair in dated if pair[0] > day.date]),
        )
        items = [(key, title, weight, [_item(*pair, day) for pair in pairs]) for key, title, weight, pairs in told if pairs]
        return [
            Section(key=key, title=title, items=all_[:longest], weight=weight, more=max(len(all_) - longest, 0))
            for key, title, weight, all_ in items
        ]


def _next(row: StickyNote, today: date) -> date | None:
    """The day that a note is about; of a birthday or the like, the coming one."""
    if row.on is None or row.on >= today or not row.topic.endswith(YEARLY):
        return row.on
    for year in (today.year, today.year + 1):
        is_leap_day = (row.on.month, row.on.day) == (2, 29)
        on = row.on.replace(year=year, day=28) if is_leap_day else row.on.replace(year=year)
        if on >= today:
            return on
    return None


def _item(on: date, row: StickyNote, day: Day) -> Item:
    said = row.created_at.astimezone(day.now.tzinfo)
    when = When(date=on, spans=()).spoken(day.now)
    return Item(text=f"{when[0].upper()}{when[1:]}: {title_of(row)} (said {said.day} {said:%b})")
