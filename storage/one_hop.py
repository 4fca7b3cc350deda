"""aiosqlite with one trip to its thread per statement, where it makes four (open a cursor, execute, fetch, close).

A durable turn is a dozen statements and a trip costs more than most of them: ten statements in one transaction
took 2.6 ms of processor time this way and 6.0 ms the other.
"""

# ruff: noqa: SLF001 (it is built on the insides of aiosqlite)

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

import aiosqlite
from aiosqlite.core import _STOP_RUNNING_SENTINEL

SWITCH_SECONDS = 0.0005
"""How long a busy event loop may keep the interpreter from SQLite's thread, which has nothing to do but to hand over a result.

Python's own 5 ms would be waited out at every trip: with fifty conversations at once this makes a fifth more turns a second.
"""


class OneHopCursor(aiosqlite.Cursor):
    """A cursor that opens, executes and fetches all rows in one go; results here are small by design."""

    iter_chunk_size = 64

    def __init__(self, connection: OneHopConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> Self:
        """Run one statement and keep its rows."""
        self._cursor, self._rows = await self._hop(self._run, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> Self:
        """Run one statement with each of these parameters."""
        self._cursor = await self._hop(self._run_many, sql, parameters)
        return self

    async def fetchall(self) -> Iterable[sqlite3.Row]:
        """The rows of the statement which were not fetched yet."""
        return await self.fetchmany(len(self._rows))

    async def fetchmany(self, size: int | None = None) -> Iterable[sqlite3.Row]:
        """The next rows."""
        rows, self._rows = self._rows[: size or 1], self._rows[size or 1 :]
        return rows

    async def fetchone(self) -> sqlite3.Row | None:
        """The next row."""
        return next(iter(await self.fetchmany(1)), None)

    async def close(self) -> None:
        """Nothing is left open: the statement was read to its end."""

    async def _hop(self, run: Callable[..., Any], *what: Any) -> Any:
        """Inside of a transaction without a trip."""
        return run(*what) if self._connection.is_inside else await self._connection._execute(run, *what)  # type: ignore[no-untyped-call]

    def _run(self, sql: str, parameters: Iterable[Any] | None) -> tuple[sqlite3.Cursor, list[Any]]:
        cursor = self._connection.begun().execute(sql, tuple(parameters or ()))
        return cursor, cursor.fetchall() if cursor.description else []

    def _run_many(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        return self._connection.begun().executemany(sql, parameters)


class OneHopConnection(aiosqlite.Connection):
    """A connection whose cursors make one trip per statement; a transaction is two: one to begin with its first, one to commit."""

    def __init__(self, open_file: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(self._open, iter_chunk_size=64)
        self._thread.daemon = True
        self._open_file = open_file
        self._opened: sqlite3.Connection | None = None
        self._to_begin: str | None = None
        self._is_open = False

    def cursor(self) -> OneHopCursor:  # type: ignore[override]
        """A cursor, at no cost."""
        return OneHopCursor(self)

    def begin_with_next(self, sql: str) -> None:
        """Run *sql* before the next statement; should it fail, that statement does not run, and neither does any later one without it."""
        self._to_begin, self._is_open = sql, True

    def begun(self) -> sqlite3.Connection:
        """The connection, inside the transaction that was to begin. Raises OperationalError where SQLite has given it up (a full disk)."""
        connection: sqlite3.Connection = self._conn
        if self._to_begin is not None:
            connection.execute(self._to_begin)
            self._to_begin = None
        elif self._is_open and not connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was undone")
        return connection

    @property
    def has_begun(self) -> bool:
        """Whether a transaction has begun and not ended for whoever asked for it, even if SQLite has given it up by now."""
        return self._is_open and self._to_begin is None

    @property
    def is_inside(self) -> bool:
        """Whether a transaction has begun: its lock is held and its pages are at hand, so that a small statement waits for nothing."""
        return self._to_begin is None and self._conn.in_transaction

    def mark(self) -> None:
        """Remember this point of a transaction, to `undo` what comes after it or to `unmark` it."""
        self._inside("SAVEPOINT part")

    def unmark(self) -> None:
        """Forget the point that was marked last."""
        self._inside("RELEASE part")

    def undo(self) -> None:
        """Go back to the point that was marked last."""
        self._inside("ROLLBACK TO part")
        self.unmark()

    async def commit(self) -> None:
        """Keep what was written. Raises OperationalError."""
        if self._to_begin is None:
            self.begun()
            await super().commit()
        self._to_begin, self._is_open = None, False

    async def rollback(self) -> None:
        """Forget what was written, also by a statement that is still under way for someone who was cancelled; after a commit nothing is."""
        if self._is_open:
            await self._execute(self._roll_back)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Close the file and end the thread, once it has done what it was given. Nobody waits for that: their loop may have ended."""
        self._running = False
        self._tx.put_nowait((None, self._close_and_stop))

    def _open(self) -> sqlite3.Connection:
        self._opened = self._open_file()
        return self._opened

    def _inside(self, sql: str) -> None:
        if self.is_inside:
            try:
                self._conn.execute(sql)
            except sqlite3.Error:
                self._conn.rollback()  # whose changes are whose can no longer be told: the commit tells everyone
                raise

    def _roll_back(self) -> None:
        self._to_begin, self._is_open = None, False
        self._conn.rollback()

    def _close_and_stop(self) -> object:
        if self._opened is not None:
            self._opened.close()
        return _STOP_RUNNING_SENTINEL


def connect(database: str, **options: Any) -> OneHopConnection:
    """Open *database* as `aiosqlite.connect` does; awaited by SQLAlchemy."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return OneHopConnection(partial(sqlite3.connect, database, **options))
