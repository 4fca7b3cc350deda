"""Questions about how Robbie itself is doing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam as given
from sqlalchemy import select

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.operations import Incident
from storage.repositories.base import Repository, ours

_ADD_ONCE = insert_or_skip(Incident)
_LATEST = select(Incident).where(ours(Incident)).order_by(Incident.id.desc()).limit(given("limit"))


class Incidents(Repository):
    """What went wrong."""

    async def add_once(self, *, kind: str, key: str, detail: str, now: datetime) -> bool:
        """Record an incident unless the same one is known; says whether it is new."""
        return await self._insert(_ADD_ONCE, id=new_id(), kind=kind, key=key, detail=detail, at=now)

    async def latest(self, *, limit: int) -> Sequence[Incident]:
        """The last incidents, newest first."""
        return await self._all(Incident, _LATEST, limit=limit)
