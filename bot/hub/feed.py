"""Tells open pages and waiting doors of this process what happens in a conversation, while it happens.

Nothing is owed to a feed: whoever misses something finds it in the database.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

BACKLOG = 1000
"""News that a slow reader may leave unread before it is told to look into the database instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grown:
    """The reply to an event grew by *text*; with `whole`, what was shown is void and *text* stands in its place."""

    event_id: UUID
    text: str
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A message was recorded in the conversation: what a person wrote, or a reply."""

    message_id: UUID
    reply_to: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lagged:
    """News was left out: read the transcript."""


News = Grown | Said | Lagged


class Subscription:
    """One reader's queue of news."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[News] = asyncio.Queue(BACKLOG)

    async def next(self, seconds: float) -> News | None:
        """The next piece of news, or None after *seconds* without any."""
        try:
            async with asyncio.timeout(seconds):
                return await self._queue.get()
        except TimeoutError:
            return None

    def put(self, news: News) -> None:
        """Hand over news without ever waiting for the reader."""
        if self._queue.qsize() < BACKLOG - 1:
            self._queue.put_nowait(news)
        elif not self._queue.full():
            self._queue.put_nowait(Lagged())


class Feed:
    """Who watches which conversation, and the replies that are growing now."""

    def __init__(self) -> None:
        self._readers: dict[UUID, set[Subscription]] = defaultdict(set)
        self._growing: dict[UUID, dict[UUID, str]] = defaultdict(dict)

    @contextmanager
    def subscribe(self, conversation_id: UUID) -> Iterator[Subscription]:
        """News of this conversation from now on; look at `growing` for what has been shown before."""
        subscription = Subscription()
        self._readers[conversation_id].add(subscription)
        try:
            yield subscription
        finally:
            self._readers[conversation_id].discard(subscription)
            if not self._readers[conversation_id]:
                del self._readers[conversation_id]

    def is_watched(self, conversation_id: UUID) -> bool:
        """Whether anybody looks."""
        return conversation_id in self._readers

    def growing(self, conversation_id: UUID) -> Mapping[UUID, str]:
        """The text shown so far of replies that are not finished, by the event they answer."""
        return dict(self._growing.get(conversation_id, {}))

    def publish(self, conversation_id: UUID, news: News) -> None:
        """Tell everyone who watches."""
        growing = self._growing[conversation_id]
        if isinstance(news, Grown):
            growing[news.event_id] = news.text if news.whole else growing.get(news.event_id, "") + news.text
        elif isinstance(news, Said) and news.reply_to is not None:
            growing.pop(news.reply_to, None)
        if not growing:
            del self._growing[conversation_id]
        for reader in tuple(self._readers.get(conversation_id, ())):
            reader.put(news)
