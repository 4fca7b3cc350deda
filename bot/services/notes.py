"""Sticky notes: a person's own words, kept until they are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import folded
from bot.services.journal import added, record
from bot.services.notices import bare_line
from storage.database import Database
from storage.models.memory import StickyNote

MOST = 1000
"""Notes that are looked through, the newest first."""


class Notes:
    """Keeps notes."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def keep(self, errand: Errand, text: str) -> str:
        """Keep *text*, once for the errand; what was done. Raises ToolFailed, StorageUnavailable."""
        if not text.strip():
            raise ToolFailed("What shall I note? Write it after the word: `/note Dana likes tulips`.")
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            if await work.activities.find_by_key(errand.key) is None:
                note = await work.notes.add(user_id=errand.person.id, text=text, now=now, source_id=errand.source_id)
                await record(work, errand, "note.add", f"Noted: {_short(note)}", now=now, undo=added("notes", note.id))
        return "Noted. `/notes` shows what you keep."

    async def find(self, person: Person, words: str = "") -> Sequence[StickyNote]:
        """A person's notes that hold all these words, newest first."""
        async with self._database.reading() as work:
            notes = await work.notes.latest(person.id, limit=MOST)
        wanted = set(folded(words).split())
        return [note for note in notes if wanted <= set(folded(note.text).split())]

    async def remove(self, errand: Errand, words: str) -> str:
        """Throw a note away: the so-manieth in the list, or the one with these words. Raises ToolFailed where it is not clear which."""
        async with self._database.unit_of_work() as work:
            if (line := await work.activities.find_by_key(errand.key)) is not None:
                return line.text
            notes = await work.notes.latest(errand.person.id, limit=MOST)
            wanted, place = set(folded(words).split()), int(words) if words.isdecimal() and len(words) < 5 else 0
            found = notes[place - 1 : place] if place else [note for note in notes if wanted and wanted <= set(folded(note.text).split())]
            if len(found) != 1:
                told = " or ".join(f"“{_short(note)}”" for note in found[:2])
                raise ToolFailed(f"Which note do you mean: {told}?" if found else "Which note? `/note remove 2`, or some words of it.")
            text = f"Removed the note: {_short(found[0])}"
            await record(work, errand, "note.remove", text, now=self._clock.now())
            await work.notes.remove(found[0].id)
            return text


def _short(note: StickyNote) -> str:
    return bare_line(note.text, 120)
