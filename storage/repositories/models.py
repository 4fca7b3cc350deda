"""Questions about what models cost and how well they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import func, insert, select, update

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, lock_until_commit
from storage.models.models import ModelHealth, ModelUsage
from storage.repositories.base import Repository, ours

_SPENT = select(func.sum(ModelUsage.cost_usd)).where(ours(ModelUsage), ModelUsage.at >= given("since"))
_ADD = insert(ModelUsage)
_SETTLE = update(ModelUsage).where(ours(ModelUsage), ModelUsage.id == given("reservation"))
_FIRST_TOKEN = (
    select(ModelUsage.first_token_ms)
    .where(ours(ModelUsage), ModelUsage.level == given("of_level"), ModelUsage.first_token_ms.is_not(None))
    .order_by(ModelUsage.id.desc())
    .limit(given("limit"))
)
_SINCE = select(ModelUsage).where(ours(ModelUsage), ModelUsage.at >= given("since")).order_by(ModelUsage.at)
_BREAKERS = select(ModelHealth).where(ours(ModelHealth))
_SAVE_BREAKER = insert_or_replace(ModelHealth, "state", "outcomes", "openings", "retry_at", "updated_at")
_UNTOLD = {"detail": "", "error": "", "event_id": None, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "first_token_ms": None}


class ModelUsages(Repository):
    """Calls of models, their tokens, time and dollars."""

    async def spent_since(self, moment: datetime) -> float:
        """Dollars spent or reserved since *moment*."""
        return await self._value(_SPENT, since=moment) or 0.0

    async def reserve(self, *, limit_usd: float, since: datetime, cost_usd: float, **values: Any) -> UUID | None:
        """Set *cost_usd* aside for a call, unless that would pass the limit; the reservation's id. Safe among several processes."""
        await lock_until_commit(self._connection, f"{self._organization}:spending")
        if await self.spent_since(since) + cost_usd > limit_usd:
            return None
        reservation = new_id()
        await self.add(id=reservation, cost_usd=cost_usd, outcome="reserved", **values)
        return reservation

    async def add(self, *, id: UUID | None = None, **values: Any) -> None:
        """Record one call; the values are the columns of `ModelUsage`."""
        await self._insert(_ADD, id=id or new_id(), **{**_UNTOLD, "latency_ms": 0.0, **values})

    async def settle(self, reservation: UUID, **values: Any) -> None:
        """What a reserved call turned out to be."""
        await self._changes(_SETTLE, reservation=reservation, **values)

    async def first_token_ms(self, level: str, *, limit: int) -> Sequence[float]:
        """How long the last calls of a level took to their first token."""
        return [ms for ms in await self._values(_FIRST_TOKEN, of_level=level, limit=limit) if ms is not None]

    async def since(self, moment: datetime) -> Sequence[ModelUsage]:
        """The calls since then, oldest first."""
        return await self._all(ModelUsage, _SINCE, since=moment)


class ModelHealths(Repository):
    """The levels' circuit breakers."""

    async def all(self) -> Sequence[ModelHealth]:
        """Every breaker that was ever opened."""
        return await self._all(ModelHealth, _BREAKERS)

    async def save(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the state of these breakers; each row has the columns of `ModelHealth`."""
        for row in rows:
            await self._insert(_SAVE_BREAKER, **row)
