"""The pool of workers: one at a time in a conversation, none waiting for another, none lost when a step fails."""

from __future__ import annotations

import asyncio
from uuid import UUID

from bot.domain.clock import new_id
from bot.domain.errors import StorageUnavailable
from bot.hub.workers import ConversationPool
from tests.machine import PATIENCE_SECONDS

A, B = new_id(), new_id()


async def test_steps_of_a_conversation_never_overlap_and_go_on_until_there_is_no_more() -> None:
    running, most, done = 0, 0, asyncio.Event()
    left = 5

    async def step(_: UUID) -> float | None:
        nonlocal running, most, left
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        left -= 1
        if left:
            return 0.0
        done.set()
        return None

    pool = ConversationPool(name="test", step=step, width=4)
    for _ in range(3):
        pool.wake(A)
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    assert most == 1


async def test_wake_during_the_last_step_is_not_missed() -> None:
    seen: list[int] = []
    gate, again = asyncio.Event(), asyncio.Event()

    async def step(_: UUID) -> float | None:
        seen.append(1)
        if len(seen) == 2:
            again.set()
        await gate.wait()
        return None

    pool = ConversationPool(name="test", step=step, width=1)
    pool.wake(A)
    await asyncio.sleep(0)
    pool.wake(A)
    gate.set()
    await asyncio.wait_for(again.wait(), PATIENCE_SECONDS)


async def test_resting_conversation_holds_no_place() -> None:
    done: list[UUID] = []

    async def step(conversation_id: UUID) -> float | None:
        done.append(conversation_id)
        return 10 * PATIENCE_SECONDS if conversation_id == A else None

    pool = ConversationPool(name="test", step=step, width=1)
    pool.wake(A)
    pool.wake(B)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while done != [A, B]:
            await asyncio.sleep(0)
        await pool.drain(10 * PATIENCE_SECONDS)


async def test_drain_finishes_what_runs_begins_nothing_and_cuts_off_what_hangs() -> None:
    done: list[UUID] = []

    async def step(conversation_id: UUID) -> float | None:
        await asyncio.sleep(10 * PATIENCE_SECONDS if conversation_id == B else 0.01)
        done.append(conversation_id)
        return 0.0

    pool = ConversationPool(name="test", step=step, width=4)
    pool.wake(A)
    pool.wake(B)
    await asyncio.sleep(0)
    await pool.drain(0.5)
    pool.wake(A)
    await asyncio.sleep(0.02)
    assert done == [A]
    assert not pool._tasks


async def test_step_that_fails_is_tried_again() -> None:
    tries: list[int] = []
    done = asyncio.Event()

    async def step(_: UUID) -> float | None:
        tries.append(1)
        if len(tries) == 1:
            raise StorageUnavailable("FAKE")
        done.set()
        return None

    pool = ConversationPool(name="test", step=step, width=1)
    pool.wake(A)
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    assert len(tries) == 2


async def test_nothing_is_kept_of_conversations_that_are_done() -> None:
    async def step(_: UUID) -> float | None:
        return None

    pool = ConversationPool(name="test", step=step, width=64)
    for _ in range(1000):
        pool.wake(new_id())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pool._tasks:
            await asyncio.sleep(0)
    assert not pool._woken
