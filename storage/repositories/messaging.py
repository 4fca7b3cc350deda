"""Questions about what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import String, and_, case, exists, insert, literal, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.address import Address
from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.messaging import Conversation, InboxEvent, Message, OutboxItem, StoredAttachment
from storage.models.people import Identity
from storage.repositories.base import FIRST_ID, LAST_ID, Repository, first_id_at, ours, values_of

DELETED = "deleted"
"""The kind of a message that its sender withdrew, or of a reply that became void unsent: nobody is told of it again."""

_ADD_CONVERSATION = insert_or_skip(Conversation)
_CONVERSATION = select(Conversation).where(ours(Conversation), Conversation.channel == given("channel"), Conversation.key == given("key"))
_CONVERSATION_BY_ID = select(Conversation).where(ours(Conversation), Conversation.id == given("conversation"))
_KEYS = select(Conversation.id, Conversation.key).where(
    ours(Conversation), Conversation.channel == given("channel"), Conversation.key.startswith(given("prefix"), autoescape=False)
)
_REKEY = update(Conversation).where(ours(Conversation), Conversation.id == given("conversation"))


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

    async def at(self, address: Address, user_id: UUID, now: datetime) -> Conversation:
        """The conversation at this address, made if it is new: then it is this person's."""
        where = {"channel": address.channel, "key": address.conversation, "session_type": address.session_type}
        return await self.ensure(**where, user_id=user_id, now=now)

    async def find(self, *, channel: str, key: str) -> Conversation | None:
        """The conversation of this key."""
        return await self._first(Conversation, _CONVERSATION, channel=channel, key=key)

    async def find_by_id(self, conversation_id: UUID) -> Conversation | None:
        """The conversation of this id."""
        return await self._first(Conversation, _CONVERSATION_BY_ID, conversation=conversation_id)

    async def move(self, channel: str, old: str, new: str) -> None:
        """The conversations of *old* (and its topics) are called *new* by their channel from now on."""
        for conversation_id, key in (await self._execute(_KEYS, channel=channel, prefix=old)).all():
            moved = new + key.removeprefix(old)
            if key.removeprefix(old)[:1] in ("", "/") and await self.find(channel=channel, key=moved) is None:
                await self._changes(_REKEY, conversation=conversation_id, key=moved)

    async def last_private(self, user_id: UUID, *, except_on: Sequence[str] = (), on: str = "") -> Conversation | None:
        """Where this person was last heard in private, on any channel but these or just one, by an account that is still theirs."""
        where = {"channels": list(except_on), "alone": on}
        return await self._first(Conversation, _LAST_PRIVATE, user=user_id, own=str(user_id), **where)


_IS_THEIRS = exists().where(
    Identity.organization_id == InboxEvent.organization_id,
    Identity.channel == InboxEvent.channel,
    Identity.account == InboxEvent.account,
    Identity.user_id == Message.user_id,
)
_LAST_PRIVATE = (
    select(Conversation)
    .join(Message, and_(Message.organization_id == Conversation.organization_id, Message.conversation_id == Conversation.id))
    .join(InboxEvent, and_(InboxEvent.organization_id == Message.organization_id, InboxEvent.id == Message.id))
    .where(or_(InboxEvent.account == given("own"), _IS_THEIRS))
    .where(ours(Conversation), Message.user_id == given("user"), Message.direction == "in", Message.session_type == "private")
    .where(Conversation.channel.not_in(given("channels", expanding=True)))
    .where(or_(given("alone", type_=String) == "", Conversation.channel == given("alone", type_=String)))
    .order_by(Message.id.desc())
    .limit(1)
)

_question = aliased(Message)
_ADD_MESSAGE = insert(Message)
_MESSAGE = select(Message).where(ours(Message), Message.id == given("message"))
_REPLY = select(Message).where(ours(Message), Message.reply_to == given("message")).order_by(Message.at, Message.id).limit(1)
"""By the bare id, SQLite would walk through all messages until it meets the reply."""
_REPLY_OF_KIND = _REPLY.where(Message.kind.in_(given("kinds", expanding=True)))
_CHANGE = update(Message).where(ours(Message), Message.id == given("message"))
_ON_CHANNEL = (
    select(Message)
    .join(OutboxItem, and_(OutboxItem.organization_id == Message.organization_id, OutboxItem.message_id == Message.id))
    .join(Conversation, and_(Conversation.organization_id == Message.organization_id, Conversation.id == Message.conversation_id))
    .where(ours(Message), Conversation.channel == given("channel"))
    .where(literal(",").concat(OutboxItem.channel_message_id).concat(",").contains(given("shown"), autoescape=False))
    .order_by(OutboxItem.id.desc())
    .limit(1)
)
_OF_CONVERSATION = select(Message).where(ours(Message), Message.conversation_id == given("conversation")).limit(given("limit"))
_LATEST = _OF_CONVERSATION.where(Message.id < given("before")).order_by(Message.id.desc())
_LAST_SAID = _LATEST.where(Message.direction == "out", Message.kind != DELETED)
_SINCE = _OF_CONVERSATION.where(Message.id > given("after")).order_by(Message.id)
_SAID_BY = (
    select(Message)
    .where(ours(Message), Message.user_id == given("user"), Message.id < given("before"))
    .where(Message.direction == "in", Message.session_type == "private", Message.kind != DELETED)
    .order_by(Message.id.desc())
    .limit(given("limit"))
)
_IS_EARLIER = case((_question.direction == "in", _question.id)) < given("before")
"""By a bare id, SQLite would search all conversations and not the few rows that another index finds."""
_ASKED_BEFORE = (
    select(_question.id)
    .where(ours(_question), _question.user_id == given("user"), _question.digest == given("digest"), _IS_EARLIER)
    .where(_question.session_type == "private", _question.kind != DELETED)
)
_EARLIER_ANSWER = (
    select(Message)
    .where(ours(Message), Message.reply_to.in_(_ASKED_BEFORE), Message.kind.in_(("answer", "late")))
    .order_by(Message.at.desc(), Message.id.desc())
    .limit(1)
)
_ANSWERED = (
    select(_question.id, _question.text, Message.text, Message.personality, Message.details)
    .join(_question, and_(_question.organization_id == Message.organization_id, _question.id == Message.reply_to))
    .where(ours(Message), Message.kind.in_(("answer", "late")), _IS_EARLIER, _question.session_type == given("session"))
    .where(_question.kind != DELETED, ~_question.text.startswith("/"))
    .order_by(Message.id.desc())
    .limit(given("limit"))
)
_EXCHANGES = _ANSWERED.where(Message.conversation_id == given("conversation"))
_EXCHANGES_ELSEWHERE = _ANSWERED.where(
    Message.user_id == given("user"),
    Message.conversation_id != given("conversation"),
    Message.session_type == given("session"),
    Message.id >= given("first"),
    Message.at > given("since"),
)
_AFTER = select(Message).where(ours(Message), Message.id > given("after")).order_by(Message.id).limit(given("limit"))
_LATEST_ID = select(Message.id).where(ours(Message)).order_by(Message.id.desc()).limit(1)
_LATEST_AT = select(Message.at).where(ours(Message)).order_by(Message.id.desc()).limit(1)


class Exchange(NamedTuple):
    """A question and an answer that a model gave to it, being set so; `details` are the answer's."""

    question_id: UUID
    question: str
    answer: str
    personality: str | None
    details: Mapping[str, Any] | None = None


class Messages(Repository):
    """What was said, verbatim."""

    async def add(self, message: Message) -> None:
        """Keep one message."""
        await self._insert(_ADD_MESSAGE, **values_of(message))

    async def add_all(self, messages: Sequence[Message]) -> None:
        """Keep several."""
        await self._insert_all(_ADD_MESSAGE, [values_of(message) for message in messages])

    async def find_by_id(self, message_id: UUID) -> Message | None:
        """The message of this id."""
        return await self._first(Message, _MESSAGE, message=message_id)

    async def find_reply(self, message_id: UUID, kinds: Sequence[str] = ()) -> Message | None:
        """The first reply to this message (of these kinds, where given)."""
        which = {"message": message_id} | ({"kinds": kinds} if kinds else {})
        return await self._first(Message, _REPLY_OF_KIND if kinds else _REPLY, **which)

    async def find_on_channel(self, channel: str, channel_message_id: str) -> Message | None:
        """What Robbie said in the message which the channel gave this id."""
        return await self._first(Message, _ON_CHANNEL, channel=channel, shown=f",{channel_message_id},")

    async def change_text(self, message_id: UUID, text: str, digest: str) -> None:
        """A message reads so from now on."""
        await self._changes(_CHANGE, message=message_id, text=text, digest=digest)

    async def withdraw(self, message_id: UUID) -> None:
        """Nobody is told of a message again."""
        await self._changes(_CHANGE, message=message_id, kind=DELETED)

    async def last_said(self, conversation_id: UUID, *, before: UUID) -> Message | None:
        """The last thing Robbie said in a conversation before a message."""
        return await self._first(Message, _LAST_SAID, conversation=conversation_id, before=before, limit=1)

    async def mark_recovered(self, message_id: UUID) -> None:
        """This message may have been delivered twice."""
        await self._changes(_CHANGE, message=message_id, recovered=True)

    async def latest(self, conversation_id: UUID, *, limit: int, before: UUID | None = None) -> list[Message]:
        """The last *limit* messages of a conversation (before one of them, where given), oldest first."""
        newest_first = await self._all(Message, _LATEST, conversation=conversation_id, limit=limit, before=before or LAST_ID)
        return newest_first[::-1]

    async def exchanges(self, conversation_id: UUID, session_type: str, *, limit: int, before: UUID) -> list[Exchange]:
        """The last *limit* answers to what was asked in a conversation before a message, in the order of their questions.

        Of a private one (`session_type`) that is without what somebody wrote for whom nobody vouches, and the other way round.
        """
        rows = await self._execute(_EXCHANGES, conversation=conversation_id, session=session_type, limit=limit, before=before)
        return sorted((Exchange(*row) for row in rows.all()[::-1]), key=attrgetter("question_id"))

    async def exchanges_elsewhere(
        self, user_id: UUID, conversation_id: UUID, *, limit: int, since: datetime, before: UUID
    ) -> list[Exchange]:
        """As `exchanges`, of what was said with this person in private in any other conversation since a moment."""
        which = {"user": user_id, "conversation": conversation_id, "session": "private", "before": before, "limit": limit}
        rows = await self._execute(_EXCHANGES_ELSEWHERE, **which, since=since, first=first_id_at(since))
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

    async def after(self, message_id: UUID, *, limit: int) -> list[Message]:
        """What was said after a message, by anybody anywhere, oldest first."""
        return await self._all(Message, _AFTER, after=message_id, limit=limit)

    async def latest_id(self) -> UUID:
        """The id of the last message."""
        return await self._value(_LATEST_ID) or FIRST_ID

    async def latest_at(self) -> datetime | None:
        """When the last message was said."""
        return await self._value(_LATEST_AT)


_ADD_ATTACHMENT = insert(StoredAttachment)
_ATTACHMENTS = (
    select(StoredAttachment).where(ours(StoredAttachment), StoredAttachment.message_id == given("message")).order_by(StoredAttachment.id)
)
_CHANGE_ATTACHMENT = update(StoredAttachment).where(ours(StoredAttachment), StoredAttachment.id == given("attachment"))


class Attachments(Repository):
    """Files that came with messages."""

    async def add(self, **values: Any) -> None:
        """Keep what is known of a file. The values are the columns of `StoredAttachment`."""
        await self._insert(_ADD_ATTACHMENT, id=new_id(), **values)

    async def of(self, message_id: UUID) -> list[StoredAttachment]:
        """The files of a message, in their order."""
        return await self._all(StoredAttachment, _ATTACHMENTS, message=message_id)

    async def fetched(self, attachment_id: UUID, *, path: str) -> None:
        """Where its bytes lie."""
        await self._changes(_CHANGE_ATTACHMENT, attachment=attachment_id, path=path)
