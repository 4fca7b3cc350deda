"""Tables that serve the house alone: credentials, leases, cursors, installations, incidents, job_runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class Credential(Keyed, Base):
    """A way to sign in: `kind` is link (once), session (a browser) or token (a script). Only the secret's SHA-256 is kept."""

    __tablename__ = "credentials"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "secret_hash"))

    kind: Mapped[str]
    secret_hash: Mapped[str]
    user_id: Mapped[UUID]
    label: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class Lease(Base):
    """A thing that only one process does at a time, and until when it is that one's unless renewed."""

    __tablename__ = "leases"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    until: Mapped[datetime]


class Cursor(Base):
    """How far a channel has been read, in the channel's own terms."""

    __tablename__ = "cursors"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Installation(Base):
    """What a workspace granted when it installed Robbie, as the channel's SDK spells it in JSON; it holds a token."""

    __tablename__ = "installations"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    granted: Mapped[str]
    at: Mapped[datetime]


class Incident(Keyed, Base):
    """Something went wrong that a person may want to look at. `key` makes one incident of a thing that is noticed often."""

    __tablename__ = "incidents"
    __table_args__ = (UniqueConstraint("organization_id", "kind", "key"),)

    kind: Mapped[str]
    key: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]


class JobRun(Base):
    """One slot of a job: claimed by its `owner` until `lease_until`, then running → done or failed. `details` is how far it came."""

    __tablename__ = "job_runs"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    job: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    owner: Mapped[str]
    lease_until: Mapped[datetime]
    attempts: Mapped[int]
    details: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
