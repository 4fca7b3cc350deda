"""Files that come and go with messages: fetched from their channel after the message was stored, kept in the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import structlog

from bot.domain.errors import RobbieError
from bot.domain.message import Attachment
from bot.domain.ports import Door
from storage.database import Database
from storage.models.messaging import Message, StoredAttachment

log = structlog.get_logger(__name__)

FETCH_SECONDS = 30.0
LARGEST = 25 * 2**20
"""Bytes. What is larger is known by its name alone."""
LONGEST_SAID = 12_000
"""Characters. What is longer goes as a file, below its beginning."""
BEGINNING = 1_500


class Files:
    """The folder of attachments, and the channels that they come from."""

    def __init__(self, *, database: Database, doors: Mapping[str, Door], folder: Path) -> None:
        self._database = database
        self._doors = doors
        self._folder = folder

    async def of(self, message: Message) -> tuple[Attachment, ...]:
        """The files of a message, each fetched unless it was, or cannot be: then it says why. Raises StorageUnavailable."""
        if not (message.details or {}).get("files"):
            return ()
        async with self._database.reading() as work:
            rows = await work.attachments.of(message.id)
            conversation = await work.conversations.find_by_id(message.conversation_id)
        assert conversation is not None
        door = self._doors.get(conversation.channel)
        return tuple([await self._fetched(row, door) for row in rows])

    async def _fetched(self, row: StoredAttachment, door: Door | None) -> Attachment:
        path = Path(row.path) if row.path else None
        known = Attachment(name=row.name, media_type=row.media_type, size=row.size, source=row.source, path=path, trouble=row.trouble)
        if (path and path.exists()) or known.trouble or door is None:
            return known
        if row.size > LARGEST:
            return replace(known, trouble=f"larger than {LARGEST // 2**20} MB")
        path = self._folder / str(row.message_id) / str(row.id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            async with asyncio.timeout(FETCH_SECONDS):
                await door.fetch(known, path)
        except (RobbieError, OSError, TimeoutError) as error:
            log.warning("attachment.not_fetched", attachment=str(row.id), error=str(error) or type(error).__name__)
            return replace(known, path=None, trouble="it could not be fetched")
        async with self._database.unit_of_work() as work:
            await work.attachments.fetched(row.id, path=str(path))
        return replace(known, path=path)

    def outgoing(self, message_id: UUID, text: str) -> tuple[str, tuple[Attachment, ...]]:
        """What is said of a text, and the files that go with it: nobody wants to read a book in a chat."""
        if len(text) <= LONGEST_SAID:
            return text, ()
        path = self._folder / "out" / f"{message_id}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")  # also where it is there: a crash may have cut it
        whole = Attachment(name="answer.md", media_type="text/markdown", size=path.stat().st_size, path=path)
        return f"{_beginning(text)}\n\n*It goes on; the whole of it is in the file.*", (whole,)


def _beginning(text: str) -> str:
    """The first blocks of a long text, with no fence left open."""
    start = text[:BEGINNING].rpartition("\n\n")[0] or text[:BEGINNING]
    return f"{start}\n```" if start.count("```") % 2 else start
