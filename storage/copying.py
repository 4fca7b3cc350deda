"""Copies everything from one database into another, for moving from SQLite to PostgreSQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import Conflict
from storage.database import Database, storage_errors
from storage.dialects import enter_organization
from storage.models import housekeeping, memory, messaging, models, operations, people
from storage.models.base import Base
from storage.schema import Progress

FAMILIES = (people, messaging, memory, models, operations, housekeeping)
BATCH = 500


async def copy_everything(source: Database, target: Database, progress: Progress = lambda done, total: None) -> int:
    """Copy the organization's rows in one transaction; how many there were. Raises Conflict where the target holds some, StorageError."""
    tables = Base.metadata.sorted_tables
    async with storage_errors(), source.engine.connect() as here, target.engine.begin() as there:
        await enter_organization(here, source.organization)
        await enter_organization(there, target.organization)
        if any([await _count(there, table, target.organization) for table in tables]):
            raise Conflict("the target already holds data; copy into an empty database")
        total = sum([await _count(here, table, source.organization) for table in tables])
        done = 0
        for table in tables:
            rows = await here.stream(select(table).where(_own(table, source.organization)))
            async for batch in rows.mappings().partitions(BATCH):
                await there.execute(insert(table), [dict(row) for row in batch])
                done += len(batch)
                progress(done, total)
    return done


def _own(table: Table, organization: str) -> ColumnElement[bool]:
    column = table.c.id if table.name == "organizations" else table.c.organization_id
    return column == organization


async def _count(connection: AsyncConnection, table: Table, organization: str) -> int:
    return await connection.scalar(select(func.count()).select_from(table).where(_own(table, organization))) or 0
