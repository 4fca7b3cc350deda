"""The thin layer over aiosqlite: whatever is cancelled or fails, the connection stays usable and its thread ends with it."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.domain.errors import StorageUnavailable
from storage import one_hop
from storage.database import Database
from tests.clock import FakeClock
from tests.stage import Stage, set_stage

SLOW = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n")
"""Tens of milliseconds of work, so that a test can cancel it while it runs."""


@pytest.fixture
async def stage(sqlite_file: Path, clock: FakeClock) -> AsyncIterator[Stage]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as database:
        yield await set_stage(database, clock)


async def test_a_unit_of_work_cancelled_in_a_statement_leaves_nothing_and_the_writer_usable(stage: Stage):
    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.connection.execute(SLOW)
            await work.messages.add(stage.message("lost"))

    await _cancel_after(0.01, write())
    assert await _texts(stage) == []
    await stage.says("next")
    assert await _texts(stage) == ["next"]


async def test_a_unit_of_work_cancelled_in_its_first_statement_leaves_no_transaction_open(stage: Stage, sqlite_file: Path):
    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.connection.execute(SLOW)

    for delay in (0, 0.001, 0.01):
        await _cancel_after(delay, write())
        await stage.says("next")
    with sqlite3.connect(sqlite_file, timeout=0, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize("turns", range(12))
async def test_a_unit_of_work_cancelled_anywhere_is_kept_whole_or_not_at_all(stage: Stage, turns: int):
    """Cancelled after so many turns of the loop: before it began, in a statement, in the commit, or too late."""

    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("one"))
            await work.messages.add(stage.message("two"))

    for _ in range(8):
        before = len(await _texts(stage))
        task = asyncio.create_task(write())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.says("three")
        added = (await _texts(stage))[before:]
        assert added in (["three"], ["one", "two", "three"])


async def test_a_unit_of_work_cancelled_in_its_commit_is_kept_whole_or_not_at_all(stage: Stage):
    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("one"))
            await work.messages.add(stage.message("two"))
            asyncio.get_running_loop().call_soon(task.cancel)  # comes about while the commit is waited for

    task = asyncio.create_task(write())
    await asyncio.gather(task, return_exceptions=True)
    assert await _texts(stage) in ([], ["one", "two"])
    await stage.says("three")
    assert (await _texts(stage))[-1] == "three"


async def test_who_waits_for_the_writer_can_be_cancelled(stage: Stage):
    async with stage.database.unit_of_work() as work:
        await _cancel_after(0.001, stage.says("waits"))
        await work.messages.add(stage.message("mine"))
    assert await _texts(stage) == ["mine"]


async def test_a_cancelled_reader_is_no_burden_for_the_next(stage: Stage):
    async def read() -> None:
        async with stage.database.reading() as work:
            await work.connection.execute(SLOW)

    for _ in range(6):  # more often than there are connections
        await _cancel_after(0.005, read())
    assert await _texts(stage) == []


async def test_an_error_in_a_statement_undoes_the_act_and_the_writer_goes_on(stage: Stage):
    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("lost"))
            await work.connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(StorageUnavailable, match="no such table: nowhere"):
        await write()
    await stage.says("next")
    assert await _texts(stage) == ["next"]


async def test_an_error_of_ours_undoes_the_act(stage: Stage):
    with pytest.raises(ZeroDivisionError):
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message(str(1 / 0)))
    assert await _texts(stage) == []


async def test_an_empty_unit_of_work_takes_no_lock(stage: Stage, sqlite_file: Path):
    with sqlite3.connect(sqlite_file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(1), stage.database.unit_of_work():
            pass
    other.close()


async def test_a_big_result_arrives_whole_in_any_bite(sqlite_file: Path):
    connection = await one_hop.connect(str(sqlite_file))
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i FROM n"
    cursor = await connection.cursor().execute(count)
    assert [await cursor.fetchone(), list(await cursor.fetchmany(2))] == [(1,), [(2,), (3,)]]
    assert len([row async for row in cursor]) == 9997
    assert list(await cursor.fetchall()) == []
    assert await cursor.fetchone() is None
    await connection.close()


async def test_a_streamed_result_is_not_empty(stage: Stage):
    for number in range(3):
        await stage.says(str(number))
    async with stage.database.reading() as work:
        rows = await work.connection.stream(text("SELECT text FROM messages ORDER BY id"))
        assert [row.text async for row in rows] == ["0", "1", "2"]


async def test_closing_ends_every_thread_and_warns_of_nothing(sqlite_file: Path, clock: FakeClock):
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as database:
            stage = await set_stage(database, clock)
            await asyncio.gather(*(_texts(stage) for _ in range(3)))
            mine = set(threading.enumerate()) - before
        await database.close()
        gc.collect()
    assert len(mine) >= 2
    for thread in mine:
        thread.join(timeout=5)
        assert not thread.is_alive()


async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path):
    before = set(threading.enumerate())
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'robbie.db'}", organization="default") as database:
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await database.check()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


async def _cancel_after(seconds: float, work: object) -> None:
    task = asyncio.create_task(work)  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _texts(stage: Stage) -> list[str]:
    async with stage.database.reading() as work:
        return [message.text for message in await work.messages.latest(stage.conversation.id, limit=10_000)]
