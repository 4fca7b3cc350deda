"""Waits out a storage that is away, so that what is held in memory meanwhile (a finished answer, the news of a send) is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from bot.domain.errors import StorageUnavailable

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0

T = TypeVar("T")


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
