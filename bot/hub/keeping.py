"""Writes what came in into the ledger, with all that its channel told of it, and the terms on which it was received."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bot.brain.providers.offline import digest
from bot.brain.remembering import ROBBIE, Saying, is_memorable, memories_of, trust_of_answer
from bot.domain.address import Person
from bot.domain.memory import Trust, place_of
from bot.domain.message import ASKING, Attachment, Inbound, InboundKind
from bot.hub.errands import plain
from bot.services.note_keeping import note_said, unnote
from storage.database import UnitOfWork
from storage.models.messaging import InboxState, Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """On which a message is received. Noted: kept and never answered; held: an answer waits for the owner's yes; stranger: not to be
    obeyed, and answered by somebody who knows nothing that is private.
    """

    is_noted: bool = False
    is_held: bool = False
    is_stranger: bool = False


AS_USUAL = Terms()


async def keep(
    work: UnitOfWork, inbound: Inbound, person: Person, conversation_id: UUID, *, terms: Terms = AS_USUAL, state: InboxState, now: datetime
) -> bool:
    """Keep an event, the message it brought, its files, and the memory of it, unless it is known already; whether it was new."""
    told: dict[str, Any] = {name: getattr(inbound, name) for name in ("id", "external_id", "kind", "raw")}
    whence = {"channel": inbound.sender.channel, "account": inbound.sender.account, "conversation_id": conversation_id}
    is_new = await work.inbox.add_once(**told, **whence, received_at=now, state=state)
    if is_new and inbound.kind in ASKING:
        message = _message(inbound, person.id, conversation_id, work.organization, terms)
        await work.messages.add(message)
        for attachment in inbound.attachments:
            await work.attachments.add(message_id=inbound.id, **_columns(attachment))
        place = place_of(inbound.address.channel, inbound.address.conversation, inbound.address.session_type)
        await remember(work, message, person, place=place)
    return is_new


async def remember(work: UnitOfWork, message: Message, person: Person, *, place: str) -> None:
    """Remember what a person wrote, or what Robbie answered them, so that it can be found from this act on.

    A question that got an intimate answer is remembered like that too.
    """
    details, is_answer = message.details or {}, message.direction == "out"
    if is_answer:
        trust = trust_of_answer(message.kind, message.personality, details)
    else:
        is_said = message.kind == InboundKind.MESSAGE and is_memorable(message.text)
        trust = (Trust.OUTSIDE if details.get("is_stranger") else Trust.OWN) if is_said else None
    if trust is None:
        return
    if is_answer and trust is Trust.INTIMATE and message.reply_to is not None:
        asked = await work.memories.of_messages([message.reply_to])
        await work.memories.change([each.id for each in asked], trust=trust)
        await unnote(work, message.reply_to)
    name = details.get("sender", {}).get("name") if trust is Trust.OUTSIDE and not is_answer else ""
    saying = Saying(
        thread=str(message.conversation_id),
        external_id=str(message.id),
        speaker=ROBBIE if is_answer else name or person.name,
        text=message.text,
        at=message.at,
        user_id=person.id,
        place=place,
        trust=trust,
        message_id=message.id,
    )
    last = await work.memories.last_in(saying.thread)
    memories = memories_of(saying, last, organization=work.organization, timezone=person.timezone)
    await work.memories.add_once(memories)
    if trust is Trust.OWN and not plain(message.text):  # what is asked to be noted is noted when it is answered
        await note_said(work, person, memories, message.text, now=message.at)


def _columns(attachment: Attachment) -> dict[str, Any]:
    """A file as its row wants it."""
    return {**asdict(attachment), "path": None if attachment.path is None else str(attachment.path)}


def _details(inbound: Inbound, terms: Terms) -> dict[str, Any]:
    """The rest of what the channel told, and on which terms it was received."""
    sender = {"account": inbound.sender.account, "name": inbound.sender.name, "is_verified": inbound.is_verified}
    told = {
        "thread": dict(inbound.thread),
        "quoted": inbound.quoted,
        "target": inbound.target,
        "files": len(inbound.attachments),
        "is_held": terms.is_held,
        "is_stranger": terms.is_stranger,
    }
    return {"sender": sender} | {name: value for name, value in told.items() if value}


def _message(inbound: Inbound, user_id: UUID, conversation_id: UUID, organization: str, terms: Terms) -> Message:
    """The row of what a person wrote, verbatim."""
    return Message(
        organization_id=organization,
        id=inbound.id,
        conversation_id=conversation_id,
        user_id=user_id,
        direction="in",
        kind=inbound.kind,
        text=inbound.text,
        at=inbound.at,
        session_type=inbound.address.session_type,
        external_id=inbound.external_id,
        digest=None if terms.is_stranger else digest(inbound.text),
        details=_details(inbound, terms),
    )
