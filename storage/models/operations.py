"""How Robbie itself is doing, and what he does by the clock: incidents, job_runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed


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
