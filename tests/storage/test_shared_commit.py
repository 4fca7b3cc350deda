"""Units of work under one commit: each is kept or undone as if it were alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from bot.domain.errors import Conflict, StorageUnavailable
from storage.database import Database
from storage.models.messaging import Message
from storage.schema import upgrade
from tests.clock import FakeClock
from tests.stage import Stage, set_stage


@pytest.fixture
async def stage(sqlite_file: Path, clock: FakeClock) -> AsyncIterator[Stage]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as database:
        await upgrade(database)
        yield await set_stage(database, clock)


@pytest.fixture
def commits(stage: Stage) -> list[object]:
    """Grows with every commit."""
    seen: list[object] = []
    event.listen(stage.database.engine.sync_engine, "commit", seen.append)
    return seen


async def test_those_in_line_share_a_commit_and_one_alone_has_its_own(stage: Stage, commits: list[object]):
    await asyncio.gather(*(stage.says(str(number)) for number in range(50)))
    assert len(commits) <= 3
    assert len(await _texts(stage)) == 50
    commits.clear()
    for number in range(5):
        await stage.says(f"alone {number}")
    assert len(commits) == 5


async def test_nobody_is_told_before_the_commit(stage: Stage):
    """What another connection sees at the moment that a unit returns holds its row."""

    async def write(number: int) -> bool:
        await stage.says(str(number))
        return str(number) in await _texts(stage)

    assert all(await asyncio.gather(*(write(number) for number in range(20))))


@pytest.mark.parametrize("failing", [0, 1, 10, 19])
@pytest.mark.parametrize("how", ["ours", "refused"])
async def test_one_that_fails_takes_only_its_own_changes_along(stage: Stage, failing: int, how: str):
    await stage.database.check()
    known = await stage.says("known")

    async def write(number: int) -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message(f"{number}a"))
            if number == failing and how == "ours":
                raise ZeroDivisionError
            await work.messages.add(known if number == failing else stage.message(f"{number}b"))

    outcomes = await asyncio.gather(*(write(number) for number in range(20)), return_exceptions=True)
    expected = ZeroDivisionError if how == "ours" else Conflict
    assert [type(outcome) for outcome in outcomes if outcome] == [expected]
    assert await _texts(stage) == {"known"} | {f"{number}{half}" for number in range(20) if number != failing for half in "ab"}


async def test_one_that_is_cancelled_takes_only_its_own_changes_along(stage: Stage):
    inside = asyncio.Event()

    async def linger() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("cancelled"))
            inside.set()
            await asyncio.sleep(60)

    before, cancelled, after = (
        asyncio.create_task(stage.says("before")),
        asyncio.create_task(linger()),
        asyncio.create_task(stage.says("after")),
    )
    await inside.wait()
    cancelled.cancel()
    await asyncio.gather(before, after)
    assert cancelled.cancelled() or (await asyncio.wait([cancelled]))
    assert await _texts(stage) == {"before", "after"}


async def test_one_that_is_cancelled_while_it_waits_for_the_commit_is_kept_whole(stage: Stage, commits: list[object]):
    leaving = asyncio.Event()

    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("one"))
            await work.messages.add(stage.message("two"))
            leaving.set()

    task = asyncio.create_task(write())
    await leaving.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await stage.says("next")
    assert await _texts(stage) == {"one", "two", "next"}
    assert len(commits) == 2


@pytest.mark.parametrize("ends", ["well", "badly"])
async def test_one_that_asks_nothing_leaves_those_behind_it_as_they_are(stage: Stage, ends: str):
    async def nothing() -> None:
        async with stage.database.unit_of_work():
            pass

    async def write() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("second"))
            if ends == "badly":
                raise ZeroDivisionError

    outcomes = await asyncio.gather(nothing(), write(), stage.says("third"), nothing(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == ([ZeroDivisionError] if ends == "badly" else [])
    assert await _texts(stage) == ({"third"} if ends == "badly" else {"second", "third"})


async def test_where_whose_changes_are_whose_is_lost_everyone_is_told(stage: Stage):
    """As when a disk fails at that very moment."""

    async def muddle() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("second"))
            await work.connection.execute(text("RELEASE part"))

    outcomes = await asyncio.gather(stage.says("first"), muddle(), stage.says("third"), return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    assert await _texts(stage) == set()
    await stage.says("next")
    assert await _texts(stage) == {"next"}


async def test_closing_waits_for_what_is_being_kept(stage: Stage, sqlite_file: Path):
    task = asyncio.create_task(stage.says("kept"))
    while stage.database._shared is None or stage.database._shared._shared is None or stage.database._shared._shared.kept is None:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    kept = stage.database._shared._shared
    await stage.database.close()
    assert kept is None or (kept.kept is not None and kept.kept.done())


async def test_a_transaction_that_sqlite_gives_up_is_told_to_everyone_in_it(stage: Stage, commits: list[object]):
    """A disk that fills up undoes all of a transaction; nobody in it may believe that theirs is kept, whether they noticed or not."""

    async def give_up() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(stage.message("lost"))
            await work.connection.execute(text("ROLLBACK"))

    outcomes = await asyncio.gather(stage.says("first"), give_up(), stage.says("third"), return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    assert await _texts(stage) == set()
    await stage.says("next")
    assert await _texts(stage) == {"next"}


async def test_a_commit_that_fails_is_told_to_everyone_in_it(stage: Stage):
    """Deferred foreign keys fail at the commit."""

    async def dangle() -> None:
        async with stage.database.unit_of_work() as work:
            await work.connection.execute(text("PRAGMA defer_foreign_keys=ON"))
            await work.connection.execute(text("UPDATE messages SET user_id = '00000000000000000000000000000000'"))

    await stage.says("known")
    outcomes = await asyncio.gather(stage.says("first"), dangle(), stage.says("third"), return_exceptions=True)
    assert all(isinstance(outcome, Conflict) for outcome in outcomes)
    assert await _texts(stage) == {"known"}
    await stage.says("next")
    assert await _texts(stage) == {"known", "next"}


async def _texts(stage: Stage) -> set[str]:
    async with stage.database.reading() as work:
        messages: list[Message] = list(await work.messages.latest(stage.conversation.id, limit=200))
    return {message.text for message in messages}
