"""What is known of each level at a task type: evidence, made anew of the last scored answers whenever one is scored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite

from bot.brain.predictor import LOOKED_AT, fit
from bot.domain.thought import Tier
from storage.database import Database, UnitOfWork
from storage.models.decisions import Feedback
from storage.models.learning import RoutingArm
from storage.repositories.decisions import Scored

REMEMBERED = 500
"""Answers of a task type that are looked at; older ones are forgotten."""
DEED, PER_DAY = 0.25, 6.0
"""A word on an answer weighs 1, a deed so much; a person's day at most so much in a cell: a thousand thumbs count as a few."""
HALF_LIFE = 60.0
"""So much newer evidence of the task type, whoever it is of, halves a weight: old truth fades, also of a level that nobody asks."""
MOST = 3_600_000.0  # an hour, in milliseconds: no figure is believed beyond this


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Evidence of a level at a task type, from `answers` answers: see the columns of `RoutingArm`."""

    good: float = 0.0
    bad: float = 0.0
    answers: int = 0
    latency_ms: float = 0.0
    cost_usd: float = 0.0
    leaning: Sequence[Sequence[float]] = ()


def cells_from(outcomes: Sequence[Scored]) -> dict[str, Cell]:
    """The cells of one task type, by level, from its scored answers, newest first. A score that is no number counts for nothing."""
    sane = [(each, 1.0 if each.value else DEED) for each in outcomes[:REMEMBERED] if isfinite(each.score)]
    days: dict[Hashable, float] = defaultdict(float)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 5)
    age = 0.0
    for outcome, weight in sane:
        days[outcome.level, outcome.user_id, outcome.at.date()] += weight
    for outcome, full in sane:
        share = full * min(PER_DAY / days[outcome.level, outcome.user_id, outcome.at.date()], 1.0)
        score, weight = _within(outcome.score, 1.0), share * 0.5 ** (age / HALF_LIFE)
        took = weight * _within(outcome.latency_ms), weight * _within(outcome.cost_usd)
        parts = weight * score, weight * (1 - score), 1, *took
        sums[outcome.level] = [total + part for total, part in zip(sums[outcome.level], parts, strict=True)]
        age += share
    return {
        level: Cell(good=good, bad=bad, answers=int(count), latency_ms=ms / (good + bad), cost_usd=usd / (good + bad))
        for level, (good, bad, count, ms, usd) in sums.items()
    }


def cell_of(arm: RoutingArm) -> Cell:
    """The cell that a row keeps, whatever was written into it."""
    good, bad, ms, usd = map(_within, (arm.good, arm.bad, arm.latency_ms, arm.cost_usd))
    return Cell(good=good, bad=bad, answers=max(arm.answers, 0), latency_ms=ms, cost_usd=usd, leaning=arm.leaning)


async def learn_cell(work: UnitOfWork, row: Feedback, now: datetime) -> None:
    """Make the cells of a task type anew, since the score of a single model's answer changed. Raises StorageUnavailable."""
    if row.tier != Tier.DIRECT:
        return
    cells = cells_from(await work.feedback.scored(row.task_type, limit=REMEMBERED))
    for level in sorted({arm.level for arm in await work.routing_arms.at(row.task_type)} | cells.keys()):
        await work.routing_arms.save(task_type=row.task_type, level=level, updated_at=now, **asdict(cells.get(level, Cell())))


async def lean(database: Database) -> None:
    """Find anew how each cell leans, beside all acts and off the road: it may take seconds. Raises StorageUnavailable."""
    async with database.reading() as work:
        arms = await work.routing_arms.all()
    for arm in arms:
        async with database.reading() as work:
            answers = await work.feedback.scored(arm.task_type, limit=4 * REMEMBERED, level=arm.level, letters=LOOKED_AT)
        leaning = await asyncio.to_thread(fit, [(each.question, _within(each.score, 1.0)) for each in answers])
        if leaning != arm.leaning:
            async with database.unit_of_work() as work:
                await work.routing_arms.lean(arm.task_type, arm.level, leaning)


def _within(value: float, most: float = MOST) -> float:
    return min(max(value, 0.0), most) if isfinite(value) else 0.0
