"""How a person wants Robbie to be, and what he told them by the clock: personality_settings, briefs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class PersonalitySetting(Keyed, Base):
    """One change of one slider, mood or habit. The last of a name and context that is neither void nor expired holds.

    `context` is private, channel, email, brief, or * for all; `source` says how it was set: command, button, words, web, cli, suggestion.
    """

    __tablename__ = "personality_settings"
    __table_args__ = (belongs_to("users", "user_id"), Index(None, "organization_id", "user_id", "id"))

    user_id: Mapped[UUID]
    context: Mapped[str]
    name: Mapped[str]
    value: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime]
    source_id: Mapped[UUID | None] = mapped_column(default=None)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    void_at: Mapped[datetime | None] = mapped_column(default=None)


class StoredBrief(Keyed, Base):
    """The one brief of a person, slot and local day. `state` is sent, short, skipped or quiet; `zone` is where the person was."""

    __tablename__ = "briefs"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "user_id", "slot", "day"))

    user_id: Mapped[UUID]
    slot: Mapped[str]
    day: Mapped[date]
    state: Mapped[str]
    zone: Mapped[str]
    due_at: Mapped[datetime]
    sections: Mapped[list[Any]]
    text: Mapped[str]
    message_id: Mapped[UUID | None]
    composed_at: Mapped[datetime]
