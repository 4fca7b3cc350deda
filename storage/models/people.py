"""Who uses Robbie: organizations, users and their accounts on channels."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, belongs_to


class Organization(Base):
    """A household or firm; every other row belongs to one."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class User(Base):
    """A person. `role` is owner or member; `timezone` an IANA name."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    timezone: Mapped[str]
    created_at: Mapped[datetime]


class Identity(Base):
    """An account on a channel that belongs to a user."""

    __tablename__ = "identities"
    __table_args__ = (belongs_to("users", "user_id"),)

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
