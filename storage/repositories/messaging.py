"""Questions about what was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import and_, case, insert, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.messaging import Conversation, Message
from storage.repositories.base import FIRST_ID, LAST_ID, Repository, ours, values_of

_ADD_CONVERSATION = insert_or_skip(Conversation)
_CONVERSATION = select(Conversation).where(ours(Conversation), Conversation.channel == given("channel"), Conversation.key == given("key"))
_CONVERSATION_BY_ID = select(Conversation).where(ours(Conversation), Conversation.id == given("conversation"))


class Conversations(Repository):
    """Conversations on channels."""

    async def ensure(self, *, channel: str, key: str, user_id: UUID, session_type: str, now: datetime) -> Conversation:
        """The conversation of this key, made if it is new."""
        found = await self.find(channel=channel, key=key)
        if found is None:
            row = {"channel": channel, "key": key, "user_id": user_id, "session_type": session_type, "created_at": now}
            await self._insert(_ADD_CONVERSATION, id=new_id(), **row)
            found = await self.find(channel=channel, key=key)
        assert found is not None
        return found

    async def find(self, *, channel: str, key: str) -> Conversation | None:
        """The conversation of this key."""
        return await self._first(Conversation, _CONVERSATION, channel=channel, key=key)

    async def find_by_id(self, conversation_id: UUID) -> Conversation | None:
        """The conversation of this id."""
        return await self._first(Conversation, _CONVERSATION_BY_ID, conversation=conversation_id)


_question = aliased(Message)
_ADD_MESSAGE = insert(Message)
_MESSAGE = select(Message).where(ours(Message), Message.id == given("message"))
_REPLY = select(Message).where(ours(Message), Message.reply_to == given("message")).order_by(Message.at, Message.id).limit(1)
"""By the bare id, SQLite would walk through all messages until it meets the reply."""
_REPLY_OF_KIND = _REPLY.where(Message.kind.in_(given("kinds", expanding=True)))
_MARK_RECOVERED = update(Message).where(ours(Message), Message.id == given("message")).values(recovered=True)
_OF_CONVERSATION = select(Message).where(ours(Message), Message.conversation_id == given("conversation")).limit(given("limit"))
_LATEST = _OF_CONVERSATION.where(Message.id < given("before")).order_by(Message.id.desc())
_SINCE = _OF_CONVERSATION.where(Message.id > given("after")).order_by(Message.id)
_SAID_BY = (
    select(Message)
    .where(ours(Message), Message.user_id == given("user"), Message.id < given("before"))
    .where(Message.direction == "in", Message.session_type == "private")
    .order_by(Message.id.desc())
    .limit(given("limit"))
)
_IS_EARLIER = case((_question.direction == "in", _question.id)) < given("before")
"""By a bare id, SQLite would search all conversations and not the few rows that another index finds."""
_ASKED_BEFORE = select(_question.id).where(
    ours(_question),
    _question.user_id == given("user"),
    _question.digest == given("digest"),
    _IS_EARLIER,
    _question.session_type == "private",
)
_EARLIER_ANSWER = (
    select(Message)
    .where(ours(Message), Message.reply_to.in_(_ASKED_BEFORE), Message.kind.in_(("answer", "late")))
    .order_by(Message.at.desc(), Message.id.desc())
    .limit(1)
)
_EXCHANGES = (
    select(_question.id, _question.text, Message.text)
    .join(_question, and_(_question.organization_id == Message.organization_id, _question.id == Message.reply_to))
    .where(ours(Message), Message.conversation_id == given("conversation"), Message.kind.in_(("answer", "late")))
    .where(_IS_EARLIER)
    .order_by(Message.id.desc())
    .limit(given("limit"))
)
_LATEST_ID = select(Message.id).where(ours(Message)).order_by(Message.id.desc()).limit(1)
_LATEST_AT = select(Message.at).where(ours(Message)).order_by(Message.id.desc()).limit(1)


class Exchange(NamedTuple):
    """A question and an answer that a model gave to it."""

    question_id: UUID
    question: str
    answer: str


class Messages(Repository):
    """What was said, verbatim."""

    async def add(self, message: Message) -> None:
        """Keep one message."""
        await self._insert(_ADD_MESSAGE, **values_of(message))

    async def find_by_id(self, message_id: UUID) -> Message | None:
        """The message of this id."""
        return await self._first(Message, _MESSAGE, message=message_id)

    async def find_reply(self, message_id: UUID, kinds: Sequence[str] = ()) -> Message | None:
        """The first reply to this message (of these kinds, where given)."""
        if kinds:
            return await self._first(Message, _REPLY_OF_KIND, message=message_id, kinds=kinds)
        return await self._first(Message, _REPLY, message=message_id)

    async def mark_recovered(self, message_id: UUID) -> None:
        """This message may have been delivered twice."""
        await self._changes(_MARK_RECOVERED, message=message_id)

    async def latest(self, conversation_id: UUID, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* messages of a conversation (before one of them, where given), oldest first."""
        newest_first = await self._all(Message, _LATEST, conversation=conversation_id, limit=limit, before=before or LAST_ID)
        return newest_first[::-1]

    async def exchanges(self, conversation_id: UUID, *, limit: int, before: UUID) -> list[Exchange]:
        """The last *limit* answers to what was asked in a conversation before a message, in the order of their questions."""
        rows = await self._execute(_EXCHANGES, conversation=conversation_id, limit=limit, before=before)
        return sorted((Exchange(*row) for row in rows.all()[::-1]), key=attrgetter("question_id"))

    async def since(self, conversation_id: UUID, after: UUID | None, *, limit: int) -> Sequence[Message]:
        """The messages of a conversation that came after one of them, oldest first."""
        return await self._all(Message, _SINCE, conversation=conversation_id, limit=limit, after=after or FIRST_ID)

    async def said_by(self, user_id: UUID, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* things a person said in private, wherever, oldest first."""
        newest_first = await self._all(Message, _SAID_BY, user=user_id, limit=limit, before=before or LAST_ID)
        return newest_first[::-1]

    async def find_earlier_answer(self, user_id: UUID, digest: str, *, before: UUID) -> Message | None:
        """A model's latest answer to the same words of the same person, said in private."""
        return await self._first(Message, _EARLIER_ANSWER, user=user_id, digest=digest, before=before)

    async def latest_id(self) -> UUID:
        """The id of the last message."""
        return await self._value(_LATEST_ID) or FIRST_ID

    async def latest_at(self) -> datetime | None:
        """When the last message was said."""
        return await self._value(_LATEST_AT)
