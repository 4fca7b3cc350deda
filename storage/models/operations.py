"""How Robbie itself is doing: incidents."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base


class Incident(Base):
    """Something went wrong that a person may want to look at. `key` makes one incident of a thing that is noticed often."""

    __tablename__ = "incidents"
    __table_args__ = (UniqueConstraint("organization_id", "kind", "key"),)

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]
