"""What is left in files of what was deleted, and how it goes from there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.models.base import Base

log = structlog.get_logger(__name__)

MERGED_PAGES = 200
"""Pages of the words' index that are written in one act."""
LOG_SECONDS = 5.0
"""How long readers are waited for, who may still need the log."""
_MERGE = text("INSERT INTO memory_words(memory_words, rank) VALUES ('merge', :pages)")
_CHANGES = text("SELECT total_changes()")


async def merge_words(connection: AsyncConnection, pages: int) -> bool:
    """Merge some of the index (SQLite); whether there may be more to merge: fewer than two changes mean that there is not."""
    before = await connection.scalar(_CHANGES)
    await connection.execute(_MERGE, {"pages": pages})
    return int(await connection.scalar(_CHANGES)) - int(before) >= 2


def empty_log(file: Path) -> None:
    """Bring all that the log of a SQLite file holds into it, and cut the log to nothing. Raises sqlite3.Error."""
    with closing(sqlite3.connect(file, timeout=LOG_SECONDS)) as connection:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise sqlite3.OperationalError("the log is still being read")


async def vacuum(engine: AsyncEngine) -> None:
    """Have a server give back the room of deleted rows; one that does not let us is told in the log alone."""
    try:
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.execute(text(f"VACUUM {', '.join([*Base.metadata.tables, 'memory_words'])}"))
    except DBAPIError as error:
        log.warning("vacuum.not_made", error=type(error).__name__)
