"""What people decide: proposals that wait for a yes or a no, and feedback on what was said."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class ProposalState(StrEnum):
    """waiting → approved → done, or failed where it could not be done or nobody can tell whether it was.

    Else waiting → rejected, expired (nobody decided in time) or withdrawn (what it was for has gone).
    """

    WAITING = "waiting"
    APPROVED = "approved"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Proposal(Keyed, Base):
    """Something Robbie would do if `user_id` said yes. `code` is what people name it by.

    Of a `reply`, `text` are its words, `event_id` is what it answers, in the conversation `conversation_id`. `key` makes one proposal of
    what is proposed twice. `run_at` is when an approved one is to be done (again), until it is done.
    """

    __tablename__ = "proposals"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("conversations", "conversation_id"),
        UniqueConstraint("organization_id", "code"),
        Index(None, "organization_id", "state", "id"),
        Index(None, "organization_id", "key", unique=True),
    )

    code: Mapped[str]
    kind: Mapped[str]
    user_id: Mapped[UUID]
    conversation_id: Mapped[UUID]
    event_id: Mapped[UUID | None]
    title: Mapped[str]
    text: Mapped[str]
    details: Mapped[dict[str, Any]]
    state: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None] = mapped_column(default=None)
    key: Mapped[str | None] = mapped_column(default=None)
    run_at: Mapped[datetime | None] = mapped_column(default=None)


class Feedback(Base):
    """What a person thinks of something Robbie said, from -1 to 1; their last word counts. `source`: reaction, button or command."""

    __tablename__ = "feedback"
    __table_args__ = (belongs_to("users", "user_id"), belongs_to("messages", "message_id"))

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    value: Mapped[float]
    source: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]
