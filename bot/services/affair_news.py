"""What tasks, people and deals have to tell in a brief: one query each, the most pressing first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.domain.message import Button
from bot.services.affairs import title_of
from bot.services.books import Books
from bot.services.deals import pipeline
from bot.services.reminders import choices
from bot.services.tasks import PROMISE, is_overdue
from storage.models.affairs import Contact

AHEAD = timedelta(hours=36)


class AffairNews:
    """A `BriefSource`: what is overdue, for today, promised, ahead, or fits in the day; who waits; where the deals stand."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        tasks, told = await self._books.task.standing(person), []
        for key, title, weight, belongs in (
            ("overdue", "Overdue", 100, lambda task: is_overdue(task, day.now)),
            ("today", "Today", 50, lambda task: task.due_on == day.date),
            ("promises", "Promised", 60, lambda task: task.kind == PROMISE),
            ("reminders", "Reminders ahead", 30, lambda task: task.remind_at and task.remind_at <= day.now + AHEAD),
        ):
            mine = [task for task in tasks if belongs(task)]
            tasks = [task for task in tasks if not belongs(task)]
            items = [Item(text=self._books.task.line(task, day.now), buttons=choices(task)[:2]) for task in mine[:longest]]
            told.append((key, title, weight, items, len(mine)))
        room = day.room - sum(count for key, *_, count in told if key in ("overdue", "today"))
        if day.slot is not Slot.EVENING and (undated := [task for task in tasks if task.due_on is None][: max(0, min(room, longest))]):
            items = [Item(text=self._books.task.line(task, day.now), buttons=choices(task)[:1]) for task in undated]
            told.append(("room", "Room today for", 10, items, len(items)))
        waiting = sorted(filter(_waits, await self._books.contact.standing(person)), key=lambda row: str(row.last_heard_at))
        told.append(("waiting", "Waiting for your answer", 70, [_person(row, day) for row in waiting[:longest]], len(waiting)))
        deals = pipeline(await self._books.deal.standing(person))
        told.append(("deals", "Deals", 20, [Item(text=line) for line in deals[:longest]], len(deals)))
        return [
            Section(key=key, title=title, items=items, weight=weight, more=count - len(items))
            for key, title, weight, items, count in told
            if count
        ]


def _person(row: Contact, day: Day) -> Item:
    days = (day.now - row.last_heard_at).days if row.last_heard_at else 0
    since = "since yesterday" if days == 1 else f"for {days} days" if days else "since today"
    return Item(text=f"{title_of(row)}, {since}", buttons=(Button(label="Answered", command=f"/contact touch {row.code}"),))


def _waits(row: Contact) -> bool:
    return row.last_heard_at is not None and (row.last_written_at is None or row.last_heard_at > row.last_written_at)
