"""What Robbie tells somebody unasked: it goes where they were heard last in private, through the same ledger as a reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bot.domain.clock import new_id
from bot.domain.message import Button, OutgoingKind
from storage.database import UnitOfWork
from storage.models.messaging import Conversation, Message

PULLED = ("web", "console")
"""Channels whose readers look into the ledger themselves."""


_SIGNS = re.compile(r"[\[\]*`~<>|]")


def bare_line(text: str, longest: int) -> str:
    """What somebody calls themselves or their mail, in one line and without signs of Markdown: it can pretend to be nothing else."""
    return " ".join(_SIGNS.sub("", text).split())[:longest].strip()


async def tell(
    work: UnitOfWork, user_id: UUID, text: str, *, now: datetime, buttons: Sequence[Button] = (), except_on: Sequence[str] = ()
) -> None:
    """Promise that this person will be told, on any channel but these; whoever was never heard finds it on the web page."""
    await say(work, await private_place(work, user_id, now=now, except_on=except_on), user_id, text, now=now, buttons=buttons)


async def private_place(work: UnitOfWork, user_id: UUID, *, now: datetime, except_on: Sequence[str] = ()) -> Conversation:
    """Where this person was heard last in private, or else their web page."""
    conversation = await work.conversations.last_private(user_id, except_on=except_on)
    if conversation is not None:
        return conversation
    where = {"channel": "web", "key": f"{user_id}/main", "session_type": "private"}
    return await work.conversations.ensure(**where, user_id=user_id, now=now)


async def say(
    work: UnitOfWork,
    conversation: Conversation,
    user_id: UUID,
    text: str,
    *,
    now: datetime,
    kind: OutgoingKind = OutgoingKind.NOTICE,
    buttons: Sequence[Button] = (),
    reply_to: UUID | None = None,
    id: UUID | None = None,
) -> None:
    """Promise that this will be said in a conversation, without anybody waiting for it; its message gets the *id*, if one is given."""
    message = _message(work, conversation, user_id, text, now=now, kind=kind, buttons=buttons, reply_to=reply_to, id=id or new_id())
    await work.messages.add(message)
    await work.outbox.say(message, channel=conversation.channel, delivered=conversation.channel in PULLED, now=now)


async def say_all(work: UnitOfWork, said: Sequence[tuple[Conversation, UUID, str, Sequence[Button]]], *, now: datetime) -> None:
    """`say` many notices in as few round trips as one: to each person where, what, and what can be done about it."""
    messages = [_message(work, place, user_id, text, now=now, buttons=buttons) for place, user_id, text, buttons in said]
    await work.messages.add_all(messages)
    channels = [place.channel for place, *_ in said]
    await work.outbox.say_all([(m, at, at in PULLED) for m, at in zip(messages, channels, strict=True)], now)


def _message(
    work: UnitOfWork, conversation: Conversation, user_id: UUID, text: str, *, now: datetime, buttons: Sequence[Button], **more: Any
) -> Message:
    return Message(
        organization_id=work.organization,
        conversation_id=conversation.id,
        user_id=user_id,
        direction="out",
        text=text,
        at=now,
        session_type=conversation.session_type,
        details={"buttons": [[button.label, button.command] for button in buttons]} if buttons else None,
        **{"id": new_id(), "kind": OutgoingKind.NOTICE, "reply_to": None, **more},
    )
