"""Questions about what Robbie keeps for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import delete, insert, select, update

from bot.domain.clock import new_id
from storage.models.memory import StickyNote
from storage.repositories.base import Repository, ours, values_of

_LATEST = (
    select(StickyNote).where(ours(StickyNote), StickyNote.user_id == given("user")).order_by(StickyNote.id.desc()).limit(given("limit"))
)
_BY_ID = select(StickyNote).where(ours(StickyNote), StickyNote.id == given("which"))
_CHANGE = update(StickyNote).where(ours(StickyNote), StickyNote.id == given("which"))
_DELETE = delete(StickyNote).where(ours(StickyNote), StickyNote.id == given("which"))


class StickyNotes(Repository):
    """Things people wanted kept."""

    async def add(self, *, user_id: UUID, text: str, now: datetime, source_id: UUID | None) -> StickyNote:
        """Keep a note."""
        note = StickyNote(organization_id=self._organization, id=new_id(), user_id=user_id, text=text, created_at=now, source_id=source_id)
        await self._insert(insert(StickyNote), **values_of(note))
        return note

    async def latest(self, user_id: UUID, *, limit: int) -> Sequence[StickyNote]:
        """A person's last notes, newest first."""
        return await self._all(StickyNote, _LATEST, user=user_id, limit=limit)

    async def find_by_id(self, which: UUID) -> StickyNote | None:
        """The note of this id, whosever it is."""
        return await self._first(StickyNote, _BY_ID, which=which)

    async def change(self, which: UUID, *, text: str) -> bool:
        """Give a note other words; whether it was there."""
        return await self._changes(_CHANGE, which=which, text=text)

    async def remove(self, which: UUID) -> bool:
        """Delete a note; whether it was there."""
        return await self._changes(_DELETE, which=which)
