"""Tasks: what somebody has to do, wants to be reminded of, or promised; one that recurs moves on when it is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from bot.brain.personality import personality_of
from bot.domain.address import Person
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import Book, Decide, folded, line_of, title_of
from bot.services.dates import When
from bot.services.series import begin_of, next_of, rule_of, series
from storage.database import UnitOfWork
from storage.models.affairs import Contact, Task, TaskState

REMINDER, PROMISE = "reminder", "promise"
MORNING = time(9)
"""When a reminder comes for which only a day was named."""
_ADDRESSED = re.compile(r"(?:(?:please )?(?:remind )?me (?:to |that |about |of )?|to |about )", re.I)
"""How an order begins; what is to be done comes after it."""
NO_TITLE = "What shall I put down? For example `/task send Dana the offer on Friday`."
NO_TIME = "When shall I remind you? For example `/remind call Dana on Friday at 3`."


class Tasks(Book[Task]):
    """What each person has to do."""

    table, noun = "tasks", "task"
    verbs = ("done", "snooze", "tomorrow", "edit", "remove")

    async def take(self, errand: Errand, words: str, kind: str = "task") -> tuple[Task, str]:
        """Put down what these words say, with the date in them; it is about the one contact whom it names. Raises ToolFailed."""
        (when, rest), now, rings = self.when(errand.person, words), self.local(errand.person), kind == REMINDER
        said = line_of(rest)
        title = said[found.end() :] if (found := _ADDRESSED.match(said)) else said
        if not title or (rings and when is None):
            raise ToolFailed(NO_TIME if rings else NO_TITLE)
        async with self._database.reading() as work:
            named = [row for row in await work.contacts.of(errand.person.id) if row.archived_at is None and is_named(row, title)]
            full = "" if rings or when is None else await self._fullness(work, errand.person, when.date)
        about: dict[str, Any] = {"contact_id": named[0].id if len(named) == 1 else None, "source_id": errand.source_id}
        row = Task(**self._new(errand), title=title, kind=kind, **about, **(timing(when, now, rings=rings) if when else {}))
        row = await self._add(errand, row, f"Added: {self.line(row, now)}.")
        return row, f"{'I will remind you' if rings else 'Added'}: {self.line(row, now)}.{full}"

    def line(self, row: Task, now: datetime) -> str:
        """What, and when."""
        due = spoken_due(row, now)
        return f"{title_of(row)}, {due}" if due else title_of(row)

    async def done(self, errand: Errand, row: Task, words: str = "") -> str:
        """It is done; what recurs moves to its next time, unless that was done for the day in *words*, of a button, already."""
        now = self.local(errand.person)

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            if words and words != str(task.due_on):
                return {}, f"That was done already: {title_of(task)}."
            coming = next_of(task.rule, max(now, _due(task, now))) if task.rule else None
            if coming is None:
                return {"state": TaskState.DONE, "done_at": now, "remind_at": None}, f"Done: {title_of(task)}."
            moment = coming if task.due_at else None
            values = {"due_on": coming.date(), "due_at": moment, "remind_at": moment}
            return values, f"Done: {title_of(task)}. Next: {_spoken(values, now)}."

        return await self._change(errand, row, "done", _if_open(decide))

    async def tomorrow(self, errand: Errand, row: Task, words: str = "") -> str:
        """Remind of it tomorrow morning."""
        return await self.snooze(errand, row, "tomorrow at 9:00")

    async def snooze(self, errand: Errand, row: Task, words: str = "") -> str:
        """Remind of it later: when the words say, else after as long as this person's pace has it."""
        now, (when, _) = self.local(errand.person), self.when(errand.person, words)
        if words.strip() and when is None:
            raise ToolFailed("Until when? For example `/task snooze 1 until tomorrow at 9`.")
        async with self._database.reading() as work:
            minutes = (await personality_of(work, errand.person, context="private", now=now, is_private_chat=True)).snooze_minutes
        until = timing(when, now, rings=True)["remind_at"].astimezone(now.tzinfo) if when else now + timedelta(minutes=minutes)

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            moves = not task.rule and _due(task, now).astimezone(UTC) < until.astimezone(UTC)
            later = {"due_on": until.date(), "due_at": until if task.due_at else None} if moves else {}
            told = _spoken({"due_on": until.date(), "due_at": until}, now)
            return {"remind_at": until, **later}, f"Snoozed: {title_of(task)}. I remind you {told}."

        return await self._change(errand, row, "snooze", _if_open(decide))

    async def edit(self, errand: Errand, row: Task, words: str) -> str:
        """Give it the words, the date, or both."""
        now, (when, rest) = self.local(errand.person), self.when(errand.person, words)
        title = "" if when and folded(rest) in ("to", "it to") else line_of(rest)
        if not title and when is None:
            raise ToolFailed("What shall it become? For example `/task edit 1 call Dana tomorrow at 4`.")

        def decide(task: Task) -> tuple[Mapping[str, Any], str]:
            values = ({"title": title} if title else {}) | (_moved(task, when, now) if when else {})
            return values, f"Changed: {self.line(replace(task, **values), now)}."

        return await self._change(errand, row, "edit", _if_open(decide))

    async def remove(self, errand: Errand, row: Task, words: str = "") -> str:
        """It will not be done, and nobody is reminded of it."""
        values = {"state": TaskState.DROPPED, "remind_at": None}
        return await self._change(errand, row, "remove", _if_open(lambda task: (values, f"Removed: {title_of(task)}.")))

    async def _fullness(self, work: UnitOfWork, person: Person, day: date) -> str:
        """What is said where one more is above what the person's pace puts in a day."""
        most = (await personality_of(work, person, context="private", now=self._clock.now())).tasks_per_day
        there = await work.tasks.of_day(person.id, day)
        return f" That makes {there + 1} for that day; at your pace it is full with {most}." if there >= most else ""

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[Task]:
        rows, never = await work.tasks.open(user_id), datetime.max.replace(tzinfo=UTC)
        return sorted(rows, key=lambda task: (task.due_on or date.max, task.due_at or never, task.priority, task.id))


def is_named(contact: Contact, text: str) -> bool:
    """Whether a text names a contact, by the whole name or the first."""
    name, words = folded(contact.name), f" {folded(text)} "
    return bool(name) and (f" {name} " in words or f" {name.split()[0]} " in words)


def spoken_due(task: Task, now: datetime) -> str:
    """When it is due, as it is said to its person; nothing where no day was named."""
    return _spoken({"due_on": task.due_on, "due_at": task.due_at, "rule": task.rule}, now) if task.due_on else ""


def is_overdue(task: Task, now: datetime) -> bool:
    """Whether its time, or its day where no time was named, has passed."""
    return task.due_on is not None and (task.due_at < now if task.due_at else task.due_on < now.date())


def timing(when: When, now: datetime, *, rings: bool) -> dict[str, Any]:
    """The columns of a task that say when: one that rings does so in the morning where only a day was named, or in an hour."""
    at = when.time or (MORNING if rings else None)
    moment = replace(when, time=at).moment(now.tzinfo or UTC) if at else None
    if moment is not None and when.time is None and moment <= now:
        moment = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2 if now.minute > 30 else 1)
    rule = series(when.rule, datetime.combine(when.date, at or time())) if when.rule else ""
    return {"due_on": when.date, "due_at": moment, "remind_at": moment, "rule": rule}


def _moved(task: Task, when: When, now: datetime) -> dict[str, Any]:
    """A task's columns for when it is now to be: a day alone leaves it its time, a time alone its day and its rule."""
    if when.is_clock and when.time and task.rule and task.due_on:
        rule = series(rule_of(task.rule), datetime.combine(task.due_on, when.time))
        if coming := next_of(rule, now):
            return {"due_on": coming.date(), "due_at": coming, "remind_at": coming, "rule": rule}
    elif when.is_clock and task.due_on:
        when = replace(when, date=max(when.date, task.due_on))
    elif when.time is None and not when.rule and task.due_at:
        kept = replace(when, time=task.due_at.astimezone(now.tzinfo).time())
        when = when if kept.is_past(now) else kept
    return timing(when, now, rings=task.kind == REMINDER)


def _due(task: Task, now: datetime) -> datetime:
    """When it is due, in the zone of *now*: one of a day at its beginning."""
    if task.due_at is not None:
        return task.due_at.astimezone(now.tzinfo)
    return datetime.combine(task.due_on, time(), now.tzinfo) if task.due_on else now


def _spoken(values: Mapping[str, Any], now: datetime) -> str:
    local, kept, odd = values["due_at"].astimezone(now.tzinfo) if values["due_at"] else None, values.get("rule", ""), ""
    day, at = (local.date(), local.time()) if local else (values["due_on"], None)
    if local and kept and "HOURLY" not in kept:  # a journey, or a beginning later today, may move the next time away from the rule's
        at = begin_of(kept).time()
        is_odd = datetime.combine(day, at, now.tzinfo).astimezone(UTC) != local.astimezone(UTC)
        odd = f" (this time at {local:%H:%M})" if is_odd else ""
    return When(date=day, time=at, rule=rule_of(kept), spans=()).spoken(now) + odd


def _if_open(decide: Decide) -> Decide:
    """What is done or dropped stays so."""
    return lambda task: decide(task) if task.state == TaskState.OPEN else ({}, f"That was {task.state} already: {title_of(task)}.")
