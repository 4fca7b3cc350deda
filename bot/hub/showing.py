"""Lets a growing reply be seen on its own channel, no more often than the channel allows, and without the thinking waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.domain.errors import DeliveryUnknown, RobbieError
from bot.domain.message import Sent
from bot.hub.patience import comes_within

log = structlog.get_logger(__name__)

END_SECONDS = 5.0
"""How long a finished answer waits for the last showing of its unfinished self; then that may have arrived or not."""

Show = Callable[[str], Awaitable[Sent]]
Shown = Callable[[Sent], Awaitable[None]]


class Showing:
    """One growing reply. `show` lets a text be seen, `shown` keeps the news of which message shows it; `known` is which does, by now."""

    def __init__(self, *, show: Show, shown: Shown, seconds: float, known: str | None) -> None:
        self._show = show
        self._shown = shown
        self._seconds = seconds
        self.known = known
        self._text, self._seen = "", ""
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._is_doubtful = False

    def grow(self, text: str) -> None:
        """The reply reads so by now."""
        self._text = text
        if self._task is None and not self._over.is_set():
            self._task = asyncio.create_task(self._run(), name="show a growing reply")

    async def end(self) -> bool:
        """Show nothing more; False where a message may stand there of which no id is known."""
        self._over.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=END_SECONDS)
            for task in late:
                task.cancel()
            self._is_doubtful = self._is_doubtful or bool(late)
        return self.known is not None or not self._is_doubtful

    async def _run(self) -> None:
        """Show what is new, rest, and look again; where a channel will not have it, the whole answer comes at its end."""
        try:
            while not self._over.is_set():
                if self._text != self._seen:
                    await self._show_now(self._text)
                await comes_within(self._seconds, self._over)
        except RobbieError as error:
            self._is_doubtful = isinstance(error, DeliveryUnknown)
            log.warning("showing.stopped", error=str(error))
        except Exception:  # an edge that must survive: the answer itself is not at stake
            self._is_doubtful = True
            log.exception("showing.bug")

    async def _show_now(self, text: str) -> None:
        sent = await self._show(text)
        self._seen = text
        if sent.channel_message_id not in (None, self.known):
            self.known = sent.channel_message_id
            await self._shown(sent)
