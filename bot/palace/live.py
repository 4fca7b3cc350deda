"""Keeps an open page true to its conversation: what this process says at once, what any other says within seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from bot.domain.address import Person
from bot.hub.feed import Feed, Grown, Subscription
from bot.hub.server import EventStream
from bot.palace.transcript import IN, Transcripts, still_standing
from bot.palace.view import Progress, View

ALIVE_SECONDS = 15.0
FRAME_SECONDS = 0.04
"""Words that come within it are shown together."""
REPLAYED = 50


@dataclass(kw_only=True, slots=True)
class Live:
    """What one page has been shown, up to the message `after`. Pieces may be sent twice: the page knows every message by its id.

    Where nothing is told, the database is looked into every `look_seconds`: other processes write there too.
    """

    transcripts: Transcripts
    feed: Feed
    view: View
    person: Person
    conversation_id: UUID
    after: UUID | None
    look_seconds: float
    _seen: set[UUID] = field(default_factory=set, init=False)
    _answered: set[UUID] = field(default_factory=set, init=False)
    _growing: dict[UUID, Progress] = field(default_factory=dict, init=False)

    async def follow(self, stream: EventStream) -> None:
        """Send news until the reader is gone."""
        with self.feed.subscribe(self.conversation_id) as subscription:
            await self._send(stream, await self._resume() + self._growth())
            alive_at = asyncio.get_running_loop().time()
            while stream.is_open:
                is_told = await self._listen(subscription)
                pieces = ("" if is_told else await self._look()) + self._growth()
                await self._send(stream, pieces)
                now = asyncio.get_running_loop().time()
                if not pieces and now - alive_at > ALIVE_SECONDS:
                    await stream.send("", event="alive")
                    alive_at = now

    async def _listen(self, subscription: Subscription) -> bool:
        """Wait for news, then for what comes right after it; says whether the feed tells all of it (a reply grew, no more)."""
        news = await subscription.next(self.look_seconds)
        if news is None:
            return False
        await asyncio.sleep(FRAME_SECONDS)
        is_told = isinstance(news, Grown)
        while (news := await subscription.next(0)) is not None:
            is_told = is_told and isinstance(news, Grown)
        return is_told

    async def _send(self, stream: EventStream, pieces: str) -> None:
        if pieces:
            await stream.send(pieces, event_id=str(self.after or ""))

    async def _resume(self) -> str:
        """What happened since the page was made or lost its connection, and which replies are on their way."""
        recent = await self.transcripts.recent(self.conversation_id, limit=REPLAYED)
        if self.after is None and recent:
            self.after = recent[0].id
        pieces = await self._look()
        waiting = await self.transcripts.unanswered(recent)
        return pieces + "".join(self._begin(event_id) for event_id in waiting if event_id not in self._growing)

    async def _look(self) -> str:
        """The messages that were recorded since the last look, whoever recorded them."""
        messages = await self.transcripts.since(self.conversation_id, self.after)
        words = await self.transcripts.words(self.person, messages)
        answered = {message.reply_to for message in messages}
        pieces = []
        for message in still_standing(messages):
            if message.id in self._seen:
                continue
            self._seen.add(message.id)
            self.after = max(message.id, self.after or message.id)
            if message.reply_to is not None:
                self._answered.add(message.reply_to)
                pieces.append(self.view.end(message.reply_to))
            pieces.append(self.view.add(message, self.person, words))
            if message.direction == IN and message.id not in answered:
                pieces.append(self._begin(message.id))
        return "".join(pieces)

    def _begin(self, event_id: UUID) -> str:
        text = self.feed.growing(self.conversation_id).get(event_id, "")
        self._growing[event_id], piece = self.view.begin(event_id, text)
        return piece

    def _growth(self) -> str:
        """What the growing replies have more than the page shows; a finished one is in the database before the feed knows."""
        pieces = []
        for event_id, text in self.feed.growing(self.conversation_id).items():
            shown = self._growing.get(event_id)
            if event_id in self._answered:
                continue
            if shown is None:
                pieces.append(self._begin(event_id))
            elif text != shown.text:
                self._growing[event_id], piece = self.view.grow(shown, text)
                pieces.append(piece)
        return "".join(pieces)
