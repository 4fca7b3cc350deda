"""Sticky notes: a person's own words, kept until they are wanted."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import Book, title_of
from bot.services.journal import added, record
from storage.database import UnitOfWork
from storage.models.memory import StickyNote

MOST = 10_000
"""Notes that are looked through, the newest first; by that number in their list they are named."""


class Notes(Book[StickyNote]):
    """The notes of each person."""

    table, noun = "notes", "note"

    async def take(self, errand: Errand, words: str) -> tuple[StickyNote, str]:
        """Keep these words, once for the errand. Raises ToolFailed where there are none."""
        if not words.strip():
            raise ToolFailed("What shall I note? Write it after the word: `/note Dana likes tulips`.")
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            line = await work.activities.find_by_key(errand.key)
            known = await work.notes.find_by_id(UUID(line.undo["id"])) if line and line.undo else None
            note = known or await work.notes.add(user_id=errand.person.id, text=words, now=now, source_id=errand.source_id)
            await record(work, errand, "note.add", f"Noted: {title_of(note)}", now=now, undo=added("notes", note.id))
        return note, "Noted. `/notes` shows what you keep."

    def line(self, row: StickyNote, now: datetime) -> str:
        """A note in its own words."""
        return row.text

    async def edit(self, errand: Errand, row: StickyNote, words: str) -> str:
        """Give a note other words."""
        if not words.strip():
            raise ToolFailed("What shall it become? For example `/note edit 1 Dana likes roses`.")
        return await self._change(errand, row, "edit", lambda row: ({"text": words}, f"Changed: {words}"))

    async def remove(self, errand: Errand, row: StickyNote, words: str = "") -> str:
        """Throw a note away, for good."""
        text = f"Removed the note: {title_of(row)}"
        async with self._database.unit_of_work() as work:
            if row.user_id == errand.person.id and await record(work, errand, "note.remove", text, now=self._clock.now()):
                await work.notes.remove(row.id)
        return text

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[StickyNote]:
        return list(await work.notes.latest(user_id, limit=MOST))
