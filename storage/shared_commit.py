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
    raw: OneHopConnection
    kept: asyncio.Task[None] | None = None


class SharedCommit:
    """The writers of one SQLite file, one after the other, those in line under one commit."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._line = asyncio.Lock()  # first come, first served: a commit waits for those who came before it
        self._shared: _Shared | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncConnection]:
        """A transaction as if for oneself: on leaving, all of it is kept or none."""
        async with self._line:
            shared = self._shared = self._shared or await self._connect()
            part = self._join(shared) if shared.kept else self._open(shared)
            async with part:
                yield shared.connection
        if shared.kept:
            await asyncio.shield(shared.kept)

    @asynccontextmanager
    async def _open(self, shared: _Shared) -> AsyncIterator[None]:
        """The first unit of a transaction: with it, all is undone."""
        try:
            yield
        except BaseException:
            await asyncio.shield(asyncio.create_task(self._drop(shared)))
            raise
        if shared.raw.has_begun:
            shared.kept = asyncio.create_task(self._commit(shared))
        else:
            await self._drop(shared)  # it asked nothing

    @asynccontextmanager
    async def _join(self, shared: _Shared) -> AsyncIterator[None]:
        """A further unit: its own changes alone are undone."""
        shared.raw.mark()
        try:
            yield
        except BaseException:
            shared.raw.undo()
            raise
        shared.raw.unmark()

    async def close(self) -> None:
        """Wait for what is being kept."""
        if self._shared and self._shared.kept:
            await asyncio.wait([self._shared.kept])

    async def _connect(self) -> _Shared:
        connection = await self._engine.connect()
        driver = await connection.get_raw_connection()
        return _Shared(connection=connection, raw=cast("OneHopConnection", driver.driver_connection))

    async def _drop(self, shared: _Shared) -> None:
        self._shared = None
        await shared.connection.close()

    async def _commit(self, shared: _Shared) -> None:
        async with self._line:
            try:
                await shared.connection.commit()
            except BaseException:
                await shared.connection.rollback()
                raise
            finally:
                await self._drop(shared)
