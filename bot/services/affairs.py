"""What tasks, contacts and deals share: an act and its line in the journal are one, done once; and which of them words mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.approvals import make_code
from bot.services.dates import Unclear, When, find_when
from bot.services.journal import added, changed, record
from bot.services.notices import bare_line
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Task
from storage.repositories.affairs import Affairs

Row = TypeVar("Row", Task, Contact, Deal)
Decide = Callable[[Any], tuple[Mapping[str, Any], str]]
"""What a row becomes, and the words for it; where nothing is to be changed, why not."""

LONGEST = 500
"""Characters of a title or name that are kept."""
SHOWN = 120
_CODE = re.compile(r"\s*[A-HJKMNP-Z2-9]{4,6}\s*", re.I)
_WORD = re.compile(r"\w+")
CLOSE = 0.6
"""How alike words and a title must be to be offered."""


class Unsure(ToolFailed):
    """It is not clear which is meant; `nearest` are the code and title of those it may be."""

    def __init__(self, text: str, nearest: Sequence[tuple[str, str]] = ()) -> None:
        self.nearest = nearest
        choices = " or ".join(f"“{title}” (`{code}`)" for code, title in nearest)
        super().__init__(f"{text} Did you mean {choices}?" if choices else text)


class Book(Generic[Row]):
    """The rows of one table, each person's own, and what is done to them."""

    table: str
    noun: str

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def standing(self, person: Person) -> list[Row]:
        """What this person has, without what is done or put away. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            return await self._standing(work, person.id)

    async def find(self, person: Person, words: str, listed: Sequence[str] = ()) -> Row:
        """The row that is meant by its code, its number in what was *listed* last, or words of its title. Raises Unsure."""
        async with self._database.reading() as work:
            row = await self._rows(work).find(person.id, words.strip()) if _CODE.fullmatch(words) else None
            return row or pick(await self._standing(work, person.id), words, listed, noun=self.noun)

    async def remove(self, errand: Errand, code: str) -> str:
        """Put a row away; what was done. Raises ToolFailed, StorageUnavailable."""
        return await self._change(errand, code, "remove", lambda row: ({"archived_at": self._clock.now()}, f"Removed: {title_of(row)}."))

    def local(self, person: Person) -> datetime:
        """The present moment where this person is."""
        return self._clock.now().astimezone(ZoneInfo(person.timezone))

    def when(self, person: Person, words: str) -> When | None:
        """The date in these words, if there is one. Raises ToolFailed where it is not clear, or has passed."""
        now = self.local(person)
        found = find_when(words, now=now)
        if isinstance(found, Unclear):
            raise ToolFailed(found.question)
        if found is not None and found.is_past(now):
            raise ToolFailed(f"That has passed already: {found.spoken(now)}. When shall it be?")
        return found

    def _rows(self, work: UnitOfWork) -> Affairs[Row]:
        rows: Affairs[Row] = getattr(work, self.table)
        return rows

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[Row]:
        rows: Any = await self._rows(work).of(user_id)
        return [row for row in rows if row.archived_at is None]

    async def _add(self, errand: Errand, row: Row, text: str) -> Row:
        """Keep a new row, once for the errand: where that was done before, the row that came of it."""
        about: dict[str, UUID | None] = {f"{self.noun}_id": row.id}
        async with self._database.unit_of_work() as work:
            undo = added(self.table, row.id)
            if await record(work, errand, f"{self.noun}.add", text, now=row.created_at, undo=undo, **about):
                while not await self._rows(work).add(row):
                    row.code = make_code(6)
                return row
            line = await work.activities.find_by_key(errand.key)
            known = line and await self._rows(work).find_by_id(getattr(line, f"{self.noun}_id"))
        return known or row

    async def _change(self, errand: Errand, code: str, verb: str, decide: Decide) -> str:
        """Change a row of the errand's person, once; what was done, also where it had been done before. Raises ToolFailed."""
        async with self._database.unit_of_work() as work:
            row = await self._rows(work).find(errand.person.id, code)
            if row is None:
                raise ToolFailed(f"You have no {self.noun} `{code}`.")
            if (line := await work.activities.find_by_key(errand.key)) is not None:
                return line.text
            decided, text = decide(row)
            values = {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in decided.items()}
            if values:
                about: dict[str, UUID | None] = {f"{self.noun}_id": row.id}
                undo = changed(self.table, row, values)
                await record(work, errand, f"{self.noun}.{verb}", text, now=self._clock.now(), undo=undo, **about)
                await self._rows(work).change(row.id, **values)
            return text


def title_of(row: Any) -> str:
    """What a row is called, in one line without signs of Markdown."""
    return bare_line(row.name if isinstance(row, Contact) else row.title, SHOWN)


def folded(text: str) -> str:
    """Words as they are compared."""
    return " ".join(_WORD.findall(text.casefold()))


def pick(rows: Sequence[Row], words: str, listed: Sequence[str] = (), *, noun: str) -> Row:
    """The one of *rows* that *words* mean. Raises Unsure, with the nearest two, where that is not clear."""
    place = int(words) if words.strip().isdecimal() and len(words) < 5 else 0
    code = listed[place - 1] if 0 < place <= len(listed) else words.strip().upper()
    if by_code := [row for row in rows if row.code == code]:
        return by_code[0]
    wanted = folded(words)
    if not wanted:
        raise Unsure(f"Which {noun}? Name it by some of its words, its code, or its number in the last list.")
    titles = {row.code: folded(title_of(row)) for row in rows}
    exact = [row for row in rows if titles[row.code] == wanted]
    holding = exact or [row for row in rows if set(wanted.split()) <= set(titles[row.code].split())]
    if len(holding) == 1:
        return holding[0]
    likeness = {row.code: difflib.SequenceMatcher(None, wanted, titles[row.code]).ratio() for row in holding or rows}
    near = sorted((row for row in holding or rows if holding or likeness[row.code] > CLOSE), key=lambda row: -likeness[row.code])
    said = bare_line(words, 60)
    told = f"More than one {noun} could be “{said}”." if holding else f"I know no {noun} “{said}”."
    raise Unsure(told, [(row.code, title_of(row)) for row in near[:2]])
