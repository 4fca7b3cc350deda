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
    """What became of an answer for a person: a row from when it was said, for whoever asked; another for anybody else who judges it.

    `value` is what they think of it, from -1 to 1, their last word counting (`source`: reaction, button or command; `detail`: the word);
    `signals` are what they did about it ("rephrased": -0.6), by name; `score`, from 0 to 1, is what both come to, None while nothing is
    known, set at `scored_at`. The rest says how the answer was made: `pattern` is the row of tier 1 that it came from, `mentor` who spoke
    in it, `confidence` what Robbie gave for its being right, and `guess` the same before past outcomes corrected it.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("messages", "message_id"),
        Index(None, "organization_id", "task_type", "message_id"),
        Index(None, "organization_id", "at"),
    )

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    source: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]
    tier: Mapped[str] = mapped_column(default="", server_default="")
    level: Mapped[str] = mapped_column(default="", server_default="")
    task_type: Mapped[str] = mapped_column(default="", server_default="")
    mentor: Mapped[str] = mapped_column(default="", server_default="")
    pattern: Mapped[str] = mapped_column(default="", server_default="")
    signals: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default="{}")
    latency_ms: Mapped[float] = mapped_column(default=0.0, server_default="0")
    cost_usd: Mapped[float] = mapped_column(default=0.0, server_default="0")
    confidence: Mapped[float | None] = mapped_column(default=None)
    guess: Mapped[float | None] = mapped_column(default=None)
    score: Mapped[float | None] = mapped_column(default=None)
    scored_at: Mapped[datetime | None] = mapped_column(default=None)
