"""Questions about what Robbie keeps for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from bot.domain.clock import new_id
from storage.models.memory import StickyNote
from storage.repositories.base import Repository


class StickyNotes(Repository):
    """Things people wanted kept."""

    async def add(self, *, user_id: UUID, text: str, now: datetime, source_id: UUID | None) -> StickyNote:
        """Keep a note."""
        note = StickyNote(organization_id=self._organization, id=new_id(), user_id=user_id, text=text, created_at=now, source_id=source_id)
        self._session.add(note)
        await self._session.flush()
        return note

    async def latest(self, user_id: UUID, *, limit: int) -> Sequence[StickyNote]:
        """A person's last notes, newest first."""
        mine = (StickyNote.organization_id == self._organization, StickyNote.user_id == user_id)
        return (await self._session.scalars(select(StickyNote).where(*mine).order_by(StickyNote.id.desc()).limit(limit))).all()

    async def find_by_source(self, source_id: UUID) -> StickyNote | None:
        """The note that came with this message."""
        mine = (StickyNote.organization_id == self._organization, StickyNote.source_id == source_id)
        return (await self._session.scalars(select(StickyNote).where(*mine))).first()
