"""Questions about what Robbie learned of his levels, and what he believes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import insert, select, update

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace
from storage.models.learning import Insight, RoutingArm
from storage.repositories.base import Repository, ours

_ARMS = select(RoutingArm).where(ours(RoutingArm))
_ARMS_OF = _ARMS.where(RoutingArm.task_type == given("sort"))
_SAVE_ARM = insert_or_replace(RoutingArm, "good", "bad", "answers", "latency_ms", "cost_usd", "updated_at")
_LEAN = update(RoutingArm).where(ours(RoutingArm), RoutingArm.task_type == given("sort"), RoutingArm.level == given("whose"))
_ADD = insert(Insight)
_LATEST = select(Insight).where(ours(Insight), Insight.kind == given("of"), Insight.at >= given("since")).order_by(Insight.id)
_UNJUDGED = select(Insight).where(ours(Insight), Insight.kind == given("of"), Insight.judged_at.is_(None)).order_by(Insight.id)
_JUDGE = update(Insight).where(ours(Insight), Insight.id == given("which"), Insight.judged_at.is_(None))


class RoutingArms(Repository):
    """How good each level is at each task type."""

    async def all(self) -> Sequence[RoutingArm]:
        """Every cell that has evidence."""
        return await self._all(RoutingArm, _ARMS)

    async def at(self, task_type: str) -> Sequence[RoutingArm]:
        """The cells of a task type."""
        return await self._all(RoutingArm, _ARMS_OF, sort=task_type)

    async def save(self, **values: Any) -> None:
        """Keep a cell; the values are the columns of `RoutingArm`. How it leans is kept as it was, where it was there."""
        await self._insert(_SAVE_ARM, **values)

    async def lean(self, task_type: str, level: str, leaning: Sequence[Sequence[float]]) -> None:
        """Keep how a cell leans."""
        await self._changes(_LEAN, sort=task_type, whose=level, leaning=leaning)


class Insights(Repository):
    """What Robbie believes, and whether it came true."""

    async def add(self, **values: Any) -> UUID:
        """Keep a belief; the values are the columns of `Insight`. Returns its id."""
        row = {"id": new_id(), "due_at": None, "outcome": None, "judged_at": None, **values}
        await self._insert(_ADD, **row)
        return UUID(str(row["id"]))

    async def since(self, kind: str, since: datetime) -> Sequence[Insight]:
        """The beliefs of a kind since then, oldest first."""
        return await self._all(Insight, _LATEST, of=kind, since=since)

    async def unjudged(self, kind: str) -> Sequence[Insight]:
        """The beliefs of a kind of which it is not known whether they came true."""
        return await self._all(Insight, _UNJUDGED, of=kind)

    async def judge(self, which: UUID, *, outcome: float, judged_at: datetime) -> bool:
        """Say whether one came true; False where somebody has."""
        return await self._changes(_JUDGE, which=which, outcome=outcome, judged_at=judged_at)
