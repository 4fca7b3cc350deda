"""The ledger's end: questions about replies to be delivered, and the claims by which they change hands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, and_, case, func, insert, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from bot.domain.errors import Conflict
from storage.dialects import lock_until_commit
from storage.models.messaging import Conversation, Message, OutboxItem, OutboxState
from storage.repositories.base import Claim, Repository, due, first_id_at, ours, split, values_of

UNSENT = (OutboxState.STREAMING, OutboxState.READY, OutboxState.SENDING, OutboxState.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Promised:
    """A claimed reply on its way out: its text, where it goes, the channel's id of the message it answers and the rest it told of it."""

    item: OutboxItem
    message: Message
    conversation: Conversation
    reply_to: str | None
    asked: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToSend:
    """A message that is to be sent though nobody asked."""

    channel: str
    conversation_id: UUID
    message_id: UUID


_asked = aliased(Message)
_SENDABLE = and_(OutboxItem.state.in_((OutboxState.READY, OutboxState.UNKNOWN)), due(OutboxItem))
_SENDING = and_(ours(OutboxItem), OutboxItem.state == OutboxState.SENDING)
_STREAMING = and_(ours(OutboxItem), OutboxItem.event_id == given("event"), OutboxItem.state == OutboxState.STREAMING)

_ADD_ITEM = insert(OutboxItem)
_TAKE_UP_STREAM = update(OutboxItem).where(_STREAMING).values(recovered=True).returning(OutboxItem)
_FINISH_STREAM = update(OutboxItem).where(_STREAMING).returning(OutboxItem.recovered)
_SHOW = update(OutboxItem).where(ours(OutboxItem), OutboxItem.id == given("item"), OutboxItem.state == OutboxState.STREAMING)
_UNSENT_HEAD = (
    select(OutboxItem.id)
    .where(ours(OutboxItem), OutboxItem.conversation_id == given("conversation"), OutboxItem.state.in_(UNSENT))
    .order_by(case((OutboxItem.state == OutboxState.SENDING, 0), else_=1), OutboxItem.id)
    .limit(1)
)
_CLAIM_ITEM = (
    update(OutboxItem)
    .where(ours(OutboxItem), OutboxItem.id == _UNSENT_HEAD.scalar_subquery(), _SENDABLE)
    .values(state=OutboxState.SENDING, attempts=OutboxItem.attempts + 1)
    .returning(OutboxItem)
)
_PROMISED = (
    select(Message, Conversation, _asked.external_id, _asked.details)
    .join(Conversation, and_(Conversation.organization_id == Message.organization_id, Conversation.id == Message.conversation_id))
    .outerjoin(_asked, and_(_asked.organization_id == Message.organization_id, _asked.id == Message.reply_to))
    .where(ours(Message), Message.id == given("message"))
)
_IS_KEPT = and_(given("keeps", type_=Boolean), OutboxItem.channel_message_id.is_not(None))
_VOID = (
    update(OutboxItem)
    .where(ours(OutboxItem), OutboxItem.event_id == given("event"))
    .where(OutboxItem.state.in_((OutboxState.STREAMING, OutboxState.READY)))
    .values(state=case((_IS_KEPT, OutboxState.STREAMING), else_=OutboxState.DEAD), attempts=0, next_attempt_at=None)
    .values(last_error="what it answered was changed before it was sent")
    .returning(OutboxItem.message_id)
)
_LAPSED = select(OutboxItem.id).where(_SENDING, OutboxItem.lease_until < given("now")).limit(1)
_SETTLE_ITEM = update(OutboxItem).where(
    _SENDING, OutboxItem.id == given("item"), OutboxItem.owner == given("holder"), OutboxItem.attempts == given("attempt")
)
_RENEW_ITEMS = update(OutboxItem).where(
    ours(OutboxItem), OutboxItem.owner == given("holder"), OutboxItem.id.in_(given("items", expanding=True))
)
_ITEM_OWNERS = select(OutboxItem.owner).where(_SENDING).distinct()
_GIVE_UP = (
    update(OutboxItem)
    .where(_SENDING, or_(OutboxItem.owner.in_(given("owners", expanding=True)), OutboxItem.lease_until < given("now")))
    .values(state=OutboxState.UNKNOWN, owner=None, lease_until=None, recovered=True)
)
_TO_SEND = (
    select(OutboxItem.conversation_id, Conversation.channel)
    .join(Conversation, and_(Conversation.organization_id == OutboxItem.organization_id, Conversation.id == OutboxItem.conversation_id))
    .where(ours(OutboxItem), _SENDABLE)
)
_UNTAKEN = (
    select(OutboxItem.id)
    .where(ours(OutboxItem), OutboxItem.conversation_id == given("conversation"))
    .where(OutboxItem.state.in_((OutboxState.READY, OutboxState.UNKNOWN)))
    .limit(1)
)
_READER = (
    select(Conversation.key)
    .join(OutboxItem, and_(OutboxItem.organization_id == Conversation.organization_id, OutboxItem.conversation_id == Conversation.id))
    .where(ours(OutboxItem), OutboxItem.id == given("item"))
)
_SAID_BETWEEN = (
    select(func.count())
    .select_from(Message)
    .join(OutboxItem, and_(OutboxItem.organization_id == Message.organization_id, OutboxItem.message_id == Message.id))
    .where(ours(Message), Message.user_id == given("user"), Message.id >= given("first"), Message.kind == given("of_kind"))
    .where(Message.at >= given("since"), Message.at < given("until"), OutboxItem.state != OutboxState.DEAD)
)
_ITEM_COUNTS = select(OutboxItem.state, func.count()).where(ours(OutboxItem)).group_by(OutboxItem.state)


class Outbox(Repository):
    """Replies to be delivered: (streaming →) ready → sending → sent, unknown or dead. `to_send`: what this act promised unasked."""

    def __init__(self, connection: AsyncConnection, organization: str) -> None:
        super().__init__(connection, organization)
        self.to_send: list[ToSend] = []

    async def open_stream(self, *, conversation_id: UUID, event_id: UUID, claim: Claim) -> OutboxItem:
        """Promise that a reply to this event is being shown; what a crash left of an earlier showing is taken up again."""
        left = await self._first(OutboxItem, _TAKE_UP_STREAM, event=event_id, owner=claim.owner, lease_until=claim.until)
        if left is not None:
            return left
        row: dict[str, Any] = {"conversation_id": conversation_id, "event_id": event_id, "message_id": None, "created_at": claim.now}
        row |= {"state": OutboxState.STREAMING, "owner": claim.owner, "lease_until": claim.until}
        item = OutboxItem(organization_id=self._organization, id=new_id(), **row)
        await self._insert(_ADD_ITEM, **values_of(item))
        return item

    async def show(self, item_id: UUID, channel_message_id: str) -> None:
        """The channel's message in which the stream is seen."""
        await self._changes(_SHOW, item=item_id, channel_message_id=channel_message_id)

    async def promise(
        self, reply: Message, *, delivered: bool, streamed: bool = False, retried: bool = False, shown_in: str | None = None, now: datetime
    ) -> bool:
        """The recorded reply will be delivered (or is, where recording delivers). Says whether it takes the place of a crashed stream.

        `streamed`: this attempt showed it while it grew, or tried to; `retried`: what an earlier one may have shown was not taken up by it.
        `shown_in`: the channel's message that shows it.
        """
        values: dict[str, Any] = {"message_id": reply.id, "state": OutboxState.SENT if delivered else OutboxState.READY}
        values |= {"owner": None, "lease_until": None, "sent_at": now if delivered else None}
        values |= {"channel_message_id": shown_in} if shown_in else {}
        if streamed or retried:
            seen = {"recovered": True} if retried else {}
            if (recovered := await self._value(_FINISH_STREAM, event=reply.reply_to, **values, **seen)) is not None:
                return recovered
        item_id = new_id() if reply.reply_to else reply.id
        row = {"id": item_id, "conversation_id": reply.conversation_id, "event_id": reply.reply_to, "created_at": now}
        await self._insert(_ADD_ITEM, attempts=0, recovered=False, **row, **values)
        return False

    async def say(self, message: Message, *, channel: str, delivered: bool, now: datetime) -> None:
        """A recorded message will be delivered though nobody asked for it, under its own id; the workers are woken by the commit."""
        await self.promise(message, delivered=delivered, now=now)
        self.to_send.append(ToSend(channel=channel, conversation_id=message.conversation_id, message_id=message.id))

    async def say_all(self, said: Sequence[tuple[Message, str, bool]], now: datetime) -> None:
        """`say` for several recorded messages, each with its channel and whether recording delivers it."""
        rows = [
            {"message_id": message.id, "conversation_id": message.conversation_id, "event_id": None, "id": new_id(), "created_at": now}
            | {"state": OutboxState.SENT if delivered else OutboxState.READY, "sent_at": now if delivered else None}
            | {"attempts": 0, "recovered": False}
            for message, _, delivered in said
        ]
        await self._insert_all(_ADD_ITEM, rows)
        self.to_send += [ToSend(channel=at, conversation_id=m.conversation_id, message_id=m.id) for m, at, _ in said]

    async def void(self, event_id: UUID, *, keeps: bool = False) -> UUID | None:
        """The reply to this event is not sent any more, if it is not on its way; its message's id.

        `keeps`: another reply is to take the place of what the channel shows of this one already.
        """
        return await self._value(_VOID, event=event_id, keeps=keeps)

    async def claim_next(self, conversation_id: UUID, claim: Claim) -> OutboxItem | None:
        """Take the oldest unsent reply of a conversation, if it is its turn."""
        lease = {"owner": claim.owner, "lease_until": claim.until}
        return await self._first(OutboxItem, _CLAIM_ITEM, conversation=conversation_id, now=claim.now, **lease)

    async def has_more(self, conversation_id: UUID) -> bool:
        """Whether a conversation has replies that nobody is sending."""
        return await self._value(_UNTAKEN, conversation=conversation_id) is not None

    async def load(self, item: OutboxItem) -> Promised:
        """The item with the reply it carries and the conversation it goes to."""
        row = (await self._execute(_PROMISED, message=item.message_id)).one()
        message, conversation = split(row, Message, Conversation)
        told = row[-1] or message.details or {}  # what answers nothing tells itself where it belongs
        return Promised(item=item, message=message, conversation=conversation, reply_to=row[-2], asked=told)

    async def reader(self, item_id: UUID) -> str | None:
        """The channel's id of the conversation that an item went to."""
        return await self._value(_READER, item=item_id)

    async def said_between(self, user_id: UUID, kind: str, since: datetime, until: datetime) -> int:
        """How many messages of a kind were promised to a person in that time, and not given up; nobody else counts until this act ends."""
        await lock_until_commit(self._connection, f"{self._organization}:{kind}:{user_id}")
        when = {"first": first_id_at(since), "since": since, "until": until}
        return await self._value(_SAID_BETWEEN, user=user_id, of_kind=kind, **when) or 0

    async def lapsed(self, now: datetime) -> bool:
        """Whether something was being sent by someone whose lease has run out."""
        return await self._value(_LAPSED, now=now) is not None

    async def settle(self, item: OutboxItem, state: OutboxState, **changes: Any) -> None:
        """Give an item that is being sent its next state. Raises Conflict where it has passed to someone else."""
        values = {"state": state, "owner": None, "lease_until": None, **changes}
        if not await self._changes(_SETTLE_ITEM, item=item.id, holder=item.owner, attempt=item.attempts, **values):
            raise Conflict(f"reply {item.id} was taken over")

    async def renew(self, item_ids: Collection[UUID], claim: Claim) -> None:
        """Hold these items for longer."""
        await self._changes(_RENEW_ITEMS, items=list(item_ids), holder=claim.owner, lease_until=claim.until)

    async def owners(self) -> set[str]:
        """Who is sending at present."""
        return {owner for owner in await self._values(_ITEM_OWNERS) if owner}

    async def give_up_on(self, owners: set[str], now: datetime) -> None:
        """What these dead owners, or anyone whose lease ran out, was sending may or may not have arrived."""
        await self._changes(_GIVE_UP, owners=list(owners), now=now)

    async def waiting(self, now: datetime) -> set[tuple[UUID, str]]:
        """The conversations in which something can be sent now, each with its channel."""
        return {(conversation_id, channel) for conversation_id, channel in await self._execute(_TO_SEND, now=now)}

    async def counts(self) -> dict[str, int]:
        """How many replies are in each state."""
        return dict((await self._execute(_ITEM_COUNTS)).all())
