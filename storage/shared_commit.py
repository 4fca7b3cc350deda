"""Units of work that wait for one another on SQLite share a transaction and its commit.

SQLite lets one write at a time. With fifty conversations at once, beginning and committing for each unit alone costs more than what
the units do. So whoever stands in line when a unit is through joins its transaction: each is told that it is kept after the one
commit, and where one fails only its own changes are undone. A unit that is alone commits alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.one_hop import OneHopConnection


@dataclass(kw_only=True, slots=True)
class _Shared:
    """A transaction; `kept` is its commit, which comes as soon as those in line are through."""

    connection: AsyncConnection
    file: OneHopConnection
    kept: asyncio.Task[None] | None = None


class SharedCommit:
    """The writers of one SQLite file, one after the other, those in line under one commit."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._line = asyncio.Lock()  # first come, first served: a commit waits for those who came before it
        self._open: _Shared | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncConnection]:
        """A transaction as if for oneself: on leaving, all of it is kept or none."""
        async with self._line:
            shared = self._open = self._open or await self._connect()
            if shared.kept is not None:
                shared.file.mark()
            try:
                yield shared.connection
            except BaseException:
                await asyncio.shield(asyncio.create_task(self._undo(shared)))
                raise
            if shared.kept is None:
                shared.kept = asyncio.create_task(self._commit(shared))
            else:
                shared.file.unmark()
        await asyncio.shield(shared.kept)

    async def _connect(self) -> _Shared:
        connection = await self._engine.connect()
        raw = await connection.get_raw_connection()
        return _Shared(connection=connection, file=cast("OneHopConnection", raw.driver_connection))

    async def _undo(self, shared: _Shared) -> None:
        """Undo what one unit did."""
        if shared.kept is None:
            self._open = None
            await shared.connection.close()
        else:
            shared.file.undo()

    async def _commit(self, shared: _Shared) -> None:
        async with self._line:
            self._open = None
            try:
                await shared.connection.commit()
            except BaseException:
                await shared.connection.rollback()
                raise
            finally:
                await shared.connection.close()
