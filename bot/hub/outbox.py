"""The ledger's second half at work: sends each recorded reply once, in order, and is honest about a send that may be a repeat."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog

from bot.domain.address import Address, SessionType
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelUnavailable, Conflict, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Outgoing, OutgoingKind, Sent
from bot.domain.ports import Adapter
from bot.hub.workers import ConversationPool
from storage.database import Database
from storage.models.messaging import OutboxItem, OutboxState
from storage.repositories.messaging import Claim, Promised

log = structlog.get_logger(__name__)

LEASE_SECONDS = 20.0
WIDTH = 16
"""Sends under way at once on one channel."""
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
RECOVERED_MARK = "(Recovered after a restart; you may have seen this before.)\n\n"


class Outbox:
    """Delivers what was promised, by the adapter of each conversation's channel; a slow channel has workers of its own."""

    def __init__(self, *, database: Database, adapters: Mapping[str, Adapter], owner: str, clock: Clock) -> None:
        self._database = database
        self._adapters = adapters
        self._owner = owner
        self._clock = clock
        self._held: set[UUID] = set()
        self._pools = {
            channel: ConversationPool(name=f"deliver {channel}", step=self.deliver, width=WIDTH)
            for channel, adapter in adapters.items()
            if not adapter.capabilities.pulls
        }

    def pulls(self, channel: str) -> bool:
        """Whether readers of this channel fetch their replies from the ledger, so that recording one delivers it."""
        adapter = self._adapters.get(channel)
        return adapter is None or adapter.capabilities.pulls

    def wake(self, channel: str, conversation_id: UUID) -> None:
        """Something may be ready to be sent in this conversation."""
        if channel in self._pools:
            self._pools[channel].wake(conversation_id)

    async def drain(self, seconds: float) -> None:
        """Finish what is being sent, within *seconds*."""
        for pool in self._pools.values():
            await pool.drain(seconds)

    async def renew(self) -> None:
        """Keep the leases of what is being sent now."""
        if self._held:
            async with self._database.unit_of_work() as work:
                await work.outbox.renew(self._held, self._make_claim())

    async def deliver(self, conversation_id: UUID) -> float | None:
        """Send the oldest unsent reply of a conversation, if it is its turn; seconds until it is worth looking again."""
        async with self._database.unit_of_work() as work:
            item = await work.outbox.claim_next(conversation_id, self._make_claim())
            promised = None if item is None else await work.outbox.load(item)
        if promised is None:
            return None
        self._held.add(promised.item.id)
        try:
            return await self._send(promised)
        except Conflict as error:
            log.warning("delivery.superseded", error=str(error))
            return 0.0
        finally:
            self._held.discard(promised.item.id)

    async def _send(self, promised: Promised) -> float:
        adapter, item = self._adapters[promised.conversation.channel], promised.item
        outgoing = _outgoing(promised)
        try:
            sent = await self._find(adapter, outgoing) if item.recovered else None
            is_repeat = item.recovered and sent is None and not adapter.capabilities.finds and outgoing.channel_message_id is None
            if is_repeat:
                await self._mark_recovered(promised)
                outgoing = _outgoing(promised, mark=RECOVERED_MARK)
            sent = sent or await adapter.send(outgoing)
        except DeliveryRejected as error:
            return await self._dead(item, error)
        except DeliveryUnknown as error:
            return await self._again(item, OutboxState.UNKNOWN, error)
        except AdapterError as error:
            return await self._again(item, OutboxState.READY, error)
        async with self._database.unit_of_work() as work:
            await work.outbox.settle(
                item, OutboxState.SENT, channel_message_id=sent.channel_message_id, sent_at=self._clock.now(), last_error=None
            )
        return 0.0

    async def _find(self, adapter: Adapter, outgoing: Outgoing) -> Sent | None:
        """Ask the channel whether it has this message, where it can tell."""
        return await adapter.find(outgoing) if adapter.capabilities.finds else None

    async def _mark_recovered(self, promised: Promised) -> None:
        async with self._database.unit_of_work() as work:
            await work.messages.mark_recovered(promised.message.id)

    async def _again(self, item: OutboxItem, state: OutboxState, error: AdapterError) -> float:
        wait = _retry_after(item, error)
        async with self._database.unit_of_work() as work:
            await work.outbox.settle(
                item,
                state,
                recovered=item.recovered or state is OutboxState.UNKNOWN,
                next_attempt_at=self._clock.now() + timedelta(seconds=wait),
                last_error=str(error)[:500],
            )
        return wait

    async def _dead(self, item: OutboxItem, error: DeliveryRejected) -> float:
        """The channel refuses this reply for good: that is for the operator to know, and must not hold up the next one."""
        log.error("delivery.rejected", reply=str(item.message_id), error=str(error))
        async with self._database.unit_of_work() as work:
            await work.outbox.settle(item, OutboxState.DEAD, last_error=str(error)[:500])
            await work.incidents.add_once(kind="undelivered", key=str(item.id), detail=str(error)[:500], now=self._clock.now())
        return 0.0

    def _make_claim(self) -> Claim:
        now = self._clock.now()
        return Claim(owner=self._owner, now=now, until=now + timedelta(seconds=LEASE_SECONDS))


def _retry_after(item: OutboxItem, error: AdapterError) -> float:
    """Seconds: what the channel told, else doubling."""
    if isinstance(error, ChannelUnavailable) and error.retry_after is not None:
        return error.retry_after
    return float(min(FIRST_RETRY_SECONDS * 2 ** (item.attempts - 1), LONGEST_RETRY_SECONDS))


def _outgoing(promised: Promised, mark: str = "") -> Outgoing:
    conversation, message = promised.conversation, promised.message
    return Outgoing(
        id=promised.item.id,
        address=Address(channel=conversation.channel, conversation=conversation.key, session_type=SessionType(conversation.session_type)),
        kind=OutgoingKind(message.kind),
        text=mark + message.text,
        reply_to=promised.reply_to,
        recovered=bool(mark),
        channel_message_id=promised.item.channel_message_id,
    )
