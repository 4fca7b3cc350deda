"""What was said in one person's own conversation, for the page and the API: nobody finds anybody else's here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from bot.domain.address import Address, Person
from bot.domain.clock import Clock
from bot.domain.message import Inbound, InboundKind
from bot.domain.vocabulary import adjusts
from bot.hub.server import Problem
from bot.learning.realtime import takes_word
from storage.database import Database
from storage.models.decisions import Feedback
from storage.models.messaging import Conversation, Message
from storage.repositories.inbox import WAITING

IN = "in"
MAIN = "main"
"""The conversation of whoever names none."""
LONGEST_ID = 200
"""Characters in the id that a caller gives a message."""
FLUSH = 500
SKEW_MS = 30_000
"""Ids are made before their rows are committed, by several processes with their own clocks: this far back something may still turn up."""


Words = Mapping[UUID, Feedback]
"""What became of answers, by their ids."""


class Door(Protocol):
    """The web's dialect."""

    def address(self, person: Person, conversation: str) -> Address | None:
        """Where a conversation of this name takes place; None for a name that cannot be one."""

    def to_inbound(self, person: Person, address: Address, *, text: str, external_id: str, at: datetime, target: str = "") -> Inbound:
        """What a person wrote, or the button they pressed under the message *target*."""


class Transcripts:
    """Reads conversations by their person and name."""

    def __init__(self, *, database: Database, door: Door, clock: Clock) -> None:
        self._database = database
        self._door = door
        self._clock = clock

    def address(self, person: Person, name: str) -> Address:
        """The address of *person*'s conversation *name*. Raises Problem."""
        if (address := self._door.address(person, name)) is None:
            raise Problem(400, "bad_conversation", "a conversation's name is up to 64 letters, digits, spaces, dots, dashes")
        return address

    async def conversation(self, person: Person, address: Address) -> Conversation:
        """The conversation, made if it is new."""
        values: dict[str, Any] = {"channel": address.channel, "key": address.conversation}
        async with self._database.reading() as work:
            found = await work.conversations.find(**values)
        if found is None:
            async with self._database.unit_of_work() as work:
                values |= {"user_id": person.id, "session_type": address.session_type}
                found = await work.conversations.ensure(**values, now=self._clock.now())
        return found

    async def latest(self, address: Address, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* messages (before one of them, where given), oldest first."""
        async with self._database.reading() as work:
            conversation = await work.conversations.find(channel=address.channel, key=address.conversation)
            return [] if conversation is None else await work.messages.latest(conversation.id, limit=limit, before=before)

    async def recent(self, conversation_id: UUID, *, limit: int) -> list[Message]:
        """The last *limit* messages of a conversation that is known, oldest first."""
        async with self._database.reading() as work:
            return await work.messages.latest(conversation_id, limit=limit)

    async def message(self, message_id: UUID) -> Message:
        """The message of this id, which exists."""
        async with self._database.reading() as work:
            found = await work.messages.find_by_id(message_id)
        assert found is not None
        return found

    async def answer(self, person: Person, message_id: UUID | None) -> Message:
        """What *person* was answered, and may judge. Raises Problem."""
        async with self._database.reading() as work:
            found = await work.messages.find_by_id(message_id) if message_id else None
        if found is None or found.user_id != person.id or not takes_word(found):
            raise Problem(404, "no_answer", "there is no such answer of yours")
        return found

    async def words(self, person: Person, messages: Sequence[Message]) -> Words:
        """What *person* thinks of those of *messages* that may be judged."""
        answers = [message.id for message in messages if takes_word(message)]
        async with self._database.reading() as work:
            return await work.feedback.of(person.id, answers) if answers else {}

    async def since(self, conversation_id: UUID, after: UUID | None) -> Sequence[Message]:
        """What was said after a message, and shortly before it (see SKEW_MS), oldest first."""
        rows: list[Message] = []
        floor = None if after is None else UUID(int=max((after.int >> 80) - SKEW_MS, 0) << 80)  # the first UUIDv7 of that moment
        async with self._database.reading() as work:
            while True:
                more = await work.messages.since(conversation_id, floor, limit=FLUSH)
                rows += more
                if len(more) < FLUSH:
                    return rows
                floor = more[-1].id

    async def unanswered(self, messages: Sequence[Message]) -> tuple[UUID, ...]:
        """Those of *messages* to which the answer is still being thought out."""
        async with self._database.reading() as work:
            events = [await work.inbox.find_by_id(event_id) for event_id in without_reply(messages)]
        return tuple(event.id for event in events if event is not None and event.state in WAITING)


def is_adjusting(message: Message) -> bool:
    """Whether it is a press of a button whose answer takes the place of what the button stood under: nobody needs to read that."""
    return message.kind == InboundKind.ACTION and adjusts(message.text)


def still_standing(messages: Sequence[Message]) -> list[Message]:
    """Those of *messages* whose place was not taken by another, without the presses that had that done."""
    replaced = {(message.details or {}).get("replaces") for message in messages}
    return [message for message in messages if str(message.id) not in replaced and not is_adjusting(message)]


def without_reply(messages: Sequence[Message]) -> tuple[UUID, ...]:
    """The questions among *messages* whose reply is not among them."""
    answered = {message.reply_to for message in messages}
    return tuple(message.id for message in messages if message.direction == IN and message.id not in answered)
