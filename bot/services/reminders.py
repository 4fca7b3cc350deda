"""Reminders: each is said once when its time comes, by whichever process looks first; what recurs is set to its next time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bot.domain.message import Button
from bot.services.affairs import title_of
from bot.services.notices import private_place, say_all
from bot.services.series import last_of, next_of
from bot.services.tasks import spoken_due
from storage.database import Database, UnitOfWork
from storage.models.affairs import Task
from storage.models.messaging import Conversation

log = structlog.get_logger(__name__)

BATCH = 100
"""So many are fired in one act: enough that a thousand take few, and few enough that nobody waits long for it."""
LATE = timedelta(minutes=2)


class Reminders:
    """A round that fires what is due, on channels that are not switched `off`: nobody looks there."""

    name = "reminders"

    def __init__(self, *, database: Database, off: Sequence[str] = ()) -> None:
        self._database = database
        self._off = off

    async def look(self, now: datetime) -> datetime | None:
        """Say every reminder that is due, once; when the next one is. Raises StorageUnavailable."""
        is_more = True
        while is_more:
            async with self._database.reading() as work:
                next_at = await work.tasks.next_reminder()
            if next_at is None or next_at > now:
                return next_at
            is_more = await self._fire(now)
        return now + timedelta(seconds=1)  # another process is firing the rest: look again soon, should it die

    async def _fire(self, now: datetime) -> bool:
        """Fire a batch, in one act: whoever dies in it leaves all of it to the next. Whether there was any."""
        async with self._database.unit_of_work() as work:
            due = await work.tasks.to_remind(now, limit=BATCH)
            places = {user_id: await _place(work, user_id, now, self._off) for user_id in {task.user_id for task in due}}
            moves = [(task, *_moved(task, now.astimezone(places[task.user_id][0]))) for task in due]
            await work.tasks.fire(moves)
            told = [(task.user_id, *_told(task, values, places[task.user_id][0], now)) for task, _, values in moves]
            await say_all(work, [(places[each[0]][1], *each) for each in told], now=now)
        return bool(due)


def choices(task: Task) -> tuple[Button, ...]:
    """What can be done about a task; a day goes with what recurs, so that pressing twice does not skip a day."""
    day = f" {task.due_on}" if task.rule and task.due_on else ""
    return (
        Button(label="Done", command=f"/task done {task.code}{day}"),
        Button(label="Snooze", command=f"/task snooze {task.code}"),
        Button(label="Tomorrow", command=f"/task tomorrow {task.code}"),
    )


async def _place(work: UnitOfWork, user_id: UUID, now: datetime, off: Sequence[str]) -> tuple[ZoneInfo, Conversation]:
    user = await work.people.find_user_by_id(user_id)
    assert user is not None
    return ZoneInfo(user.timezone), await private_place(work, user_id, now=now, except_on=off)


def _told(task: Task, values: dict[str, Any], zone: ZoneInfo, now: datetime) -> tuple[str, tuple[Button, ...]]:
    """What is said of a reminder, and what can be done about it."""
    local, task = now.astimezone(zone), replace(task, **values)
    due = task.remind_at.astimezone(zone) if task.remind_at else local
    late = f" (I am late: it was for {due:%H:%M} on {due:%A} {due.day} {due:%B}.)" if local - due > LATE else ""
    about = "" if late or task.rule or task.due_on in (None, local.date()) else f", {spoken_due(task, local)}"
    return f"Reminder: **{title_of(task)}**{about}{late}", choices(task)


def _moved(task: Task, now: datetime) -> tuple[datetime | None, dict[str, Any]]:
    """When a recurring one rings next, still ahead, and the last time, which it is about now.

    A rule that cannot be read rings no more, and holds up no other.
    """
    if not task.rule:
        return None, {}
    try:
        current, coming = last_of(task.rule, now), next_of(task.rule, now)
    except ValueError as error:
        log.warning("reminder.rule_unreadable", task=str(task.id), error=str(error))
        return None, {}
    return coming, {} if current is None else {"due_on": current.date(), "due_at": current if task.due_at else None}
