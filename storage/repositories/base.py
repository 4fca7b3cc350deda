"""What every repository has: a connection inside a transaction, its organization, and a few ways to ask.

A statement is built once, as a module's constant, and what varies in it is `given` when it is asked: building one costs several
times what running it does. Columns that an insert or update sets are given by their names; what a condition compares with is given
by a name that is no column's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Executable, Row, delete, inspect, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from storage.models.base import Base

T = TypeVar("T")
Table = TypeVar("Table", bound=Base)
Other = TypeVar("Other", bound=Base)

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Ids before and after all others."""


CLOCK_SKEW = timedelta(minutes=5)


def first_id_at(moment: datetime) -> UUID:
    """An id before all that were made from *moment* on, also by a clock that is somewhat behind: ids are UUIDv7, and found by an index."""
    return UUID(int=int((moment - CLOCK_SKEW).timestamp() * 1000) << 80)


def ours(table: Any) -> ColumnElement[bool]:
    """The condition that a row belongs to the organization; every statement has it, and every repository gives it its value."""
    condition: ColumnElement[bool] = table.organization_id == given("organization")
    return condition


def due(table: Any) -> ColumnElement[bool]:
    """The condition that a row's next attempt need not be waited for at the moment `now`."""
    return or_(table.next_attempt_at.is_(None), table.next_attempt_at <= given("now"))


def values_of(row: Base) -> dict[str, Any]:
    """A row as an insert wants it."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Who takes a row, when, and until when it is theirs unless renewed."""

    owner: str
    now: datetime
    until: datetime


class Repository:
    """Questions asked of one family of tables, inside the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection, organization: str) -> None:
        self._connection = connection
        self._organization = organization

    async def _execute(self, statement: Executable, **values: Any) -> CursorResult[*tuple[Any, ...]]:
        return await self._connection.execute(statement, {"organization": self._organization, **values})

    async def _insert(self, statement: Executable, **values: Any) -> bool:
        """Add a row with these values; whether an `insert_or_skip` did."""
        return bool((await self._connection.execute(statement, {"organization_id": self._organization, **values})).rowcount)

    async def _insert_all(self, statement: Executable, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows with these values, all in one go."""
        if rows:
            await self._connection.execute(statement, [{"organization_id": self._organization, **row} for row in rows])

    async def _changes(self, statement: Executable, **values: Any) -> bool:
        """Whether *statement* changed any row."""
        return bool((await self._execute(statement, **values)).rowcount)

    async def _all(self, table: type[Table], statement: TypedReturnsRows[Table], **values: Any) -> list[Table]:
        return [make(table, row) for row in await self._execute(statement, **values)]

    async def _first(self, table: type[Table], statement: TypedReturnsRows[Table], **values: Any) -> Table | None:
        row = (await self._execute(statement, **values)).first()
        return None if row is None else make(table, row)

    async def _values(self, statement: TypedReturnsRows[T], **values: Any) -> Sequence[T]:
        return (await self._execute(statement, **values)).scalars().all()

    async def _value(self, statement: TypedReturnsRows[T], **values: Any) -> T | None:
        return (await self._execute(statement, **values)).scalar()


class Rows(Repository, Generic[Table]):
    """Rows of a `table` that are known by their ids and belong to a person."""

    table: type[Table]
    _by_id: Any
    _every: Any
    _latest: Any
    _change: Executable
    _remove: Executable

    def __init_subclass__(cls) -> None:
        """Each table's statements are built once."""
        table: Any = cls.__dict__.get("table")
        if table is not None:
            cls._by_id = select(table).where(ours(table), table.id == given("which"))
            cls._every = select(table).where(ours(table)).order_by(table.id)
            cls._latest = select(table).where(ours(table), table.user_id == given("user")).order_by(table.id.desc()).limit(given("limit"))
            cls._change = update(table).where(ours(table), table.id == given("which"))
            cls._remove = delete(table).where(ours(table), table.id == given("which"))

    async def find_by_id(self, which: UUID) -> Table | None:
        """The row of this id, whosever it is."""
        return await self._first(self.table, self._by_id, which=which)

    async def all(self) -> list[Table]:
        """Everybody's, in whatever state, oldest first."""
        return await self._all(self.table, self._every)

    async def latest(self, user_id: UUID, *, limit: int) -> list[Table]:
        """A person's last rows, newest first."""
        return await self._all(self.table, self._latest, user=user_id, limit=limit)


class Changing(Rows[Table]):
    """Rows that may be given other values, or be thrown away, whatever they say."""

    async def change(self, which: UUID, **values: Any) -> bool:
        """Give a row these values; whether it is there."""
        return await self._changes(self._change, which=which, **values)

    async def remove(self, which: UUID) -> bool:
        """Delete a row; whether it was there."""
        return await self._changes(self._remove, which=which)


def make(table: type[Table], columns: Sequence[Any]) -> Table:
    """The row of a table whose columns these are, made as the ORM itself does: calling the class would cost three times as much."""
    names, new_instance = _made_of(table)
    row: Table = new_instance()
    row.__dict__.update(zip(names, columns, strict=False))
    return row


@cache
def _made_of(table: type[Base]) -> tuple[tuple[str, ...], Callable[[], Any]]:
    return tuple(table.__table__.columns.keys()), inspect(table).class_manager.new_instance


def split(row: Row[*tuple[Any, ...]], first: type[Table], second: type[Other]) -> tuple[Table, Other]:
    """The two tables' rows out of a row that begins with the columns of both."""
    return make(first, row), make(second, row[len(first.__table__.columns) :])
