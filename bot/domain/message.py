"""What comes in at a door and what leaves by it: one model for every channel, which loses nothing that any of them tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from bot.domain.address import Address, Sender


class InboundKind(StrEnum):
    """What a channel tells Robbie about. A message, a command and an action (a button that was pressed) want an answer."""

    MESSAGE = "message"
    COMMAND = "command"
    ACTION = "action"
    EDIT = "edit"
    DELETE = "delete"
    REACTION = "reaction"


ASKING = (InboundKind.MESSAGE, InboundKind.COMMAND, InboundKind.ACTION)


class OutgoingKind(StrEnum):
    """What sort of thing Robbie says, so that nobody takes a makeshift for an answer."""

    ANSWER = "answer"
    OFFLINE = "offline"
    LATE = "late"
    NOTICE = "notice"
    OUTREACH = "outreach"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file that came with a message or goes with one. `source` is what its channel fetches it by, `path` where it lies here.

    `size` is in bytes, as the channel tells it; one without a path was not fetched, and `trouble` says why.
    """

    name: str
    media_type: str = "application/octet-stream"
    size: int = 0
    source: str = ""
    path: Path | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    """A choice under a message: pressing it is the same as writing its command. Commands are at most 64 bytes (Telegram's limit)."""

    label: str
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """One event from a channel. `external_id` is the channel's own id of it: a repeated event carries the same one.

    `target`: the channel's id of the message that was edited, deleted or reacted to, or under which a button was pressed; `quoted`: what
    the text answered, stripped from it; `thread`: what a reply needs to know of it (a mail's subject and references, say); `raw`: the
    event as it came. `is_verified` is False where the channel cannot vouch for its sender, `wants_reply` where nobody is to be answered.
    """

    id: UUID
    address: Address
    sender: Sender
    external_id: str
    text: str
    at: datetime
    kind: InboundKind = InboundKind.MESSAGE
    target: str = ""
    quoted: str = ""
    attachments: tuple[Attachment, ...] = ()
    thread: Mapping[str, str] = field(default_factory=dict)
    is_verified: bool = True
    wants_reply: bool = True
    raw: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """One reply on its way out.

    `channel_message_id` is set when messages of the channel are to be edited, not added; a reply that was split has several ids, joined by
    commas. `reply_to` is the channel's id of the message that is answered, `thread` what came with it. `asker` is the account that is
    answered, where it is known.
    """

    id: UUID
    address: Address
    kind: OutgoingKind
    text: str
    reply_to: str | None = None
    recovered: bool = False
    channel_message_id: str | None = None
    buttons: tuple[Button, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    thread: Mapping[str, str] = field(default_factory=dict)
    asker: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The channel took a message; its own id of it, or of its parts, joined by commas. Not whole: some parts are still missing."""

    channel_message_id: str | None = None
    is_whole: bool = True
