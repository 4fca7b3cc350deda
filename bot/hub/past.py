"""Remembers what was said before there was a memory: once, in pieces, and only what would be remembered today."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bot.domain.memory import place_of
from bot.hub.keeping import remember
from storage.database import Database, UnitOfWork
from storage.models.messaging import Message
from storage.repositories.base import FIRST_ID

CURSOR, DONE = "memory.past", "done"
BATCH = 100
"""Messages that are read, and remembered, in one commit."""


@dataclass(kw_only=True, eq=False)
class Past:
    """A round, until all is remembered; how far it came is kept with what it did, so that any process goes on from there."""

    database: Database
    name: str = field(default="past", init=False)
    _is_done: bool = field(default=False, init=False)

    async def look(self, now: datetime) -> datetime | None:
        """Remember a batch. Raises StorageUnavailable."""
        if self._is_done:
            return None
        async with self.database.unit_of_work() as work:
            at = await work.housekeeping.cursor(CURSOR)
            if at != DONE:
                batch = await work.messages.after(UUID(at) if at else FIRST_ID, limit=BATCH)
                for message in batch:
                    await _remember(work, message)
                at = str(batch[-1].id) if len(batch) == BATCH else DONE
                await work.housekeeping.set_cursor(CURSOR, at)
        self._is_done = at == DONE
        return None if self._is_done else now


async def _remember(work: UnitOfWork, message: Message) -> None:
    """Unless it is remembered already, or was an answer to somebody for whom nobody vouches."""
    user = await work.people.find_user_by_id(message.user_id)
    conversation = await work.conversations.find_by_id(message.conversation_id)
    asked = await work.messages.find_by_id(message.reply_to) if message.reply_to else None
    is_to_stranger = asked is not None and bool((asked.details or {}).get("is_stranger"))
    if user and conversation and not is_to_stranger and not await work.memories.of_messages([message.id]):
        place = place_of(conversation.channel, conversation.key, message.session_type)
        await remember(work, message, user.person, place=place)
