"""What tasks, contacts, deals and notes share: an act and its line in the journal are one, done once; and which of them words mean."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.approvals import make_code
from bot.services.dates import Unclear, When, find_when, without
from bot.services.journal import added, changed, record
from bot.services.notices import bare_line
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Task
from storage.models.memory import StickyNote

Row = TypeVar("Row", Task, Contact, Deal, StickyNote)
Decide = Callable[[Any], tuple[Mapping[str, Any], str]]
"""What a row becomes, and the words for it; where nothing is to be changed, why not."""

LONGEST = 500
"""Characters of a title or name that are kept."""
SHOWN = 120
CLOSE = 0.6
"""How alike words and a title must be to be offered."""
_CODE = re.compile(r"\s*[A-HJKMNP-Z2-9]{4,6}\s*", re.I)


class Unsure(ToolFailed):
    """It is not clear which is meant; `nearest` are the handle and title of those it may be."""

    def __init__(self, text: str, nearest: Sequence[tuple[str, str]] = ()) -> None:
        self.nearest = nearest
        choices = " or ".join(f"“{title}” (`{handle}`)" for handle, title in nearest)
        super().__init__(f"{text} Did you mean {choices}?" if choices else text)


class Book(ABC, Generic[Row]):
    """The rows of one table, each person's own. `verbs` are what can be done with one: methods of errand, row and words.

    They say what was done, also where it had been done before for the same errand. They raise ToolFailed and StorageUnavailable.
    """

    table: ClassVar[str]
    noun: ClassVar[str]
    verbs: ClassVar[tuple[str, ...]] = ("edit", "remove")

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @abstractmethod
    async def take(self, errand: Errand, words: str) -> tuple[Row, str]:
        """Keep what these words say, or bring what they name up to date; what was done."""

    @abstractmethod
    def line(self, row: Row, now: datetime) -> str:
        """A row in one line; *now* is in its person's zone."""

    async def standing(self, person: Person) -> list[Row]:
        """What this person has, without what is done or put away. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            return await self._standing(work, person.id)

    async def find(self, person: Person, words: str, listed: Sequence[str] = ()) -> Row:
        """The row that is meant by its code, its number in what was *listed* last, or words of its title. Raises Unsure."""
        async with self._database.reading() as work:
            rows = getattr(work, self.table)
            known: Row | None = await rows.find(person.id, words.strip()) if hasattr(rows, "find") and _CODE.fullmatch(words) else None
            return known or pick(await self._standing(work, person.id), words, listed, noun=self.noun)

    async def remove(self, errand: Errand, row: Row, words: str = "") -> str:
        """Put a row away."""
        return await self._change(errand, row, "remove", lambda row: ({"archived_at": self._clock.now()}, f"Removed: {title_of(row)}."))

    def local(self, person: Person) -> datetime:
        """The present moment where this person is."""
        return self._clock.now().astimezone(ZoneInfo(person.timezone))

    def when(self, person: Person, words: str) -> tuple[When | None, str]:
        """The date in these words, and the words without it. Raises ToolFailed where it is not clear, or has passed."""
        now = self.local(person)
        found = find_when(words, now=now)
        if isinstance(found, Unclear):
            raise ToolFailed(found.question)
        if found is not None and found.is_past(now):
            raise ToolFailed(f"That has passed already: {found.spoken(now)}. When shall it be?")
        return found, without(words, found) if found else words

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[Row]:
        return [row for row in await getattr(work, self.table).of(user_id) if row.archived_at is None]

    def _new(self, errand: Errand) -> dict[str, Any]:
        """What every new row begins with."""
        whose = {"organization_id": self._database.organization, "user_id": errand.person.id}
        return {"id": new_id(), "code": make_code(4), "created_at": self._clock.now(), **whose}

    async def _add(self, errand: Errand, row: Any, text: str) -> Row:
        """Keep a new row, once for the errand: where that was done before, the row that came of it."""
        async with self._database.unit_of_work() as work:
            about, rows = {f"{self.noun}_id": row.id}, getattr(work, self.table)
            if await record(work, errand, f"{self.noun}.add", text, now=row.created_at, undo=added(self.table, row.id), **about):
                while not await rows.add(row):
                    row.code = make_code(6)
                return row  # type: ignore[no-any-return]
            line = await work.activities.find_by_key(errand.key)
            known: Row | None = await rows.find_by_id(UUID(line.undo["id"])) if line and line.undo else None
        return known or row

    async def _change(self, errand: Errand, row: Row, verb: str, decide: Decide) -> str:
        """Change a row of the errand's person, as it stands now."""
        async with self._database.unit_of_work() as work:
            rows: Any = getattr(work, self.table)
            found = await rows.find_by_id(row.id)
            if found is None or found.user_id != errand.person.id:
                raise ToolFailed(f"That {self.noun} is no more.")
            if (line := await work.activities.find_by_key(errand.key)) is not None:
                return line.text
            decided, text = decide(found)
            values = {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in decided.items()}
            if values:
                about: dict[str, UUID | None] = {} if self.noun == "note" else {f"{self.noun}_id": row.id}
                undo = changed(self.table, found, values)
                await record(work, errand, f"{self.noun}.{verb}", text, now=self._clock.now(), undo=undo, **about)
                await rows.change(row.id, **values)
            return text


def title_of(row: Any) -> str:
    """What a row is called, in one line without signs of Markdown."""
    return bare_line(_title(row), SHOWN)


def _title(row: Any) -> str:
    return str(next(getattr(row, name) for name in ("title", "name", "text") if hasattr(row, name)))


def folded(text: str) -> str:
    """Words as they are compared."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def holds(text: str, words: str) -> bool:
    """Whether a text has all of these words."""
    return set(folded(words).split()) <= set(folded(text).split())


def line_of(text: str) -> str:
    """Words in one line, without what is left over at its ends."""
    return " ".join(text.split()).strip(" ,;:-")[:LONGEST]


def pick(rows: Sequence[Row], words: str, listed: Sequence[str] = (), *, noun: str) -> Row:
    """The one of *rows* that *words* mean. Raises Unsure, with the nearest two, where that is not clear."""
    handles: dict[str, Row] = {getattr(row, "code", str(place)): row for place, row in enumerate(rows, start=1)}
    place = int(words) if words.strip().isdecimal() and len(words) < 5 else 0
    if listed and place > len(listed):
        raise Unsure(f"The last list ends with {len(listed)}.")
    handle = listed[place - 1] if 0 < place <= len(listed) else words.strip().upper()
    if handle in handles:
        return handles[handle]
    wanted = folded(words)
    if not wanted:
        raise Unsure(f"Which {noun}? Name it by some of its words, its code, or its number in the last list.")
    titles = {handle: folded(_title(row)) for handle, row in handles.items()}
    exact = [handle for handle, title in titles.items() if title == wanted]
    wants = set(wanted.split())
    holding = exact or [handle for handle, title in titles.items() if wants <= set(title.split())]
    if len(holding) == 1:
        return handles[holding[0]]
    likeness = {handle: difflib.SequenceMatcher(None, wanted, titles[handle]).ratio() for handle in holding or titles}
    close = [handle for handle in likeness if holding or f" {wanted}" in f" {titles[handle]}" or likeness[handle] > CLOSE]
    near = sorted(close, key=lambda handle: -likeness[handle])
    told = f"More than one {noun} could be “{{}}”." if holding else f"I know no {noun} “{{}}”."
    raise Unsure(told.format(bare_line(words, 60)), [(handle, title_of(handles[handle])) for handle in near[:2]])
