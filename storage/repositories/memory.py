"""Questions about what Robbie keeps for people."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert

from bot.domain.clock import new_id
from storage.models.memory import StickyNote
from storage.repositories.base import Changing, values_of


class StickyNotes(Changing[StickyNote]):
    """Things people wanted kept."""

    table = StickyNote

    async def add(self, *, user_id: UUID, text: str, now: datetime, source_id: UUID | None) -> StickyNote:
        """Keep a note."""
        note = StickyNote(organization_id=self._organization, id=new_id(), user_id=user_id, text=text, created_at=now, source_id=source_id)
        await self._insert(insert(StickyNote), **values_of(note))
        return note
