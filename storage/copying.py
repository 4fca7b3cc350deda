"""Copies everything from one database into another, for moving from SQLite to PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, func, insert, literal, select, tuple_, update

from bot.domain.errors import Conflict
from storage.database import Database, UnitOfWork
from storage.dialects import NextNumber
from storage.models.base import Base
from storage.models.memory import Memory, unpack
from storage.schema import Progress

BATCH = 500
_PACK = update(Memory).where(Memory.id == bindparam("which"))


async def copy_everything(source: Database, target: Database, progress: Progress = lambda done, total: None) -> int:
    """Copy the organization's rows in one transaction; how many there were. Raises Conflict where the target holds some, StorageError.

    What is read is one moment's state: a copy made beside a running hub lacks what comes later, and is whole.
    """
    async with source.snapshot() as here:
        total = sum([await _count(here, table) for table in Base.metadata.sorted_tables])  # locked, or refused, before the target is
        async with target.unit_of_work(is_long=True) as there:
            if any([await _count(there, table) for table in Base.metadata.sorted_tables]):
                raise Conflict("the target already holds data; copy into an empty database")
            done = 0
            for table in Base.metadata.sorted_tables:
                # a memory gets the next number of its new place
                statement = insert(table).values(number=NextNumber()) if table.name == "memories" else insert(table)
                async for rows in _batches(here, table):
                    await there.connection.execute(statement, [_unpacked(row) for row in rows])
                    if packed := [{name: row[name] for name in ("id", "said", "packed")} for row in rows if row.get("packed")]:
                        await there.connection.execute(_PACK, [{"which": row.pop("id"), **row} for row in packed])
                    done += len(rows)
                    progress(done, total)
    return done


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it was before it was packed: the index of words learns from an insert."""
    return {**row, "said": unpack(row["packed"]), "packed": None} if row.get("packed") else row


async def _batches(work: UnitOfWork, table: Table) -> AsyncIterator[list[dict[str, Any]]]:
    """All rows of the organization, in the order of their keys."""
    key = list(table.primary_key.columns)
    query = select(table).where(_own(table, work)).order_by(*key).limit(BATCH)
    rows = (await work.connection.execute(query)).mappings().all()
    while rows:
        yield [{name: value for name, value in row.items() if name != "number"} for row in rows]
        last = tuple_(*(literal(rows[-1][column.key], column.type) for column in key))
        rows = (await work.connection.execute(query.where(tuple_(*key) > last))).mappings().all()


def _own(table: Table, work: UnitOfWork) -> ColumnElement[bool]:
    column = table.c.id if table.name == "organizations" else table.c.organization_id
    return column == work.organization


async def _count(work: UnitOfWork, table: Table) -> int:
    return await work.connection.scalar(select(func.count()).select_from(table).where(_own(table, work))) or 0
