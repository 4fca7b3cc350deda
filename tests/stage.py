"""A household on a real database, for tests of what is asked of it: Allan, Grace, and a private conversation of Allan's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from bot.domain.clock import new_id
from storage.database import Database
from storage.models.messaging import Conversation, InboxEvent, Message, OutboxItem
from storage.models.people import User
from storage.repositories.base import Claim
from tests.clock import FakeClock

LEASE_SECONDS = 20.0


@dataclass(kw_only=True)
class Stage:
    """What a test puts its rows on."""

    database: Database
    clock: FakeClock
    allan: User
    grace: User
    conversation: Conversation

    def claim(self, owner: str = "here:1:a") -> Claim:
        """A claim of this owner, from now on."""
        now = self.clock.now()
        return Claim(owner=owner, now=now, until=now + timedelta(seconds=LEASE_SECONDS))

    async def another_conversation(self, key: str) -> Conversation:
        """A further private conversation of Allan's."""
        async with self.database.unit_of_work() as work:
            return await work.conversations.ensure(
                channel="web", key=key, user_id=self.allan.id, session_type="private", now=self.clock.now()
            )

    def message(self, text: str, **values: Any) -> Message:
        """A message of Allan's, not stored yet."""
        known: dict[str, Any] = {
            "organization_id": self.database.organization,
            "id": new_id(),
            "conversation_id": self.conversation.id,
            "user_id": self.allan.id,
            "direction": "in",
            "kind": "message",
            "text": text,
            "at": self.clock.now(),
            "session_type": "private",
        }
        return Message(**(known | values))

    async def says(self, text: str, **values: Any) -> Message:
        """Store a message."""
        message = self.message(text, **values)
        async with self.database.unit_of_work() as work:
            await work.messages.add(message)
        return message

    async def receives(self, text: str = "hello", *, conversation: Conversation | None = None, external_id: str = "") -> UUID:
        """Store an event with its message; its id."""
        where = (conversation or self.conversation).id
        message = self.message(text, conversation_id=where)
        async with self.database.unit_of_work() as work:
            assert await work.inbox.add_once(**self.event(message, external_id=external_id))
            await work.messages.add(message)
        return message.id

    def event(self, message: Message, *, external_id: str = "") -> dict[str, Any]:
        """The columns of the event that brought a message."""
        return {
            "id": message.id,
            "channel": "web",
            "account": "allan",
            "external_id": external_id or str(message.id),
            "conversation_id": message.conversation_id,
            "kind": "message",
            "raw": "{}",
            "received_at": self.clock.now(),
        }

    async def claims(self, owner: str = "here:1:a", *, late: bool = False, conversation: Conversation | None = None) -> InboxEvent | None:
        """What this owner gets from the conversation's inbox."""
        async with self.database.unit_of_work() as work:
            conversation_id = (conversation or self.conversation).id
            if not late:
                return await work.inbox.claim_next(conversation_id, self.claim(owner))
            for event_id in await work.inbox.queued(limit=10):
                event = await work.inbox.find_by_id(event_id)
                if event is not None and event.conversation_id == conversation_id:
                    return await work.inbox.claim_queued(event_id, self.claim(owner))
            return None

    async def answers(self, event_id: UUID, text: str = "hello yourself", *, delivered: bool = False, **values: Any) -> Message:
        """Store a reply and the promise to deliver it."""
        reply = self.message(text, direction="out", kind="answer", reply_to=event_id, **values)
        async with self.database.unit_of_work() as work:
            await work.messages.add(reply)
            await work.outbox.promise(reply, delivered=delivered, now=self.clock.now())
        return reply

    async def takes(self, owner: str = "here:1:a") -> OutboxItem | None:
        """What this owner gets from the conversation's outbox."""
        async with self.database.unit_of_work() as work:
            return await work.outbox.claim_next(self.conversation.id, self.claim(owner))


async def set_stage(database: Database, clock: FakeClock) -> Stage:
    """The household and its conversation, stored."""
    now = clock.now()
    async with database.unit_of_work() as work:
        await work.people.ensure_organization(now)
        allan = await work.people.ensure_user(name="Allan", role="owner", timezone="UTC", now=now)
        grace = await work.people.ensure_user(name="Grace", role="member", timezone="UTC", now=now)
        conversation = await work.conversations.ensure(channel="web", key="allan", user_id=allan.id, session_type="private", now=now)
    return Stage(database=database, clock=clock, allan=allan, grace=grace, conversation=conversation)
