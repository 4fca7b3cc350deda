"""Questions about how Robbie itself is doing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from bot.domain.clock import new_id
from storage.dialects import upsert
from storage.models.operations import Incident
from storage.repositories.base import Repository


class Incidents(Repository):
    """What went wrong."""

    async def add_once(self, *, kind: str, key: str, detail: str, now: datetime) -> bool:
        """Record an incident unless the same one is known; says whether it is new."""
        row = {"organization_id": self._organization, "id": new_id(), "kind": kind, "key": key, "detail": detail, "at": now}
        statement = upsert(self._session, Incident).values(**row).on_conflict_do_nothing().returning(Incident.id)
        return await self._session.scalar(statement) is not None

    async def latest(self, *, limit: int) -> Sequence[Incident]:
        """The last incidents, newest first."""
        query = select(Incident).where(Incident.organization_id == self._organization).order_by(Incident.id.desc()).limit(limit)
        return (await self._session.scalars(query)).all()
