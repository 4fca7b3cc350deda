"""Questions about what was said, and the claims by which the ledger's rows change hands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from bot.domain.errors import Conflict
from storage.dialects import upsert
from storage.models.messaging import Conversation, InboxEvent, InboxState, Message, OutboxItem, OutboxState
from storage.models.people import User
from storage.repositories.base import Repository

WAITING = (InboxState.RECEIVED, InboxState.CLAIMED)
UNSENT = (OutboxState.STREAMING, OutboxState.READY, OutboxState.SENDING, OutboxState.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Who takes a row, when, and until when it is theirs unless renewed."""

    owner: str
    now: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A claimed event, the message it brought and who sent it."""

    event: InboxEvent
    message: Message
    user: User


@dataclass(frozen=True, kw_only=True, slots=True)
class Promised:
    """A claimed reply on its way out: its text, where it goes, and the channel's id of the message it answers."""

    item: OutboxItem
    message: Message
    conversation: Conversation
    reply_to: str | None


class Conversations(Repository):
    """Conversations on channels."""

    async def ensure(self, *, channel: str, key: str, user_id: UUID, session_type: str, now: datetime) -> Conversation:
        """The conversation of this key, made if it is new."""
        found = await self.find(channel=channel, key=key)
        if found is not None:
            return found
        row = {"organization_id": self._organization, "id": new_id(), "channel": channel, "key": key}
        row |= {"user_id": user_id, "session_type": session_type, "created_at": now}
        await self._session.execute(upsert(self._session, Conversation).values(**row).on_conflict_do_nothing())
        found = await self.find(channel=channel, key=key)
        assert found is not None
        return found

    async def find(self, *, channel: str, key: str) -> Conversation | None:
        """The conversation of this key."""
        query = select(Conversation).where(
            Conversation.organization_id == self._organization, Conversation.channel == channel, Conversation.key == key
        )
        return (await self._session.scalars(query)).first()

    async def find_by_id(self, conversation_id: UUID) -> Conversation | None:
        """The conversation of this id."""
        return await self._session.get(Conversation, (self._organization, conversation_id))


class Messages(Repository):
    """What was said, verbatim."""

    def add(self, message: Message) -> None:
        """Keep one message, with the commit."""
        self._session.add(message)

    async def find_by_id(self, message_id: UUID) -> Message | None:
        """The message of this id."""
        return await self._session.get(Message, (self._organization, message_id))

    async def find_reply(self, message_id: UUID, kinds: Sequence[str] = ()) -> Message | None:
        """The first reply to this message (of these kinds, where given)."""
        query = select(Message).where(Message.organization_id == self._organization, Message.reply_to == message_id)
        if kinds:
            query = query.where(Message.kind.in_(kinds))
        return (await self._session.scalars(query.order_by(Message.id).limit(1))).first()

    async def mark_recovered(self, message_id: UUID) -> None:
        """This message may have been delivered twice."""
        mine = (Message.organization_id == self._organization, Message.id == message_id)
        await self._session.execute(update(Message).where(*mine).values(recovered=True))

    async def latest(self, conversation_id: UUID, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* messages of a conversation (before one of them, where given), oldest first."""
        query = select(Message).where(Message.organization_id == self._organization, Message.conversation_id == conversation_id)
        if before is not None:
            query = query.where(Message.id < before)
        return list(reversed((await self._session.scalars(query.order_by(Message.id.desc()).limit(limit))).all()))

    async def since(self, conversation_id: UUID, after: UUID | None, *, limit: int) -> Sequence[Message]:
        """The messages of a conversation that came after one of them, oldest first."""
        query = select(Message).where(Message.organization_id == self._organization, Message.conversation_id == conversation_id)
        if after is not None:
            query = query.where(Message.id > after)
        return (await self._session.scalars(query.order_by(Message.id).limit(limit))).all()

    async def said_by(self, user_id: UUID, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* things a person said in private, wherever, oldest first."""
        query = select(Message).where(
            Message.organization_id == self._organization,
            Message.user_id == user_id,
            Message.direction == "in",
            Message.session_type == "private",
        )
        if before is not None:
            query = query.where(Message.id < before)
        return list(reversed((await self._session.scalars(query.order_by(Message.id.desc()).limit(limit))).all()))

    async def find_earlier_answer(self, user_id: UUID, digest: str, *, before: UUID) -> Message | None:
        """A model's latest answer to the same words of the same person, said in private."""
        question = aliased(Message)
        query = (
            select(Message)
            .join(question, and_(question.organization_id == Message.organization_id, question.id == Message.reply_to))
            .where(
                question.organization_id == self._organization,
                question.user_id == user_id,
                question.digest == digest,
                question.id < before,
                question.session_type == "private",
                Message.kind.in_(("answer", "late")),
            )
            .order_by(Message.id.desc())
            .limit(1)
        )
        return (await self._session.scalars(query)).first()

    async def latest_at(self) -> datetime | None:
        """When the last message was said."""
        return await self._session.scalar(
            select(Message.at).where(Message.organization_id == self._organization).order_by(Message.id.desc()).limit(1)
        )


class Inbox(Repository):
    """Events to be answered: received → claimed → answered."""

    async def add_once(self, **values: Any) -> bool:
        """Keep an event unless it is known already; says whether it is new. The values are the columns of `InboxEvent`."""
        row = upsert(self._session, InboxEvent).values(
            organization_id=self._organization, state=InboxState.RECEIVED, attempts=0, crashes=0, **values
        )
        return await self._session.scalar(row.on_conflict_do_nothing().returning(InboxEvent.id)) is not None

    async def find(self, *, channel: str, account: str, external_id: str) -> InboxEvent | None:
        """The event which a channel gave this id."""
        query = select(InboxEvent).where(
            InboxEvent.organization_id == self._organization,
            InboxEvent.channel == channel,
            InboxEvent.account == account,
            InboxEvent.external_id == external_id,
        )
        return (await self._session.scalars(query)).first()

    async def find_by_id(self, event_id: UUID) -> InboxEvent | None:
        """The event of this id."""
        return await self._session.get(InboxEvent, (self._organization, event_id))

    async def claim_next(self, conversation_id: UUID, claim: Claim) -> InboxEvent | None:
        """Take the oldest waiting event, unless another worker holds this conversation."""
        head = (
            self._of(conversation_id)
            .where(InboxEvent.state.in_(WAITING))
            .order_by(case((InboxEvent.state == InboxState.CLAIMED, 0), else_=1), InboxEvent.id)
            .limit(1)
        )
        due = and_(
            InboxEvent.state == InboxState.RECEIVED, or_(InboxEvent.next_attempt_at.is_(None), InboxEvent.next_attempt_at <= claim.now)
        )
        expired = and_(InboxEvent.state == InboxState.CLAIMED, InboxEvent.lease_until < claim.now)
        return await self._claim(head, or_(due, expired), claim)

    async def claim_queued(self, conversation_id: UUID, claim: Claim) -> InboxEvent | None:
        """Take the oldest question that still waits for a real answer, unless something newer is being answered."""
        head = self._of(conversation_id).where(InboxEvent.state == InboxState.QUEUED).order_by(InboxEvent.id).limit(1)
        other = aliased(InboxEvent)
        busy = exists().where(
            other.organization_id == self._organization, other.conversation_id == conversation_id, other.state.in_(WAITING)
        )
        return await self._claim(head, and_(InboxEvent.state == InboxState.QUEUED, ~busy), claim)

    async def settle(self, event: InboxEvent, state: InboxState, *, now: datetime, **changes: Any) -> None:
        """Give a claimed event its next state. Raises Conflict where the claim has passed to someone else."""
        mine = (
            InboxEvent.organization_id == self._organization,
            InboxEvent.id == event.id,
            InboxEvent.state == InboxState.CLAIMED,
            InboxEvent.owner == event.owner,
            InboxEvent.attempts == event.attempts,
        )
        answered_at = now if state is InboxState.ANSWERED else None
        values = {"state": state, "owner": None, "lease_until": None, "answered_at": answered_at, **changes}
        if not await self._changes(update(InboxEvent).where(*mine).values(**values)):
            raise Conflict(f"event {event.id} was taken over")

    async def load(self, event: InboxEvent) -> Asked:
        """The event with the message it brought and its sender."""
        query = (
            select(Message, User)
            .join(User, and_(User.organization_id == Message.organization_id, User.id == Message.user_id))
            .where(Message.organization_id == self._organization, Message.id == event.id)
        )
        message, user = (await self._session.execute(query)).one()
        return Asked(event=event, message=message, user=user)

    async def renew(self, event_ids: Collection[UUID], claim: Claim) -> None:
        """Hold these events for longer."""
        mine = (InboxEvent.organization_id == self._organization, InboxEvent.owner == claim.owner, InboxEvent.id.in_(event_ids))
        await self._session.execute(update(InboxEvent).where(*mine).values(lease_until=claim.until))

    async def owners(self) -> set[str]:
        """Who holds events at present."""
        held = select(InboxEvent.owner).where(InboxEvent.organization_id == self._organization, InboxEvent.state == InboxState.CLAIMED)
        return {owner for owner in (await self._session.scalars(held.distinct())).all() if owner}

    async def release(self, owners: set[str]) -> None:
        """What these owners held is free again (they are dead)."""
        theirs = (InboxEvent.organization_id == self._organization, InboxEvent.state == InboxState.CLAIMED, InboxEvent.owner.in_(owners))
        await self._session.execute(update(InboxEvent).where(*theirs).values(state=InboxState.RECEIVED, owner=None, lease_until=None))

    async def waiting(self, now: datetime) -> Sequence[UUID]:
        """The conversations in which something can be claimed now."""
        due = and_(InboxEvent.state == InboxState.RECEIVED, or_(InboxEvent.next_attempt_at.is_(None), InboxEvent.next_attempt_at <= now))
        expired = and_(InboxEvent.state == InboxState.CLAIMED, InboxEvent.lease_until < now)
        query = select(InboxEvent.conversation_id).where(InboxEvent.organization_id == self._organization, or_(due, expired)).distinct()
        return (await self._session.scalars(query)).all()

    async def queued(self) -> Sequence[UUID]:
        """The conversations that still wait for a real answer, the longest waiting first."""
        query = (
            select(InboxEvent.conversation_id)
            .where(InboxEvent.organization_id == self._organization, InboxEvent.state == InboxState.QUEUED)
            .group_by(InboxEvent.conversation_id)
            .order_by(func.min(InboxEvent.received_at))
        )
        return (await self._session.scalars(query)).all()

    async def counts(self) -> dict[str, int]:
        """How many events are in each state."""
        query = select(InboxEvent.state, func.count()).where(InboxEvent.organization_id == self._organization).group_by(InboxEvent.state)
        return {state: count for state, count in (await self._session.execute(query)).all()}

    def _of(self, conversation_id: UUID) -> Select[UUID]:
        return select(InboxEvent.id).where(InboxEvent.organization_id == self._organization, InboxEvent.conversation_id == conversation_id)

    async def _claim(self, head: Select[UUID], condition: Any, claim: Claim) -> InboxEvent | None:
        statement = (
            update(InboxEvent)
            .where(InboxEvent.organization_id == self._organization, InboxEvent.id == head.scalar_subquery(), condition)
            .values(state=InboxState.CLAIMED, owner=claim.owner, lease_until=claim.until, attempts=InboxEvent.attempts + 1)
            .returning(InboxEvent)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).one_or_none()


class Outbox(Repository):
    """Replies to be delivered: (streaming →) ready → sending → sent, unknown or dead."""

    async def open_stream(self, *, conversation_id: UUID, event_id: UUID, claim: Claim) -> OutboxItem:
        """Promise that a reply to this event is being shown; what a crash left of an earlier showing is taken up again."""
        mine = (
            OutboxItem.organization_id == self._organization,
            OutboxItem.event_id == event_id,
            OutboxItem.state == OutboxState.STREAMING,
        )
        left = (await self._session.scalars(select(OutboxItem).where(*mine).limit(1))).first()
        if left is not None:
            left.owner, left.lease_until, left.recovered = claim.owner, claim.until, True
            await self._session.flush()
            return left
        item = OutboxItem(
            organization_id=self._organization,
            id=new_id(),
            conversation_id=conversation_id,
            event_id=event_id,
            message_id=None,
            state=OutboxState.STREAMING,
            created_at=claim.now,
            owner=claim.owner,
            lease_until=claim.until,
        )
        self._session.add(item)
        await self._session.flush()
        return item

    async def show(self, item_id: UUID, channel_message_id: str) -> None:
        """The channel's message in which the stream is seen."""
        mine = (OutboxItem.organization_id == self._organization, OutboxItem.id == item_id)
        await self._session.execute(update(OutboxItem).where(*mine).values(channel_message_id=channel_message_id))

    async def promise(
        self, *, conversation_id: UUID, event_id: UUID, message_id: UUID, delivered: bool, streamed: bool, now: datetime
    ) -> bool:
        """The recorded reply will be delivered (or is, where recording delivers). Says whether it takes up a crashed stream's place."""
        state = OutboxState.SENT if delivered else OutboxState.READY
        values: dict[str, Any] = {"message_id": message_id, "state": state, "owner": None, "lease_until": None}
        values["sent_at"] = now if delivered else None
        if streamed and (recovered := await self._finish_stream(event_id, values)) is not None:
            return recovered
        row = {"organization_id": self._organization, "id": new_id(), "conversation_id": conversation_id, "event_id": event_id}
        await self._session.execute(insert(OutboxItem).values(**row, **values, created_at=now, attempts=0, recovered=False))
        return False

    async def claim_next(self, conversation_id: UUID, claim: Claim) -> OutboxItem | None:
        """Take the oldest unsent reply of a conversation, if it is its turn."""
        head = (
            select(OutboxItem.id)
            .where(
                OutboxItem.organization_id == self._organization,
                OutboxItem.conversation_id == conversation_id,
                OutboxItem.state.in_(UNSENT),
            )
            .order_by(OutboxItem.id)
            .limit(1)
        )
        due = or_(OutboxItem.next_attempt_at.is_(None), OutboxItem.next_attempt_at <= claim.now)
        statement = (
            update(OutboxItem)
            .where(OutboxItem.organization_id == self._organization, OutboxItem.id == head.scalar_subquery())
            .where(OutboxItem.state.in_((OutboxState.READY, OutboxState.UNKNOWN)), due)
            .values(state=OutboxState.SENDING, owner=claim.owner, lease_until=claim.until, attempts=OutboxItem.attempts + 1)
            .returning(OutboxItem)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def load(self, item: OutboxItem) -> Promised:
        """The item with the reply it carries and the conversation it goes to."""
        question = aliased(Message)
        query = (
            select(Message, Conversation, question.external_id)
            .join(
                Conversation,
                and_(Conversation.organization_id == Message.organization_id, Conversation.id == Message.conversation_id),
            )
            .outerjoin(question, and_(question.organization_id == Message.organization_id, question.id == Message.reply_to))
            .where(Message.organization_id == self._organization, Message.id == item.message_id)
        )
        message, conversation, reply_to = (await self._session.execute(query)).one()
        return Promised(item=item, message=message, conversation=conversation, reply_to=reply_to)

    async def lapsed(self, now: datetime) -> bool:
        """Whether something was being sent by someone whose lease has run out."""
        lost = (OutboxItem.state == OutboxState.SENDING, OutboxItem.lease_until < now)
        return (
            await self._session.scalar(select(OutboxItem.id).where(OutboxItem.organization_id == self._organization, *lost).limit(1))
            is not None
        )

    async def settle(self, item: OutboxItem, state: OutboxState, **changes: Any) -> None:
        """Give an item that is being sent its next state. Raises Conflict where it has passed to someone else."""
        mine = (
            OutboxItem.organization_id == self._organization,
            OutboxItem.id == item.id,
            OutboxItem.state == OutboxState.SENDING,
            OutboxItem.owner == item.owner,
            OutboxItem.attempts == item.attempts,
        )
        values = {"state": state, "owner": None, "lease_until": None, **changes}
        if not await self._changes(update(OutboxItem).where(*mine).values(**values)):
            raise Conflict(f"reply {item.id} was taken over")

    async def renew(self, item_ids: Collection[UUID], claim: Claim) -> None:
        """Hold these items for longer."""
        mine = (OutboxItem.organization_id == self._organization, OutboxItem.owner == claim.owner, OutboxItem.id.in_(item_ids))
        await self._session.execute(update(OutboxItem).where(*mine).values(lease_until=claim.until))

    async def owners(self) -> set[str]:
        """Who is sending at present."""
        held = select(OutboxItem.owner).where(OutboxItem.organization_id == self._organization, OutboxItem.state == OutboxState.SENDING)
        return {owner for owner in (await self._session.scalars(held.distinct())).all() if owner}

    async def give_up_on(self, owners: set[str], now: datetime) -> None:
        """What these dead owners, or anyone whose lease ran out, was sending may or may not have arrived."""
        lost = or_(OutboxItem.owner.in_(owners), OutboxItem.lease_until < now)
        theirs = (OutboxItem.organization_id == self._organization, OutboxItem.state == OutboxState.SENDING, lost)
        await self._session.execute(
            update(OutboxItem).where(*theirs).values(state=OutboxState.UNKNOWN, owner=None, lease_until=None, recovered=True)
        )

    async def waiting(self, now: datetime) -> Sequence[UUID]:
        """The conversations in which something can be sent now."""
        due = or_(OutboxItem.next_attempt_at.is_(None), OutboxItem.next_attempt_at <= now)
        query = select(OutboxItem.conversation_id).where(
            OutboxItem.organization_id == self._organization, OutboxItem.state.in_((OutboxState.READY, OutboxState.UNKNOWN)), due
        )
        return (await self._session.scalars(query.distinct())).all()

    async def counts(self) -> dict[str, int]:
        """How many replies are in each state."""
        query = select(OutboxItem.state, func.count()).where(OutboxItem.organization_id == self._organization).group_by(OutboxItem.state)
        return {state: count for state, count in (await self._session.execute(query)).all()}

    async def _finish_stream(self, event_id: UUID, values: dict[str, Any]) -> bool | None:
        """Whether the stream's item was a recovered one; None where the event has no stream."""
        statement = (
            update(OutboxItem)
            .where(OutboxItem.organization_id == self._organization, OutboxItem.event_id == event_id)
            .where(OutboxItem.state == OutboxState.STREAMING)
            .values(**values)
            .returning(OutboxItem.recovered)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).one_or_none()
