"""A pool of workers of which each takes a whole conversation, so that order is kept inside one and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from bot.domain.errors import StorageError
from bot.hub.patience import comes_within, see_out

log = structlog.get_logger(__name__)

Step = Callable[[UUID], Awaitable[float | None]]
"""Does one piece of a conversation's work. Returns seconds until the next (0 is at once), or None when there is no more."""

AFTER_TROUBLE_SECONDS = 1.0


class ConversationPool:
    """Runs *step* for woken conversations until each has no more to do; at most *width* steps at once."""

    def __init__(self, *, name: str, step: Step, width: int) -> None:
        self._name = name
        self._step = step
        self._width = asyncio.Semaphore(width)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._woken: set[UUID] = set()
        self._closing = asyncio.Event()
        self._is_troubled = False

    def wake(self, conversation_id: UUID) -> None:
        """There is, or may be, work in this conversation. Returns at once."""
        self._woken.add(conversation_id)
        if conversation_id not in self._tasks and not self._closing.is_set():
            task = asyncio.create_task(self._work(conversation_id), name=f"{self._name} {conversation_id}")
            self._tasks[conversation_id] = task

    def nudge(self, conversation_id: UUID) -> None:
        """As `wake`, where nobody is at work."""
        if conversation_id not in self._tasks:
            self.wake(conversation_id)

    async def finish(self, seconds: float) -> None:
        """Let what runs now come to its end, for so long at most; nothing is cut off."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=seconds)

    async def drain(self, seconds: float) -> None:
        """Start nothing more and let what runs finish within *seconds*; what does not is cut off, and not waited for much longer."""
        self._closing.set()
        await see_out(tuple(self._tasks.values()), seconds)

    async def _work(self, conversation_id: UUID) -> None:
        try:
            while conversation_id in self._woken and not self._closing.is_set():
                self._woken.discard(conversation_id)
                rest = await self._one_step(conversation_id)
                if rest is not None:
                    self._woken.add(conversation_id)
                    await comes_within(rest, self._closing)  # it rests, holding no place among the workers; a drain ends that
        finally:
            del self._tasks[conversation_id]

    async def _one_step(self, conversation_id: UUID) -> float | None:
        async with self._width:
            try:
                rest = await self._step(conversation_id)
            except StorageError as error:
                if not self._is_troubled:
                    log.warning("worker.storage", pool=self._name, error=str(error))
                self._is_troubled = True
                return AFTER_TROUBLE_SECONDS
            except Exception:  # an edge that must survive: one conversation's bug is not another's
                log.exception("worker.bug", pool=self._name)
                return AFTER_TROUBLE_SECONDS
            self._is_troubled = False
            return rest
