"""What Robbie keeps for people: sticky_notes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class StickyNote(Keyed, Base):
    """A thing a person wanted kept, in their own words; `source_id` is the message it came with."""

    __tablename__ = "sticky_notes"
    __table_args__ = (belongs_to("users", "user_id"), Index(None, "organization_id", "user_id", "id"))

    user_id: Mapped[UUID]
    text: Mapped[str]
    created_at: Mapped[datetime]
    source_id: Mapped[UUID | None] = mapped_column(default=None)
