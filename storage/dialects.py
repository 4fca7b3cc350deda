"""The few statements that PostgreSQL and SQLite spell differently."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sqlalchemy import BigInteger, Executable, event, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bot.domain.errors import ConfigError
from storage import one_hop

SQLITE_BUSY_SECONDS = 5.0
"""How long another process's lock is waited for."""

_ENTER = text("SELECT set_config('app.org', :organization, true)")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def is_sqlite(url: str) -> bool:
    """Whether *url* names an embedded database."""
    return url.startswith("sqlite")


def insert_or_skip(table: Any, **computed: Any) -> Executable:
    """An insert that leaves a row alone which is there already (SQLite is told in the same words); *computed* columns are expressions."""
    statement = postgresql.insert(table)
    statement = statement.values(**computed) if computed else statement
    return statement.on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def insert_or_replace(table: Any, *changing: str) -> Executable:
    """An insert that gives a row which is there already new values in its *changing* columns."""
    statement = postgresql.insert(table)
    values = {column: statement.excluded[column] for column in changing}
    return statement.on_conflict_do_update(index_elements=inspect(table).primary_key, set_=values)


def make_sqlite_engine(url: str, *, writes: bool, busy_seconds: float = SQLITE_BUSY_SECONDS) -> AsyncEngine:
    """One connection that writes (transactions begin IMMEDIATE, so that a write never fails halfway), or a few that only read."""
    engine = create_async_engine(
        url,
        pool_size=1 if writes else 3,
        max_overflow=0,
        pool_reset_on_return="rollback" if writes else None,
        isolation_level=None if writes else "AUTOCOMMIT",
        skip_autocommit_rollback=not writes,  # the writer looks like AUTOCOMMIT to SQLAlchemy, since it says BEGIN itself
        connect_args={"timeout": busy_seconds, "async_creator_fn": one_hop.connect},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        if writes:
            connection.isolation_level = None
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten with zeros
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.connection.driver_connection.begin_with_next("BEGIN IMMEDIATE")

    return engine


def make_postgres_engine(url: str) -> AsyncEngine:
    """A pool whose connections are tried before use, so that a failover costs a reconnect and not an error. Raises ConfigError."""
    if find_spec("psycopg") is None:
        repair = "`make install`, or pip install 'robbie[postgres]'"
        raise ConfigError("PostgreSQL needs a driver that is not installed", key="database.url", repair=repair)
    return create_async_engine(url, pool_size=8, max_overflow=4, pool_pre_ping=True, pool_timeout=10, connect_args={"connect_timeout": 5})


class NextNumber(FunctionElement[int]):
    """The number of the next memory: of a sequence on PostgreSQL; on SQLite, with its one writer, one more than the last."""

    type = BigInteger()
    inherit_cache = True


@compiles(NextNumber, "postgresql")
def _of_sequence(*_: Any, **__: Any) -> str:
    return "nextval('memories_number')"


@compiles(NextNumber, "sqlite")
def _after_last(*_: Any, **__: Any) -> str:
    return "(SELECT coalesce(max(number), 0) + 1 FROM memories)"


async def enter_organization(connection: AsyncConnection, organization: str) -> None:
    """Tell PostgreSQL's row-level security, for this transaction, whose rows may be seen."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_ENTER, {"organization": organization})


async def lock_until_commit(connection: AsyncConnection, name: str) -> None:
    """Until the commit, nobody else gets past here with the same *name* (SQLite has one writer at a time as it is)."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_LOCK, {"name": name})
