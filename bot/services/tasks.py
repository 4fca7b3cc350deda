"""Tasks: what somebody has to do, wants to be reminded of, or promised; one that recurs moves on when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from bot.brain.personality import personality_of
from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, Decide, folded, title_of
from bot.services.approvals import make_code
from bot.services.dates import When, without
from bot.services.series import next_of, rule_of, series
from storage.database import UnitOfWork
from storage.models.affairs import Contact, Task, TaskState

REMINDER, PROMISE = "reminder", "promise"
MORNING = time(9)
"""When a reminder comes for which only a day was named."""
NO_TITLE = "What shall I put down? For example `/task send Dana the offer on Friday`."
NO_TIME = "When shall I remind you? For example `/remind call Dana on Friday at 3`."


class Tasks(Book[Task]):
    """What each person has to do."""

    table, noun = "tasks", "task"

    async def take(self, errand: Errand, words: str, kind: str = "task", deal_id: UUID | None = None) -> Task:
        """Put down what these words say, with the date in them. Raises ToolFailed where that is not clear, StorageUnavailable."""
        when = self.when(errand.person, words)
        title = _title(without(words, when) if when else words)
        if not title:
            raise ToolFailed(NO_TITLE if kind != REMINDER else NO_TIME)
        if kind == REMINDER and when is None:
            raise ToolFailed(NO_TIME)
        return await self.add(errand, title, when=when, kind=kind, deal_id=deal_id)

    async def add(self, errand: Errand, title: str, *, when: When | None = None, kind: str = "task", deal_id: UUID | None = None) -> Task:
        """A new task; it is about the one contact whose name stands in its title. Raises StorageUnavailable."""
        row = Task(
            organization_id=self._database.organization,
            id=new_id(),
            user_id=errand.person.id,
            code=make_code(4),
            title=title[:LONGEST],
            created_at=self._clock.now(),
            kind=kind,
            contact_id=await self._contact_in(errand.person, title),
            deal_id=deal_id,
            source_id=errand.source_id,
            **(timing(when, self.local(errand.person), rings=kind == REMINDER) if when else {}),
        )
        return await self._add(errand, row, f"Added: {spoken(row, self.local(errand.person))}.")

    async def done(self, errand: Errand, code: str, day: date | None = None) -> str:
        """It is done; what recurs moves to its next time. One that *day*, of a button, is no more the day of, is left alone."""
        now = self.local(errand.person)

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            if day is not None and task.due_on != day:
                return {}, f"That was done already: {title_of(task)}."
            coming = next_of(task.rule, max(now, _due(task, now))) if task.rule else None
            if coming is None:
                return {"state": TaskState.DONE, "done_at": now, "remind_at": None}, f"Done: {title_of(task)}."
            values = _at(coming, is_timed=task.due_at is not None, rings=task.due_at is not None)
            return values, f"Done: {title_of(task)}. Next: {_spoken(values, now)}."

        return await self._change(errand, code, "done", _if_open(decide))

    async def snooze(self, errand: Errand, code: str, words: str = "") -> str:
        """Remind of it later: when the words say, else after as long as this person's pace has it. Raises ToolFailed."""
        now, when = self.local(errand.person), self.when(errand.person, words)
        if words.strip() and when is None:
            raise ToolFailed("Until when? For example `/task snooze 1 until tomorrow at 9`.")
        async with self._database.reading() as work:
            minutes = (await personality_of(work, errand.person, context="private", now=now, is_private_chat=True)).snooze_minutes
        until = timing(when, now, rings=True)["remind_at"].astimezone(now.tzinfo) if when else now + timedelta(minutes=minutes)

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            moves = not task.rule and _due(task, now).astimezone(UTC) < until.astimezone(UTC)
            later = {"due_on": until.date(), "due_at": until if task.due_at else None} if moves else {}
            return {"remind_at": until, **later}, f"Snoozed: {title_of(task)}. I remind you {_spoken(_at(until), now)}."

        return await self._change(errand, code, "snooze", _if_open(decide))

    async def edit(self, errand: Errand, code: str, words: str) -> str:
        """Give it the words, the date, or both. Raises ToolFailed."""
        now, when = self.local(errand.person), self.when(errand.person, words)
        title = _title(without(words, when) if when else words)
        if not title and when is None:
            raise ToolFailed("What shall it become? For example `/task edit 1 call Dana tomorrow at 4`.")

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            values = ({"title": title[:LONGEST]} if title else {}) | (timing(when, now, rings=task.kind == REMINDER) if when else {})
            return values, f"Changed: {spoken(replace(task, **values), now)}."

        return await self._change(errand, code, "edit", _if_open(decide))

    async def remove(self, errand: Errand, code: str) -> str:
        """It will not be done, and nobody is reminded of it."""
        values = {"state": TaskState.DROPPED, "remind_at": None}
        return await self._change(errand, code, "remove", _if_open(lambda task: (values, f"Removed: {title_of(task)}.")))

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[Task]:
        return sorted(await work.tasks.open(user_id), key=_pressing)

    async def _contact_in(self, person: Person, title: str) -> UUID | None:
        async with self._database.reading() as work:
            named = [row for row in await work.contacts.of(person.id) if row.archived_at is None and is_named(row, title)]
        return named[0].id if len(named) == 1 else None


def is_named(contact: Contact, text: str) -> bool:
    """Whether a text names a contact, by the whole name or the first."""
    name, words = folded(contact.name), f" {folded(text)} "
    return bool(name) and (f" {name} " in words or f" {name.split()[0]} " in words)


def timing(when: When, now: datetime, *, rings: bool) -> dict[str, Any]:
    """The columns of a task that say when: one that rings does so in the morning where only a day was named, or in an hour."""
    at = when.time or (MORNING if rings else None)
    if at is None:
        return {"due_on": when.date, "due_at": None, "remind_at": None, "rule": _series(when, time())}
    moment = replace(when, time=at).moment(now.tzinfo)
    if when.time is None and moment <= now:
        moment = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2 if now.minute > 30 else 1)
    return {"due_on": when.date, "due_at": moment, "remind_at": moment, "rule": _series(when, at)}


def spoken(task: Task, now: datetime) -> str:
    """A task in words: what, and when."""
    due = spoken_due(task, now)
    return f"{title_of(task)}, {due}" if due else title_of(task)


def spoken_due(task: Task, now: datetime) -> str:
    """When it is due, as it is said to its person; nothing where no day was named."""
    return _spoken({"due_on": task.due_on, "due_at": task.due_at, "rule": task.rule}, now) if task.due_on else ""


def is_overdue(task: Task, now: datetime) -> bool:
    """Whether its time, or its day where no time was named, has passed."""
    return task.due_on is not None and (task.due_at < now if task.due_at else task.due_on < now.date())


def _series(when: When, at: time) -> str:
    return series(when.rule, datetime.combine(when.date, at)) if when.rule else ""


def _at(moment: datetime, *, is_timed: bool = True, rings: bool = True) -> dict[str, Any]:
    """The columns that say so, for a moment in its person's zone."""
    return {"due_on": moment.date(), "due_at": moment if is_timed else None, "remind_at": moment if rings else None}


def _due(task: Task, now: datetime) -> datetime:
    """When it is due, in the zone of *now*: one of a day at its beginning."""
    if task.due_at is not None:
        return task.due_at.astimezone(now.tzinfo)
    return datetime.combine(task.due_on, time(), now.tzinfo) if task.due_on else now


def _spoken(values: Mapping[str, Any], now: datetime) -> str:
    local = values["due_at"].astimezone(now.tzinfo) if values["due_at"] else None
    day, at = (local.date(), local.time()) if local else (values["due_on"], None)
    return When(date=day, time=at, rule=rule_of(values.get("rule", ""))).spoken(now)


def _pressing(task: Task) -> tuple[Any, ...]:
    late = datetime.max.replace(tzinfo=task.created_at.tzinfo)
    return task.due_on or date.max, task.due_at or late, task.priority, task.id


def _if_open(decide: Decide) -> Decide:
    """What is done or dropped stays so."""
    return lambda task: decide(task) if task.state == TaskState.OPEN else ({}, f"That was {task.state} already: {title_of(task)}.")


def _title(words: str) -> str:
    return " ".join(words.split()).strip(" ,;:-").removeprefix("to ")
