"""Sticky notes: a person's own words, kept until they are wanted."""

from __future__ import annotations

from uuid import UUID

from bot.domain.clock import Clock
from storage.database import Database


class Notes:
    """Keeps notes."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def keep(self, *, person_id: UUID, text: str, source_id: UUID) -> None:
        """Keep *text*, once for the message it came with, however often that is handled. Raises StorageUnavailable."""
        async with self._database.unit_of_work() as work:
            if await work.notes.find_by_source(source_id) is None:
                await work.notes.add(user_id=person_id, text=text, now=self._clock.now(), source_id=source_id)
