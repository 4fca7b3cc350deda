"""What comes in at a door and what leaves by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from bot.domain.address import Address, Sender


class InboundKind(StrEnum):
    """What a channel tells Robbie about."""

    MESSAGE = "message"


class OutgoingKind(StrEnum):
    """What sort of thing Robbie says, so that nobody takes a makeshift for an answer."""

    ANSWER = "answer"
    OFFLINE = "offline"
    LATE = "late"
    NOTICE = "notice"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """One event from a channel. `external_id` is the channel's own id of it: a repeated event carries the same one."""

    id: UUID
    address: Address
    sender: Sender
    external_id: str
    text: str
    at: datetime
    kind: InboundKind = InboundKind.MESSAGE
    raw: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """One reply on its way out. `channel_message_id` is set when a message of the channel is to be edited, not added."""

    id: UUID
    address: Address
    kind: OutgoingKind
    text: str
    reply_to: str | None = None
    recovered: bool = False
    channel_message_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The channel took a message; its own id of it, where it has one."""

    channel_message_id: str | None = None
