"""What was said, and the ledger that sees to it that it is answered: conversations, messages, attachments, inbox_events, outbox."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class InboxState(StrEnum):
    """received → claimed → answered; queued waits for a model to come back, set_aside crashed its handler too often.

    noted wants no answer: an edit, a reaction, a robot's mail.
    """

    RECEIVED = "received"
    CLAIMED = "claimed"
    ANSWERED = "answered"
    QUEUED = "queued"
    SET_ASIDE = "set_aside"
    NOTED = "noted"


class OutboxState(StrEnum):
    """streaming → ready → sending → sent; unknown was being sent when its sender died, dead is refused for good."""

    STREAMING = "streaming"
    READY = "ready"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DEAD = "dead"


class Conversation(Keyed, Base):
    """One conversation on one channel; `key` is the channel's own id of it."""

    __tablename__ = "conversations"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "channel", "key"))

    channel: Mapped[str]
    key: Mapped[str]
    user_id: Mapped[UUID]
    session_type: Mapped[str]
    created_at: Mapped[datetime]


class Message(Keyed, Base):
    """One thing said, by a person (direction in) or by Robbie (out), verbatim.

    `digest` is the fingerprint of what was asked, for finding it asked again. `details` of an answer is what `ask --json` tells, with the
    `buttons` under it; of what a person wrote it is the rest of what the channel told: `sender`, `thread`, `quoted`, `trust`.
    `personality` is how Robbie was set when he wrote it.
    """

    __tablename__ = "messages"
    __table_args__ = (
        belongs_to("conversations", "conversation_id"),
        belongs_to("users", "user_id"),
        Index(None, "organization_id", "conversation_id", "id"),
        Index(None, "organization_id", "user_id", "digest"),
        Index(None, "organization_id", "user_id", "id"),
        Index(None, "organization_id", "reply_to"),
    )

    conversation_id: Mapped[UUID]
    user_id: Mapped[UUID]
    direction: Mapped[str]
    kind: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]
    session_type: Mapped[str]
    external_id: Mapped[str | None] = mapped_column(default=None)
    reply_to: Mapped[UUID | None] = mapped_column(default=None)
    digest: Mapped[str | None] = mapped_column(default=None)
    recovered: Mapped[bool] = mapped_column(default=False)
    details: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    personality: Mapped[str | None] = mapped_column(default=None)


class StoredAttachment(Keyed, Base):
    """A file that came with a message. `path` is where its bytes lie, in the data folder; `source` is what its channel fetches it by."""

    __tablename__ = "attachments"
    __table_args__ = (belongs_to("messages", "message_id"), Index(None, "organization_id", "message_id"))

    message_id: Mapped[UUID]
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str]
    path: Mapped[str | None] = mapped_column(default=None)
    trouble: Mapped[str] = mapped_column(default="")


class InboxEvent(Keyed, Base):
    """One event of a channel, stored before it is acknowledged; the message it brought has the same id.

    The oldest unanswered event of a conversation is the only one that may be claimed, so that claiming it leases the conversation.
    `attempts` counts claims, `crashes` how often its handler failed; `deferred_at` is set once it was answered by the offline rung.
    """

    __tablename__ = "inbox_events"
    __table_args__ = (
        belongs_to("conversations", "conversation_id"),
        UniqueConstraint("organization_id", "channel", "account", "external_id"),
        Index(None, "organization_id", "conversation_id", "state", "id"),
        Index(None, "organization_id", "state", "id"),
    )

    channel: Mapped[str]
    account: Mapped[str]
    external_id: Mapped[str]
    conversation_id: Mapped[UUID]
    kind: Mapped[str]
    raw: Mapped[str]
    received_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default=InboxState.RECEIVED)
    owner: Mapped[str | None] = mapped_column(default=None)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=None)
    deferred_at: Mapped[datetime | None] = mapped_column(default=None)
    answered_at: Mapped[datetime | None] = mapped_column(default=None)


class OutboxItem(Keyed, Base):
    """One promised send. `message_id` is the recorded reply; a streaming item has none yet.

    `channel_message_id` names the channel's message that shows it, once there is one.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        belongs_to("conversations", "conversation_id"),
        Index(None, "organization_id", "conversation_id", "state", "id"),
        Index(None, "organization_id", "state", "id"),
        Index(None, "organization_id", "event_id"),
    )

    conversation_id: Mapped[UUID]
    event_id: Mapped[UUID | None]
    message_id: Mapped[UUID | None]
    state: Mapped[str]
    created_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(default=None)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    recovered: Mapped[bool] = mapped_column(default=False)
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=None)
    channel_message_id: Mapped[str | None] = mapped_column(default=None)
    sent_at: Mapped[datetime | None] = mapped_column(default=None)
    last_error: Mapped[str | None] = mapped_column(default=None)
