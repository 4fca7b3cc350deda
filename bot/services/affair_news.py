"""What tasks, people and deals have to tell in a brief: one query each, the most pressing first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section
from bot.domain.message import Button
from bot.services.affairs import title_of
from bot.services.contacts import Contacts
from bot.services.deals import Deals, pipeline, told_money
from bot.services.reminders import choices
from bot.services.tasks import PROMISE, Tasks, is_overdue, spoken
from storage.models.affairs import Contact, Task

AHEAD = timedelta(hours=36)


class TaskNews:
    """What is overdue, what is for today, what was promised, and the reminders ahead; a task is told once."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        left, made = await self._tasks.standing(person), []
        for key, title, weight, belongs in (
            ("overdue", "Overdue", 100, lambda task: is_overdue(task, day.now)),
            ("today", "Today", 50, lambda task: task.due_on == day.date),
            ("promises", "Promised", 60, lambda task: task.kind == PROMISE),
            ("reminders", "Reminders ahead", 30, lambda task: task.remind_at and task.remind_at <= day.now + AHEAD),
        ):
            mine = [task for task in left if belongs(task)]
            left = [task for task in left if not belongs(task)]
            made += _section(key, title, weight, (_task_item(task, day) for task in mine[:longest]), len(mine))
        return made


class PeopleNews:
    """Who wrote last, and so waits for an answer; whoever waits longest comes first."""

    def __init__(self, contacts: Contacts) -> None:
        self._contacts = contacts

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        waiting = sorted((row for row in await self._contacts.standing(person) if _waits(row)), key=lambda row: str(row.last_heard_at))
        return _section("waiting", "Waiting for your answer", 70, (_person_item(row, day) for row in waiting[:longest]), len(waiting))


class DealNews:
    """The open deals by stage, with their value and what it comes to by probability."""

    def __init__(self, deals: Deals) -> None:
        self._deals = deals

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        lines = pipeline_lines(await self._deals.standing(person))
        return _section("deals", "Deals", 20, (Item(text=line) for line in lines[:longest]), len(lines))


def pipeline_lines(rows: Sequence[Any]) -> list[str]:
    """A line for each stage and currency."""
    return [
        f"{stage}: {count} worth {told_money(value, currency)}, weighted {told_money(weighted, currency)}"
        for stage, totals in pipeline(rows).items()
        for currency, (count, value, weighted) in totals.items()
    ]


def _section(key: str, title: str, weight: float, items: Iterable[Item], count: int) -> list[Section]:
    shown = tuple(items)
    return [Section(key=key, title=title, items=shown, weight=weight, more=count - len(shown))] if count else []


def _task_item(task: Task, day: Day) -> Item:
    return Item(text=spoken(task, day.now), buttons=choices(task)[:2])


def _person_item(row: Contact, day: Day) -> Item:
    days = (day.now - row.last_heard_at).days if row.last_heard_at else 0
    since = "since yesterday" if days == 1 else f"for {days} days" if days else "since today"
    return Item(text=f"{title_of(row)}, {since}", buttons=(Button(label="Answered", command=f"/contact touch {row.code}"),))


def _waits(row: Contact) -> bool:
    return row.last_heard_at is not None and (row.last_written_at is None or row.last_heard_at > row.last_written_at)
