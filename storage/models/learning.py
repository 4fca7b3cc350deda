"""What Robbie learned: patterns, cached_answers, routing_arms, insights."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class Habit(StrEnum):
    """Of what is learned: proposed → on, once it agreed with the models often enough; off where it was wrong."""

    PROPOSED = "proposed"
    ON = "on"
    OFF = "off"


class Pattern(Keyed, Base):
    """A phrase that means an intent. `user_id` is None where it holds for everybody; `key` is its normalised words and whose it is.

    `weight` is how much it counts (1 for a seed), moved by feedback; `agreed` and `disagreed` count the models' answers it was
    held against.
    """

    __tablename__ = "patterns"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "key"))

    user_id: Mapped[UUID | None]
    key: Mapped[str]
    intent: Mapped[str]
    text: Mapped[str]
    state: Mapped[str]
    origin: Mapped[str]
    weight: Mapped[float]
    agreed: Mapped[int]
    disagreed: Mapped[int]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class CachedAnswer(Keyed, Base):
    """A model's answer to exactly these words of one person, which may be said again until `fresh_until`; see `Pattern` for the rest.

    `digest` is the question's; `message_id` is the answer that was said last.
    """

    __tablename__ = "cached_answers"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("messages", "message_id"),
        UniqueConstraint("organization_id", "user_id", "digest"),
    )

    user_id: Mapped[UUID]
    digest: Mapped[str]
    question: Mapped[str]
    text: Mapped[str]
    message_id: Mapped[UUID]
    state: Mapped[str]
    weight: Mapped[float]
    agreed: Mapped[int]
    disagreed: Mapped[int]
    at: Mapped[datetime]
    fresh_until: Mapped[datetime]


class RoutingArm(Base):
    """What is known of a level at a task type: the evidence of scored answers, newer ones counting more (`good` and `bad` are sums of
    weights), how many there were, and what an answer took. `leaning` is how its worth goes with what a question is like; see the predictor.
    """

    __tablename__ = "routing_arms"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    task_type: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str] = mapped_column(primary_key=True)
    good: Mapped[float]
    bad: Mapped[float]
    answers: Mapped[int]
    latency_ms: Mapped[float]
    cost_usd: Mapped[float]
    updated_at: Mapped[datetime]
    leaning: Mapped[list[Any]] = mapped_column(default_factory=list, server_default="[]")


class Insight(Keyed, Base):
    """Something Robbie believes of the world, such as that a level is about to fail; `key` is what it is about.

    It is judged after `due_at`: `outcome` is then 1 where it came true, 0 where not.
    """

    __tablename__ = "insights"
    __table_args__ = (Index(None, "organization_id", "kind", "id"),)

    kind: Mapped[str]
    key: Mapped[str]
    text: Mapped[str]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    due_at: Mapped[datetime | None] = mapped_column(default=None)
    outcome: Mapped[float | None] = mapped_column(default=None)
    judged_at: Mapped[datetime | None] = mapped_column(default=None)
