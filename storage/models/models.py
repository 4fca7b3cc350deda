"""What asking models cost and how well they are: ai_model_usage, model_health."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed


class ModelUsage(Keyed, Base):
    """One call of one level. A `reserved` row holds the most the call can cost until it is settled.

    `level` is the owner's name for it; milliseconds count from the call's start; `event_id` is the message it was for,
    `error` the class of what went wrong.
    """

    __tablename__ = "ai_model_usage"
    __table_args__ = (Index(None, "organization_id", "at"), Index(None, "organization_id", "level", "id"))

    at: Mapped[datetime]
    level: Mapped[str]
    provider: Mapped[str]
    model: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
    error: Mapped[str] = mapped_column(default="")
    event_id: Mapped[UUID | None] = mapped_column(default=None)
    input_tokens: Mapped[int] = mapped_column(default=0)
    output_tokens: Mapped[int] = mapped_column(default=0)
    cost_usd: Mapped[float] = mapped_column(default=0.0)
    first_token_ms: Mapped[float | None] = mapped_column(default=None)
    latency_ms: Mapped[float] = mapped_column(default=0.0)


class ModelHealth(Base):
    """A level's circuit breaker, so that a restart does not forget who was ill. `state` is closed, open or half_open."""

    __tablename__ = "model_health"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    rung: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    outcomes: Mapped[list[Any]]
    openings: Mapped[int]
    retry_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
