"""Who uses Robbie: organizations, users, their accounts on channels, and the codes by which an account comes to somebody."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bot.domain.address import Person
from storage.models.base import Base, Keyed, belongs_to


class Organization(Base):
    """A household or firm; every other row belongs to one."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class User(Base):
    """A person. `role` is owner, member, stranger (asked for, not let in) or former; `timezone` an IANA name.

    It is where they are; `home_timezone` is what config says of them, so that a journey outlasts a restart.

    `origin` is config for whom config.toml names, and pairing for whom the owner let in.
    """

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    timezone: Mapped[str]
    created_at: Mapped[datetime]
    origin: Mapped[str] = mapped_column(default="config")
    home_timezone: Mapped[str] = mapped_column(default="")

    @property
    def person(self) -> Person:
        """The same, as the rest of the house knows them."""
        return Person(id=self.id, name=self.name, role=self.role, timezone=self.timezone)


class Identity(Base):
    """An account on a channel that belongs to a user."""

    __tablename__ = "identities"
    __table_args__ = (belongs_to("users", "user_id"),)

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]


class LinkCode(Keyed, Base):
    """A one-shot code: `pair` asks the owner to let an account in, `link` joins an account to its maker, `oauth` belongs to an install.

    `code` of a link is the SHA-256 of what was told; that of a pairing is no secret, since only the owner can use it.
    """

    __tablename__ = "link_codes"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "kind", "code"))

    kind: Mapped[str]
    code: Mapped[str]
    user_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    channel: Mapped[str] = mapped_column(default="")
    account: Mapped[str] = mapped_column(default="")
    event_id: Mapped[UUID | None] = mapped_column(default=None)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    used_at: Mapped[datetime | None] = mapped_column(default=None)
