"""The journal: one line for every act, who, what and why; it makes an act happen once, and takes it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from storage.database import Database, UnitOfWork
from storage.models.affairs import Activity
from storage.repositories.affairs import new_activity

UNDOABLE_FOR = timedelta(days=1)
"""What was done longer ago is not meant by a bare /undo."""
UNDO, EARLIER = "undo", "earlier"
ACTORS = ("person", "robbie")
RECENT = 50
_ID = re.compile(r"[0-9a-f-]{36}", re.I)
NOTHING_TO_UNDO = "There is nothing of the last day to take back."
CHANGED_SINCE = "That was changed again since, so I left it as it is: {text}"
TOO_LATE = "That is gone for good: {text}"


async def record(
    work: UnitOfWork, errand: Errand, kind: str, text: str, *, now: datetime, undo: Mapping[str, Any] | None = None, **about: UUID | None
) -> bool:
    """Write what is done in the act of *work*; False where the errand was done before: then nothing else may be done in that act.

    `undo` is made by `added` or `changed`; *about* names what it is about: contact_id, deal_id, task_id.
    """
    asked = {"user_id": errand.person.id, **{name: getattr(errand, name) for name in ("actor", "why", "key", "source_id")}}
    row = new_activity(work.organization, **asked, kind=kind, text=text, undo=undo and dict(undo), at=now, **about)
    return await work.activities.record(row)


def added(table: str, row_id: UUID, *more: UUID) -> dict[str, Any]:
    """How to take back that a row (of settings: or several) was added to *table*, the name of a repository of the unit of work."""
    return {"table": table, "id": str(row_id), "before": None} | ({"more": [str(each) for each in more]} if more else {})


def changed(table: str, row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """How to take back that *row* of *table* was given these values; it is left alone if they have changed again meanwhile."""
    before = {name: _frozen(getattr(row, name)) for name in values}
    return {"table": table, "id": str(row.id), "before": before, "after": {name: _frozen(value) for name, value in values.items()}}


class Journal:
    """Reads the journal, and takes back what it tells of."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def undo(self, person: Person, which: str = "", *, key: str = "") -> str:
        """Take back the last thing, once for *key*; what there is to say about it. Raises StorageUnavailable.

        Where that is something that cannot be taken back, nothing is, unless `which` is "earlier": nobody means what they do not name.
        Or `which` is the id of the message that asked for it, as a button has it: what came of that, and nothing else, however often.
        """
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            if key and (known := await work.activities.find_by_key(key)) is not None:
                return known.text
            latest = [line for line in await work.activities.latest(person.id, limit=RECENT) if line.at > now - UNDOABLE_FOR]
            acts = [line for line in latest if line.kind != UNDO and line.actor in ACTORS and line.undone_at is None]
            last = await work.activities.last_to_undo(person.id, since=now - UNDOABLE_FOR)
            if is_one := _ID.fullmatch(which) is not None:
                acts = [line for line in latest if str(line.source_id) == which.lower() and line.undo]
                last = next((line for line in acts if line.undone_at is None), None)
            if acts and acts[0].undo is None and which.lower() != EARLIER:
                before = f" Before it came this: {last.text}. `/undo {EARLIER}` takes that back." if last is not None else ""
                return f"The last thing cannot be taken back: {acts[0].text}.{before}"
            if last is None or last.undo is None or not await work.activities.mark_undone(last.id, now):
                undone = next((f" The last time it was this. {line.text}" for line in latest if line.kind == UNDO), "")
                if is_one and acts:
                    return f"That was taken back already: {acts[0].text}"
                return NOTHING_TO_UNDO + undone
            is_done = await _take_back(work, last.undo, now)
            why_not = TOO_LATE if last.undo["table"] == "forgettings" else CHANGED_SINCE
            said = f"Taken back: {last.text}" if is_done else why_not.format(text=last.text)
            await record(work, Errand(person=person, key=key or f"undo/{last.id}", why="you asked for it"), UNDO, said, now=now)
        return said

    async def told(self, person: Person, *, limit: int) -> str:
        """The last lines: when, who, what, why, and whether it can be taken back."""
        async with self._database.reading() as work:
            lines = await work.activities.latest(person.id, limit=limit)
        if not lines:
            return "Nothing has been done yet."
        zone, since = ZoneInfo(person.timezone), self._clock.now() - UNDOABLE_FOR
        return "What was done, the last first:\n\n" + "\n".join(_told(line, zone, since) for line in lines)


def _told(line: Activity, zone: ZoneInfo, since: datetime) -> str:
    local, who = line.at.astimezone(zone), {"person": "you", "robbie": "I", "notes": "I"}.get(line.actor, line.actor)
    why = f" ({one_line(line.why)})" if line.why else ""
    can = "; taken back" if line.undone_at is not None else "; can be taken back" if line.undo and line.at > since else ""
    return f"- {local.day} {local:%b, %H:%M}, {who}: {one_line(line.text)}{why}{can}"


async def _take_back(work: UnitOfWork, undo: Mapping[str, Any], now: datetime) -> bool:
    """Whether it could be: a row that has changed again is left as it is."""
    which = UUID(undo["id"])
    if undo["table"] == "settings":
        return any([await work.settings.void(UUID(each), now) for each in (undo["id"], *undo.get("more", ()))])
    if undo["table"] == "forgettings":
        return await work.forgettings.restore(which, now)
    rows: Any = {"tasks": work.tasks, "contacts": work.contacts, "deals": work.deals, "notes": work.notes}[undo["table"]]
    row = await rows.find_by_id(which)
    if row is None:
        return False
    if undo["before"] is None:
        return bool(await rows.remove(which))
    if any(_frozen(getattr(row, name)) != value for name, value in undo["after"].items()):
        return False
    thawed = {name: _thawed(value) for name, value in undo["before"].items()}
    return bool(await rows.change(which, **thawed))


def _frozen(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    return {"id": str(value)} if isinstance(value, UUID) else value


def _thawed(value: Any) -> Any:
    """What `_frozen` was given."""
    match value:
        case {"moment": str(text)}:
            return datetime.fromisoformat(text)
        case {"day": str(text)}:
            return date.fromisoformat(text)
        case {"id": str(text)}:
            return UUID(text)
    return value
