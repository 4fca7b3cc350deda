"""Questions about what models cost and how well they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from bot.domain.clock import new_id
from storage.dialects import lock_for_counting, upsert
from storage.models.models import ModelHealth, ModelUsage
from storage.repositories.base import Repository


class ModelUsages(Repository):
    """Calls of models, their tokens, time and dollars."""

    async def spent_since(self, moment: datetime) -> float:
        """Dollars spent or reserved since *moment*."""
        query = select(func.sum(ModelUsage.cost_usd)).where(ModelUsage.organization_id == self._organization, ModelUsage.at >= moment)
        return float(await self._session.scalar(query) or 0.0)

    async def reserve(self, *, limit_usd: float, since: datetime, cost_usd: float, **values: Any) -> UUID | None:
        """Set *cost_usd* aside for a call, unless that would pass the limit; the reservation's id. Safe among several processes."""
        await lock_for_counting(self._session, f"{self._organization}:spending")
        if await self.spent_since(since) + cost_usd > limit_usd:
            return None
        reservation = new_id()
        await self.add(id=reservation, cost_usd=cost_usd, outcome="reserved", **values)
        return reservation

    async def add(self, *, id: UUID | None = None, **values: Any) -> None:
        """Record one call; the values are the columns of `ModelUsage`."""
        await self._session.execute(insert(ModelUsage).values(organization_id=self._organization, id=id or new_id(), **values))

    async def settle(self, reservation: UUID, **values: Any) -> None:
        """What a reserved call turned out to be."""
        mine = (ModelUsage.organization_id == self._organization, ModelUsage.id == reservation)
        await self._session.execute(update(ModelUsage).where(*mine).values(**values))

    async def first_token_ms(self, level: str, *, limit: int) -> Sequence[float]:
        """How long the last calls of a level took to their first token."""
        query = select(ModelUsage.first_token_ms).where(
            ModelUsage.organization_id == self._organization, ModelUsage.level == level, ModelUsage.first_token_ms.is_not(None)
        )
        return [ms for ms in (await self._session.scalars(query.order_by(ModelUsage.id.desc()).limit(limit))).all() if ms is not None]


class ModelHealths(Repository):
    """The levels' circuit breakers."""

    async def all(self) -> Sequence[ModelHealth]:
        """Every breaker that was ever opened."""
        return (await self._session.scalars(select(ModelHealth).where(ModelHealth.organization_id == self._organization))).all()

    async def save(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the state of these breakers; each row has the columns of `ModelHealth`."""
        for row in rows:
            changes = {name: value for name, value in row.items() if name != "rung"}
            statement = upsert(self._session, ModelHealth).values(organization_id=self._organization, **row)
            await self._session.execute(statement.on_conflict_do_update(index_elements=["organization_id", "rung"], set_=changes))
