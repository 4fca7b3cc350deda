"""Brings a database to the shape this code expects, and refuses one that a newer Robbie made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import SchemaMismatch
from storage.database import Database
from storage.dialects import lock_until_commit
from storage.models.base import Base

MIGRATIONS = Path(__file__).parent / "migrations"

Progress = Callable[[int, int], None]
"""Called with the migrations done and those to do in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaStatus:
    """Where a database stands: `current` is its revision (None when empty), `pending` what the code has beyond it."""

    current: str | None
    pending: tuple[str, ...]
    is_newer: bool

    @property
    def is_ready(self) -> bool:
        """Whether this code can work with it as it is."""
        return not self.pending and not self.is_newer


def revisions() -> tuple[str, ...]:
    """Every migration the code knows, in order; a file's name begins with its number, which is its revision."""
    return tuple(sorted(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")))


async def schema_status(database: Database) -> SchemaStatus:
    """Where *database* stands. Raises StorageUnavailable."""
    async with database.reading() as work:
        return await _status(work.connection)


async def upgrade(database: Database, progress: Progress = lambda done, total: None) -> SchemaStatus:
    """Bring *database* to the present shape, all of it in one transaction. Raises SchemaMismatch, StorageUnavailable."""
    status = await schema_status(database)
    if status.is_newer:
        raise SchemaMismatch(f"the database is at revision {status.current}, made by a newer Robbie (this one knows {revisions()[-1]})")
    if status.is_ready:
        return status
    async with database.unit_of_work(is_long=True) as work:
        await lock_until_commit(work.connection, "schema")
        status = await _status(work.connection)  # another process may have been quicker
        if status.pending:
            await work.connection.run_sync(_upgrade, status.pending, progress)
        return await _status(work.connection)


async def _status(connection: AsyncConnection) -> SchemaStatus:
    known = revisions()
    tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    current = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() if "alembic_version" in tables else None
    if current is None and (strange := sorted(set(tables) & set(Base.metadata.tables))):
        raise SchemaMismatch(f"the database holds tables of another program ({', '.join(strange)}): choose another one for Robbie")
    is_newer = current is not None and current not in known
    pending = () if is_newer else tuple(revision for revision in known if current is None or revision > current)
    return SchemaStatus(current=current, pending=pending, is_newer=is_newer)


def _upgrade(connection: Connection, pending: tuple[str, ...], progress: Progress) -> None:
    from alembic import command  # ten megabytes that a database which is up to date never needs
    from alembic.config import Config

    done = 0
    progress(done, len(pending))

    def applied(**_: object) -> None:
        nonlocal done
        done += 1
        progress(done, len(pending))

    config = Config(attributes={"connection": connection, "applied": applied})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
