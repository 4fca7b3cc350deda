"""The ledger's second half at work: sends each recorded reply once, in order, and is honest about a send that may be a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog

from bot.domain.address import Address, SessionType
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelUnavailable, Conflict, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Button, Outgoing, OutgoingKind, Sent
from bot.domain.ports import Adapter
from bot.hub.files import Files
from bot.hub.owner import claim_of
from bot.hub.patience import outlast
from bot.hub.showing import Showing
from bot.hub.workers import ConversationPool
from storage.database import Database
from storage.models.messaging import Conversation, Message, OutboxItem, OutboxState
from storage.repositories.inbox import Asked
from storage.repositories.outbox import Promised

log = structlog.get_logger(__name__)

T = TypeVar("T")

WIDTH = 16
"""Sends under way at once on one channel."""
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 20.0
"""A channel that was away is to be of use again soon after its return."""
SEND_SECONDS = 60.0
DOUBTS_ALLOWED = 5
"""Sends of one reply; if the last of them is in doubt as well, it is left at that and the operator is told."""
RECOVERED_MARK = "(Recovered after a restart; you may have seen this before.)\n\n"


class Outbox:
    """Delivers what was promised, by the adapter of each conversation's channel; a slow channel has workers of its own."""

    def __init__(self, *, database: Database, adapters: Mapping[str, Adapter], files: Files, owner: str, clock: Clock) -> None:
        self._database = database
        self._files = files
        self._adapters = adapters
        self._owner = owner
        self._clock = clock
        self._held: set[UUID] = set()
        self._send_seconds = SEND_SECONDS
        self._pools = {
            channel: ConversationPool(name=f"deliver {channel}", step=self.deliver, width=WIDTH)
            for channel, adapter in adapters.items()
            if not adapter.capabilities.pulls
        }

    def pulls(self, channel: str) -> bool:
        """Whether readers of this channel fetch their replies from the ledger, so that recording one delivers it."""
        adapter = self._adapters.get(channel)
        return adapter is not None and adapter.capabilities.pulls  # of a channel that is switched off, replies wait for its return

    def wake(self, channel: str, conversation_id: UUID) -> None:
        """Something may be ready to be sent in this conversation."""
        if channel in self._pools:
            self._pools[channel].wake(conversation_id)

    def shows(self, channel: str) -> bool:
        """Whether a growing reply can be seen on this channel."""
        adapter = self._adapters.get(channel)
        return adapter is not None and adapter.capabilities.show_seconds > 0

    def showing(self, item: OutboxItem, conversation: Conversation, asked: Asked) -> Showing:
        """Lets a reply be seen on its channel while it grows, unless somebody else answers by now; the item learns what shows it."""
        adapter, known = self._adapters[conversation.channel], item.channel_message_id

        async def show(text: str) -> Sent:
            nonlocal known
            async with self._database.reading() as work:
                if not await work.inbox.is_held(asked.event):
                    raise Conflict(f"event {asked.event.id} is answered anew")
            outgoing = _addressed(item, conversation, asked.details, asked.message.external_id)
            sent = await self._bounded(adapter.show(replace(outgoing, text=text, channel_message_id=known)))
            known = sent.channel_message_id or known
            return sent

        async def shown(sent: Sent) -> None:
            async with self._database.unit_of_work() as work:
                await work.outbox.show(item.id, sent.channel_message_id or "")

        return Showing(show=show, shown=shown, seconds=adapter.capabilities.show_seconds, known=known)

    async def drain(self, seconds: float) -> None:
        """Finish what is being sent, within *seconds*."""
        await asyncio.gather(*(pool.drain(seconds) for pool in self._pools.values()))

    async def renew(self) -> None:
        """Keep the leases of what is being sent now."""
        if self._held:
            async with self._database.unit_of_work() as work:
                await work.outbox.renew(self._held, claim_of(self._owner, self._clock))

    async def deliver(self, conversation_id: UUID) -> float | None:
        """Send the oldest unsent reply of a conversation, if it is its turn; seconds until it is worth looking again."""
        async with self._database.unit_of_work() as work:
            item = await work.outbox.claim_next(conversation_id, claim_of(self._owner, self._clock))
            promised = None if item is None else await work.outbox.load(item)
        if promised is None:
            return None
        self._held.add(promised.item.id)
        try:
            rest = await self._send(promised)
        except Conflict as error:
            log.warning("delivery.superseded", error=str(error))
            rest = 0.0
        finally:
            self._held.discard(promised.item.id)
        return rest or await self._more(conversation_id)

    async def _send(self, promised: Promised) -> float:
        """Send and settle; seconds until the next try, 0 where none is needed. Raises Conflict where someone else took it over."""
        item = promised.item
        try:
            sent = await self._find_or_send(promised)
        except DeliveryRejected as error:
            return await self._dead(item, error)
        except DeliveryUnknown as error:
            return await self._in_doubt(item, error)
        except AdapterError as error:
            return await self._again(item, OutboxState.READY, error)
        except Exception as error:  # an adapter's bug must neither repeat a message for ever nor hold up the next one
            log.exception("delivery.bug", reply=str(item.message_id))
            return await self._in_doubt(item, error)
        await self._settle(item, OutboxState.SENT, channel_message_id=sent.channel_message_id, sent_at=self._clock.now(), last_error=None)
        return 0.0

    async def _find_or_send(self, promised: Promised) -> Sent:
        """What the channel has already, where this may be a repeat and it can tell; else a send, marked where it may be a repeat."""
        adapter, item, mark = self._adapters[promised.conversation.channel], promised.item, ""
        finds = adapter.capabilities.finds
        if item.recovered and (item.channel_message_id is None or (item.attempts > 1 and not finds)):  # of several parts, one is in doubt
            try:
                found = await self._find(adapter, promised)
            except DeliveryUnknown:
                await outlast(lambda: self._mark_recovered(promised), what="the mark of a repeat")
                found, mark = None, RECOVERED_MARK
            if found is not None and found.is_whole:
                return found
            if found is not None:
                item.channel_message_id = found.channel_message_id
        return await self._bounded(adapter.send(self._outgoing(promised, mark=mark)))

    async def _find(self, adapter: Adapter, promised: Promised) -> Sent | None:
        """Which of it the channel has. Raises DeliveryUnknown where it cannot tell."""
        if not adapter.capabilities.finds:
            raise DeliveryUnknown("this channel cannot be asked")
        return await self._bounded(adapter.find(self._outgoing(promised)))

    async def _bounded(self, asking: Awaitable[T]) -> T:
        """What a channel answers. Raises DeliveryUnknown where it does not for too long: the conversation waits behind this."""
        try:
            async with asyncio.timeout(self._send_seconds):
                return await asking
        except TimeoutError as error:
            raise DeliveryUnknown(f"the channel said nothing for {self._send_seconds:g} s") from error

    async def _mark_recovered(self, promised: Promised) -> None:
        async with self._database.unit_of_work() as work:
            await work.messages.mark_recovered(promised.message.id)

    async def _in_doubt(self, item: OutboxItem, error: Exception) -> float:
        """It may or may not have arrived."""
        if item.recovered and item.attempts >= DOUBTS_ALLOWED:
            return await self._dead(item, error)
        return await self._again(item, OutboxState.UNKNOWN, error)

    async def _again(self, item: OutboxItem, state: OutboxState, error: Exception) -> float:
        wait = _retry_after(item, error)
        due, recovered = self._clock.now() + timedelta(seconds=wait), item.recovered or state is OutboxState.UNKNOWN
        sent = (isinstance(error, AdapterError) and error.sent) or item.channel_message_id
        await self._settle(item, state, recovered=recovered, next_attempt_at=due, channel_message_id=sent, last_error=_brief(error))
        return wait

    async def _dead(self, item: OutboxItem, error: Exception) -> float:
        """No further try: that is for the operator to know, and must not hold up the next reply."""
        log.error("delivery.given_up", reply=str(item.message_id), error=_brief(error))
        await self._settle(item, OutboxState.DEAD, incident=_brief(error), last_error=_brief(error))
        return 0.0

    async def _settle(self, item: OutboxItem, state: OutboxState, *, incident: str = "", **changes: Any) -> None:
        """Write down what became of a send, however long the storage is away: forgetting it would repeat it."""

        async def settle() -> None:
            async with self._database.unit_of_work() as work:
                await work.outbox.settle(item, state, **changes)
                if incident:
                    await work.incidents.add_once(kind="undelivered", key=str(item.id), detail=incident, now=self._clock.now())

        await outlast(settle, what="the news of a send")

    async def _more(self, conversation_id: UUID) -> float | None:
        async with self._database.reading() as work:
            return 0.0 if await work.outbox.has_more(conversation_id) else None

    def _outgoing(self, promised: Promised, mark: str = "") -> Outgoing:
        message = promised.message
        outgoing = _addressed(promised.item, promised.conversation, promised.asked, promised.reply_to)
        text, attachments = self._files.outgoing(message.id, message.text)
        return replace(
            outgoing,
            kind=OutgoingKind(message.kind),
            text=mark + text,
            recovered=bool(mark),
            buttons=_buttons(message, can_press=self._adapters[promised.conversation.channel].capabilities.buttons),
            attachments=attachments,
        )


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:500]


def _retry_after(item: OutboxItem, error: Exception) -> float:
    """Seconds: what the channel told, else doubling."""
    if isinstance(error, ChannelUnavailable) and error.retry_after is not None:
        return error.retry_after
    doublings = min(item.attempts - 1, 20)  # days of failures would overflow
    return min(FIRST_RETRY_SECONDS * 2.0**doublings, LONGEST_RETRY_SECONDS)


def _addressed(item: OutboxItem, conversation: Conversation, asked: Mapping[str, Any], reply_to: str | None) -> Outgoing:
    """What is sent for an item, as yet without its words."""
    return Outgoing(
        id=item.id,
        address=Address(channel=conversation.channel, conversation=conversation.key, session_type=SessionType(conversation.session_type)),
        kind=OutgoingKind.ANSWER,
        text="",
        reply_to=reply_to,
        channel_message_id=item.channel_message_id,
        thread=asked.get("thread", {}),
        asker=asked.get("sender", {}).get("account", ""),
    )


def _buttons(message: Message, *, can_press: bool) -> tuple[Button, ...]:
    """The choices under a message; a model's answer can be rated where that takes one touch."""
    details = message.details or {}
    chosen = tuple(Button(label=label, command=command) for label, command in details.get("buttons", ()))
    if message.kind in (OutgoingKind.ANSWER, OutgoingKind.LATE) and details.get("model") and can_press:
        chosen += (Button(label="👍", command=f"/rate up {message.id}"), Button(label="👎", command=f"/rate down {message.id}"))
    return chosen
