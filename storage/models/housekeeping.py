"""Tables that serve the house alone: credentials (sign-in links, sessions and bearer tokens)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, belongs_to


class Credential(Base):
    """A way to sign in: `kind` is link (once), session (a browser) or token (a script). Only the secret's SHA-256 is kept."""

    __tablename__ = "credentials"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "secret_hash"))

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    secret_hash: Mapped[str]
    user_id: Mapped[UUID]
    label: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
