"""What people promised becomes a suggested task: each promise once, a few a day, and none that is a task already."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from bot.domain.errand import Errand, Gate, Risk
from bot.domain.errors import ToolFailed
from bot.services.affairs import SHOWN, title_of
from bot.services.approvals import propose
from bot.services.autonomy import Autonomy, Verdict
from bot.services.dates import When
from bot.services.gate import TOOL
from bot.services.notices import bare_line
from bot.services.noticing import read, topic_of
from bot.services.tasks import PROMISE, Tasks
from storage.database import Database, UnitOfWork
from storage.models.memory import StickyNote

LOOKS_EVERY, LATELY = timedelta(seconds=5), timedelta(days=1)
"""How often notes are looked at, and of how long ago."""
MOST_A_DAY, MOST = 3, 50
KEY = "promise/"
ALIKE = 0.6
"""Of the shorter's telling words, how many a task has to share with a promise to be the same, and two at least."""


class Promised(BaseModel):  # noqa: D101  a docstring would be shown to whoever decides
    what: str
    due: date | None = None


class PromiseTask:
    """A `Tool` that puts a promise down as a task. Models are not given it; it is left to the ladder as what others rely on."""

    name = "add_to_your_tasks"
    description = "Put down as a task what the person promised."
    kind = "promise.task"
    risk = Risk.SHARED
    arguments = Promised

    def __init__(self, *, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    async def run(self, arguments: Promised, errand: Errand) -> str:
        """Add the task, once, unless the promise was taken back since. Raises ToolFailed, StorageUnavailable."""
        async with self._database.reading() as work:
            if not await _holds(work, errand.key):
                return "You took that back since, or said otherwise, so I added nothing."
        due, today = arguments.due, self._tasks.local(errand.person).date()
        when = f" on {due.day} {due:%B %Y}" if due is not None and due >= today else ""
        return (await self._tasks.take(errand, f"{arguments.what}{when}", PROMISE))[1]


class Promises:
    """A round: it asks about each promise that was noticed, or, where the ladder leaves it to Robbie, puts it down."""

    name = "promises"

    def __init__(self, *, database: Database, gate: Gate, autonomy: Autonomy, tool: PromiseTask) -> None:
        self._database = database
        self._gate = gate
        self._autonomy = autonomy
        self._tool = tool
        self._next: datetime | None = None
        self._seen = set[UUID]()

    async def look(self, now: datetime) -> datetime:
        """Suggest what was promised since the last look. Raises StorageUnavailable."""
        if self._next is None or not now < self._next <= now + LOOKS_EVERY:
            self._next = now + LOOKS_EVERY
            async with self._database.reading() as work:
                rows = await work.notes.promised(since=now - LATELY, limit=MOST + len(self._seen))
            for row in rows:
                if row.id not in self._seen:
                    await self._suggest(row, now)
            self._seen = {row.id for row in rows}
        return self._next

    async def _suggest(self, note: StickyNote, now: datetime) -> None:
        async with self._database.reading() as work:
            user = await work.people.find_user_by_id(note.user_id)
        if user is None or user.role not in ("owner", "member"):
            return
        zone, tool, said = ZoneInfo(user.timezone), self._tool, title_of(note)
        one, local = read(note.text, now=note.created_at.astimezone(zone)), now.astimezone(zone)
        asked = Promised(what=one.deed if one is not None and one.deed else note.text, due=note.on)
        errand = Errand(person=user.person, key=promise_key(note), why=f"you said “{said}”", actor="robbie", source_id=note.source_id)
        asks = await self._autonomy.verdict(tool.kind, tool.risk, errand) is Verdict.ASK
        by = f", by {When(date=note.on, spans=()).spoken(local)}" if note.on else ""
        what: dict[str, Any] = {"kind": TOOL, "action": tool.kind, "risk": tool.risk, "about": f"You said: “{said}” Shall I?"}
        details = {"tool": tool.name, "arguments": asked.model_dump(mode="json")}
        async with self._database.unit_of_work() as work:
            if not await work.job_runs.mark("promise", str(note.id), now) or await _is_known(work, asked.what, user.id, now):
                return
            if not await _has_room(work, f"{user.id}/{local.date()}", now):
                return
            if asks:
                title = f"Add to your tasks: {bare_line(asked.what, SHOWN)}{by}"
                await propose(work, errand, **what, title=title, details=details, now=now)
        if not asks:
            with suppress(ToolFailed):
                await self._gate.run(tool, asked, errand)


async def _has_room(work: UnitOfWork, day: str, now: datetime) -> bool:
    for place in range(MOST_A_DAY):
        if await work.job_runs.mark("promises of a day", f"{day}/{place}", now):
            return True
    return False


async def _is_known(work: UnitOfWork, deed: str, user_id: UUID, now: datetime) -> bool:
    """Whether it is a task already, or waits to be one."""
    waiting = [(each.key or "", each.details) for each in await work.proposals.waiting(user_id, now)]
    asked = [told["arguments"]["what"] for key, told in waiting if key.startswith(KEY) and await _holds(work, key)]
    return any(_is_alike(deed, each) for each in (*asked, *(task.title for task in await work.tasks.open(user_id))))


def promise_key(note: StickyNote) -> str:
    """The key of the errand that makes a promise a task."""
    return f"{KEY}{note.id}"


async def _holds(work: UnitOfWork, key: str) -> bool:
    """Whether the promise of this key was neither taken back nor superseded."""
    note = await work.notes.find_by_id(UUID(key.removeprefix(KEY)))
    return note is not None and note.valid_until is None and note.forgotten_by is None


def _is_alike(deed: str, other: str) -> bool:
    one, two = set(topic_of(deed).split()), set(topic_of(other).split())
    return one == two or len(one & two) >= max(ALIKE * min(len(one), len(two)), 2)
