"""How the hub waits: for an event, for tasks to end, and out a storage that is away, so that what is held in memory is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TypeVar

import structlog

from bot.domain.errors import StorageUnavailable

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0

CUT_OFF_SECONDS = 1.0

T = TypeVar("T")


async def comes_within(seconds: float, event: asyncio.Event) -> bool:
    """Whether *event* has come, or comes within *seconds*."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def see_out(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Let what runs finish within *seconds*; what does not is cut off, and not waited for much longer."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CUT_OFF_SECONDS)


async def outlast(act: Callable[[], Awaitable[T]], *, what: str) -> T:
    """What *act* gives, tried again for as long as the storage is away; the log is told when it falls and when it rises."""
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            result = await act()
        except StorageUnavailable as error:
            if wait == FIRST_WAIT_SECONDS:
                log.warning("storage.fell", waiting=what, error=str(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        else:
            if wait != FIRST_WAIT_SECONDS:
                log.info("storage.rose", waiting=what)
            return result
