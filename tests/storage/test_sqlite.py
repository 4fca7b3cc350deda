"""An embedded database: durable by its settings, clear about what is wrong, and never half written."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from bot.domain.errors import StorageUnavailable
from storage.database import Database
from storage.schema import upgrade
from tests.clock import FakeClock
from tests.stage import Stage, set_stage


@pytest.fixture
async def stage(sqlite_file: Path, clock: FakeClock) -> AsyncIterator[Stage]:
    async with _open(sqlite_file) as database:
        yield await set_stage(database, clock)


async def test_what_is_committed_survives_a_power_cut(stage: Stage):
    """WAL with FULL syncs the log at every commit; NORMAL would lose the last ones."""
    async with stage.database.unit_of_work() as work:
        pragmas = [
            (await work.connection.execute(text(f"PRAGMA {name}"))).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    async with stage.database.reading() as work:
        is_query_only = (await work.connection.execute(text("PRAGMA query_only"))).scalar()
    assert pragmas == ["wal", 2, 1]
    assert is_query_only == 1


async def test_a_unit_of_work_has_the_right_to_write_from_its_first_statement(stage: Stage):
    """BEGIN IMMEDIATE: a read that turned into a write would fail at once, whatever the timeout."""
    async with stage.database.unit_of_work() as work:
        await work.people.users()
        with sqlite3.connect(stage.database.place, timeout=0) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_readers_do_not_wait_for_a_writer(stage: Stage):
    async with stage.database.unit_of_work() as writing:
        await writing.messages.add(message := stage.message("not committed yet"))
        async with asyncio.timeout(1), stage.database.reading() as work:
            assert await work.messages.find_by_id(message.id) is None
    async with stage.database.reading() as work:
        assert await work.messages.find_by_id(message.id) is not None


async def test_fifty_writers_take_turns(stage: Stage):
    await asyncio.gather(*(stage.says(str(number)) for number in range(50)))
    async with stage.database.reading() as work:
        assert len(await work.messages.latest(stage.conversation.id, limit=100)) == 50


async def test_reading_cannot_write(stage: Stage):
    with pytest.raises(StorageUnavailable, match="readonly"):
        async with stage.database.reading() as work:
            await work.messages.add(stage.message("hi"))


async def test_a_lock_that_another_process_keeps_is_told_in_one_line_and_nothing_is_written(stage: Stage, sqlite_file: Path):
    async with _open(sqlite_file, busy_seconds=0.05) as impatient:
        other = sqlite3.connect(sqlite_file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match=_line(sqlite_file, "database is locked")):
            await _add_two(impatient, stage)
        await impatient.check()
        with pytest.raises(StorageUnavailable, match=_line(sqlite_file, "database is locked")):
            await impatient.check_writing()
        other.close()
        await impatient.check_writing()
        assert await _count(stage) == 0
        await _add_two(impatient, stage)
    assert await _count(stage) == 2


async def test_after_a_failed_begin_no_statement_runs_outside_a_transaction(stage: Stage, sqlite_file: Path):
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def write(database: Database) -> None:
        async with database.unit_of_work() as work:
            with pytest.raises(Exception, match="locked"):
                await work.messages.add(stage.message("one"))
            other.close()
            await work.messages.add(stage.message("two"))
            raise StorageUnavailable("the act as a whole fails")

    async with _open(sqlite_file, busy_seconds=0.001) as impatient:
        with pytest.raises(StorageUnavailable, match="as a whole"):
            await write(impatient)
    assert await _count(stage) == 0


async def test_a_read_only_file_is_told_in_one_line(stage: Stage, sqlite_file: Path):
    await stage.database.close()
    uri = f"sqlite+aiosqlite:///file:{sqlite_file}?mode=ro&uri=true"
    async with Database(uri, organization="default") as database:
        with pytest.raises(StorageUnavailable, match=r"attempt to write a readonly database$"):
            await _add_two(database, stage)


async def test_without_room_for_a_message_the_database_is_not_well(sqlite_file: Path):
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as database:
        await database.check()
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default", least_free_bytes=1 << 62) as database:
        with pytest.raises(StorageUnavailable, match=_line(sqlite_file, "database or disk is full")):
            await database.check()


async def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(stage: Stage, sqlite_file: Path):
    async with _open(sqlite_file) as database:

        @event.listens_for(database.engine.sync_engine, "connect")
        def fill(connection: object, _: object) -> None:
            connection.cursor().execute("PRAGMA max_page_count = 90")  # type: ignore[attr-defined]

        with pytest.raises(StorageUnavailable, match=_line(sqlite_file, "database or disk is full")):
            await _add_two(database, stage, second="x" * 1_000_000)
        assert await _count(stage) == 0
        await _add_two(database, stage)
    assert await _count(stage) == 2


async def test_a_disk_that_fills_up_while_committing_leaves_nothing_half_written(sqlite_file: Path):
    """The kernel itself refuses to write on: a process of its own, since a file size limit holds for all of one."""
    program = Path(__file__).with_name("write_until_full.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = await asyncio.to_thread(subprocess.run, [sys.executable, program, sqlite_file], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    committed, error = run.stdout.splitlines()
    assert error.startswith(f"StorageUnavailable: {sqlite_file}: ")
    with sqlite3.connect(sqlite_file) as raw:
        assert raw.execute("SELECT count(*) FROM incidents").fetchone() == (int(committed) * 2,)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


@pytest.mark.parametrize("content", [b"This is a letter, not a database. " * 200, b"SQLite format 3\x00" + b"\xff" * 8000])
async def test_a_corrupt_file_is_told_in_one_line_and_left_as_it_is(tmp_path: Path, content: bytes):
    file = tmp_path / "letter.db"
    file.write_bytes(content)
    async with _open(file) as database:
        with pytest.raises(StorageUnavailable, match=_line(file, "file is not a database")):
            await upgrade(database)
    assert file.read_bytes() == content


async def test_a_database_in_a_folder_that_does_not_exist_is_told_in_one_line(tmp_path: Path):
    async with _open(tmp_path / "nowhere" / "robbie.db") as database:
        with pytest.raises(StorageUnavailable, match=_line(tmp_path / "nowhere" / "robbie.db", "unable to open database file")):
            await upgrade(database)


async def test_a_lost_process_leaves_what_it_committed_and_nothing_else(stage: Stage, sqlite_file: Path, tmp_path: Path):
    """The files as they are in the middle of a unit of work are what a killed process leaves."""
    await stage.says("committed")
    async with stage.database.unit_of_work() as work:
        await work.messages.add(stage.message("under way"))
        for file in sqlite_file.parent.glob("robbie.db*"):
            shutil.copy(file, tmp_path / f"crashed{file.name.removeprefix('robbie')}")
    async with _open(tmp_path / "crashed.db") as after, after.reading() as reading:
        assert [message.text for message in await reading.messages.latest(stage.conversation.id, limit=9)] == ["committed"]


def _open(file: Path, *, busy_seconds: float = 5.0) -> Database:
    return Database(f"sqlite+aiosqlite:///{file}", organization="default", busy_seconds=busy_seconds)


def _line(file: Path, words: str) -> str:
    return f"^{file}: {words}$"


async def _add_two(database: Database, stage: Stage, *, second: str = "two") -> None:
    async with database.unit_of_work() as work:
        await work.messages.add(stage.message("one"))
        await work.messages.add(stage.message(second))


async def _count(stage: Stage) -> int:
    async with stage.database.reading() as work:
        return len(await work.messages.latest(stage.conversation.id, limit=100))
