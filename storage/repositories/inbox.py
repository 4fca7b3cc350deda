"""The ledger's beginning: questions about events to be answered, and the claims by which they change hands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, and_, case, exists, func, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from bot.domain.errors import Conflict
from storage.dialects import insert_or_skip, lock_until_commit
from storage.models.messaging import InboxEvent, InboxState, Message
from storage.models.people import User
from storage.repositories.base import Claim, Repository, due, first_id_at, ours, split

WAITING = (InboxState.RECEIVED, InboxState.CLAIMED)
HELD = (InboxState.CLAIMED, InboxState.QUEUED)
"""Where an event may have an owner. A queued one stays queued while it is tried again, so that what is newer need not wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A claimed event, the message it brought and who sent it."""

    event: InboxEvent
    message: Message
    user: User

    @property
    def details(self) -> Mapping[str, Any]:
        """The rest of what is known of the message."""
        return self.message.details or {}

    @property
    def is_held(self) -> bool:
        """Whether the answer waits for the owner's yes."""
        return bool(self.details.get("is_held"))

    @property
    def is_by_stranger(self) -> bool:
        """Whether somebody wrote it for whom nobody vouches, to whom `user` is."""
        return bool(self.details.get("is_stranger"))


_other = aliased(InboxEvent)
_EVENTS = select(InboxEvent).where(ours(InboxEvent))
_EVENT_IDS = select(InboxEvent.id).where(ours(InboxEvent), InboxEvent.conversation_id == given("conversation")).limit(1)
_CLAIMABLE = or_(
    and_(InboxEvent.state == InboxState.RECEIVED, due(InboxEvent)),
    and_(InboxEvent.state == InboxState.CLAIMED, InboxEvent.lease_until < given("now")),
)
_IS_FREE = or_(InboxEvent.owner.is_(None), InboxEvent.lease_until < given("now"))
_IS_BUSY = exists().where(
    ours(_other),
    _other.conversation_id == InboxEvent.conversation_id,
    or_(_other.state.in_(WAITING), and_(_other.state == InboxState.QUEUED, _other.lease_until >= given("now"))),
)
_HELD = and_(ours(InboxEvent), InboxEvent.state.in_(HELD))

_ADD_EVENT = insert_or_skip(InboxEvent)
_EVENT = _EVENTS.where(
    InboxEvent.channel == given("channel"), InboxEvent.account == given("account"), InboxEvent.external_id == given("external_id")
)
_EVENT_TO_CHANGE = _EVENT.with_for_update()
_EVENT_BY_ID = _EVENTS.where(InboxEvent.id == given("event"))
_HEAD = _EVENT_IDS.where(InboxEvent.state.in_(WAITING)).order_by(case((InboxEvent.state == InboxState.CLAIMED, 0), else_=1), InboxEvent.id)
_CLAIM = update(InboxEvent).where(ours(InboxEvent)).values(attempts=InboxEvent.attempts + 1).returning(InboxEvent)
_CLAIM_NEXT = _CLAIM.where(InboxEvent.id == _HEAD.scalar_subquery(), _CLAIMABLE)
_CLAIM_QUEUED = _CLAIM.where(InboxEvent.id == given("event"), InboxEvent.state == InboxState.QUEUED, _IS_FREE, ~_IS_BUSY)
_UNCLAIMED = _EVENT_IDS.where(InboxEvent.state == InboxState.RECEIVED)
_CLAIMED = (_HELD, InboxEvent.id == given("event"), InboxEvent.owner == given("holder"), InboxEvent.attempts == given("attempt"))
_SETTLE_EVENT = update(InboxEvent).where(*_CLAIMED)
_IS_HELD = select(InboxEvent.id).where(*_CLAIMED).with_for_update()
_ASKED = (
    select(Message, User)
    .join(User, and_(User.organization_id == Message.organization_id, User.id == Message.user_id))
    .where(ours(Message), Message.id == given("event"))
)
_RENEW_EVENTS = update(InboxEvent).where(
    ours(InboxEvent), InboxEvent.owner == given("holder"), InboxEvent.id.in_(given("events", expanding=True))
)
_EVENT_OWNERS = select(InboxEvent.owner).where(_HELD).distinct()
_RELEASE = (
    update(InboxEvent)
    .where(_HELD, InboxEvent.owner.in_(given("owners", expanding=True)))
    .values(state=case((InboxEvent.state == InboxState.CLAIMED, InboxState.RECEIVED), else_=InboxEvent.state), owner=None, lease_until=None)
)
_TO_ANSWER = select(InboxEvent.conversation_id).where(ours(InboxEvent), InboxEvent.state.in_(WAITING), _CLAIMABLE)
_QUEUED = (
    select(InboxEvent.id)
    .where(ours(InboxEvent), InboxEvent.state == InboxState.QUEUED)
    .order_by(InboxEvent.crashes, InboxEvent.attempts, InboxEvent.id)
    .limit(given("count", type_=Integer))
)
_REOPEN = (
    update(InboxEvent)
    .where(ours(InboxEvent), InboxEvent.id == given("event"))
    .values(owner=None, lease_until=None, answered_at=None, next_attempt_at=None)
)
_ASKED_SINCE = (
    select(func.count())
    .where(ours(InboxEvent), InboxEvent.channel == given("channel"), InboxEvent.account == given("account"))
    .where(InboxEvent.received_at > given("since"), InboxEvent.state != InboxState.NOTED)
)
_STRANGERS_SINCE = (
    select(func.count())
    .select_from(InboxEvent)
    .join(Message, and_(Message.organization_id == InboxEvent.organization_id, Message.id == InboxEvent.id))
    .where(ours(InboxEvent), InboxEvent.id >= given("first"), InboxEvent.received_at > given("since"))
    .where(InboxEvent.channel == given("channel"), InboxEvent.state != InboxState.NOTED, Message.digest.is_(None))
)
_EVENT_COUNTS = select(InboxEvent.state, func.count()).where(ours(InboxEvent)).group_by(InboxEvent.state)

_QUEUED_OF = (
    select(Message.text)
    .join(InboxEvent, and_(InboxEvent.organization_id == Message.organization_id, InboxEvent.id == Message.id))
    .where(ours(Message), Message.user_id == given("user"), InboxEvent.state == InboxState.QUEUED)
    .order_by(Message.id)
)


class Inbox(Repository):
    """Events to be answered: received → claimed → answered."""

    async def add_once(self, **values: Any) -> bool:
        """Keep an event unless it is known already; says whether it is new. The values are the columns of `InboxEvent`."""
        return await self._insert(_ADD_EVENT, **{"state": InboxState.RECEIVED, "attempts": 0, "crashes": 0, **values})

    async def find(self, *, channel: str, account: str, external_id: str) -> InboxEvent | None:
        """The event which a channel gave this id."""
        return await self._first(InboxEvent, _EVENT, channel=channel, account=account, external_id=external_id)

    async def find_to_change(self, *, channel: str, account: str, external_id: str) -> InboxEvent | None:
        """As `find`; nobody else can change it before this act ends."""
        return await self._first(InboxEvent, _EVENT_TO_CHANGE, channel=channel, account=account, external_id=external_id)

    async def find_by_id(self, event_id: UUID) -> InboxEvent | None:
        """The event of this id."""
        return await self._first(InboxEvent, _EVENT_BY_ID, event=event_id)

    async def claim_next(self, conversation_id: UUID, claim: Claim) -> InboxEvent | None:
        """Take the oldest waiting event, unless another worker holds this conversation: the claim is one statement, so that one wins."""
        return await self._claim(_CLAIM_NEXT, claim, InboxState.CLAIMED, conversation=conversation_id)

    async def claim_queued(self, event_id: UUID, claim: Claim) -> InboxEvent | None:
        """Take a question that still waits for a real answer, unless its conversation is at something else; it stays queued."""
        await lock_until_commit(self._connection, f"{self._organization}:late")  # two hubs would see no claim of each other's yet
        return await self._claim(_CLAIM_QUEUED, claim, InboxState.QUEUED, event=event_id)

    async def has_more(self, conversation_id: UUID) -> bool:
        """Whether a conversation has events that nobody has claimed."""
        return await self._value(_UNCLAIMED, conversation=conversation_id) is not None

    async def settle(self, event: InboxEvent, state: InboxState, *, now: datetime, **changes: Any) -> None:
        """Give a claimed event its next state. Raises Conflict where the claim has passed to someone else."""
        answered_at = now if state is InboxState.ANSWERED else None
        values = {"state": state, "owner": None, "lease_until": None, "answered_at": answered_at, **changes}
        if not await self._changes(_SETTLE_EVENT, event=event.id, holder=event.owner, attempt=event.attempts, **values):
            raise Conflict(f"event {event.id} was taken over")

    async def load(self, event: InboxEvent) -> Asked:
        """The event with the message it brought and its sender."""
        message, user = split((await self._execute(_ASKED, event=event.id)).one(), Message, User)
        return Asked(event=event, message=message, user=user)

    async def reopen(self, event_id: UUID, state: InboxState) -> None:
        """An event gets another state, whoever holds it: that claim is void."""
        await self._changes(_REOPEN, event=event_id, state=state)

    async def is_held(self, event: InboxEvent) -> bool:
        """Whether a claim still counts; it does at least until this act ends."""
        return await self._value(_IS_HELD, event=event.id, holder=event.owner, attempt=event.attempts) is not None

    async def asked_since(self, channel: str, account: str, since: datetime) -> int:
        """How much an account has asked since a moment, without what wants no answer."""
        return await self._value(_ASKED_SINCE, channel=channel, account=account, since=since) or 0

    async def strangers_since(self, channel: str, since: datetime) -> int:
        """How much all those together have asked since a moment for whom nobody vouches (no words of theirs are found again)."""
        return await self._value(_STRANGERS_SINCE, channel=channel, since=since, first=first_id_at(since)) or 0

    async def renew(self, event_ids: Collection[UUID], claim: Claim) -> None:
        """Hold these events for longer."""
        await self._changes(_RENEW_EVENTS, events=list(event_ids), holder=claim.owner, lease_until=claim.until)

    async def owners(self) -> set[str]:
        """Who holds events at present."""
        return {owner for owner in await self._values(_EVENT_OWNERS) if owner}

    async def release(self, owners: set[str]) -> None:
        """What these owners held is free again (they are dead)."""
        await self._changes(_RELEASE, owners=list(owners))

    async def waiting(self, now: datetime) -> set[UUID]:
        """The conversations to look at: in each, something is due or its lease has run out."""
        return set(await self._values(_TO_ANSWER, now=now))

    async def queued(self, *, limit: int) -> Sequence[UUID]:
        """The first questions that still wait for a real answer: least failed by their own fault, then at all, then the oldest."""
        return await self._values(_QUEUED, count=limit)

    async def queued_of(self, user_id: UUID) -> Sequence[str]:
        """What a person asked, in their own words, that still waits for a real answer, oldest first."""
        return await self._values(_QUEUED_OF, user=user_id)

    async def counts(self) -> dict[str, int]:
        """How many events are in each state."""
        return dict((await self._execute(_EVENT_COUNTS)).all())

    async def _claim(self, statement: ReturningUpdate[InboxEvent], claim: Claim, state: InboxState, **which: UUID) -> InboxEvent | None:
        values = {"state": state, "owner": claim.owner, "lease_until": claim.until}
        return await self._first(InboxEvent, statement, now=claim.now, **values, **which)
