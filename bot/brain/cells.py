"""What is known of each level at a task type: evidence, made anew of the last scored answers whenever one is scored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from bot.brain.predictor import fit
from storage.database import UnitOfWork
from storage.models.learning import RoutingArm
from storage.repositories.decisions import Scored

REMEMBERED = 500
"""Answers of a task type that are looked at; what is older weighs less than a hundredth."""
HALF_LIFE = 60
"""So many newer answers of the task type, whoever gave them, halve an answer's weight: old truth fades, also of whom nobody asks."""
PER_DAY = 6.0
"""What all answers of a person's day can weigh together in a cell: a thousand thumbs count as a few."""
MOST_WEIGHT, LONGEST_MS, DEAREST_USD = 1000.0, 3_600_000.0, 100.0
"""No cell is believed to hold more evidence, no answer to have taken longer or cost more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Evidence of a level at a task type, from `answers` answers: `good` and `bad` are sums of weights, `seconds` and `usd` means.

    `leaning` is what the predictor learned of its questions.
    """

    good: float = 0.0
    bad: float = 0.0
    answers: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    leaning: Sequence[Sequence[float]] = ()


def cells_from(outcomes: Sequence[Scored]) -> dict[str, Cell]:
    """The cells of one task type, by level, from its scored answers, newest first. A score that is no number counts for nothing."""
    sane = [outcome for outcome in outcomes if isfinite(outcome.score)]
    of_a_day = Counter((outcome.level, outcome.user_id, outcome.at.date()) for outcome in sane)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 5)
    age = 0.0
    for outcome in sane:
        share = min(PER_DAY / of_a_day[outcome.level, outcome.user_id, outcome.at.date()], 1.0)
        score, weight = _within(outcome.score, 1.0), share * 0.5 ** (age / HALF_LIFE)
        ms, usd = _within(outcome.latency_ms, LONGEST_MS), _within(outcome.cost_usd, DEAREST_USD)
        parts = weight * score, weight * (1 - score), 1, weight * ms / 1000, weight * usd
        sums[outcome.level] = [total + part for total, part in zip(sums[outcome.level], parts, strict=True)]
        age += share
    return {
        level: Cell(good=good, bad=bad, answers=int(count), seconds=seconds / (good + bad), usd=usd / (good + bad))
        for level, (good, bad, count, seconds, usd) in sums.items()
    }


def cell_of(arm: RoutingArm) -> Cell:
    """The cell that a row keeps, whatever was written into it."""
    good, bad = _within(arm.good, MOST_WEIGHT), _within(arm.bad, MOST_WEIGHT)
    seconds, usd = _within(arm.latency_ms, LONGEST_MS) / 1000, _within(arm.cost_usd, DEAREST_USD)
    return Cell(good=good, bad=bad, answers=max(arm.answers, 0), seconds=seconds, usd=usd, leaning=arm.leaning)


async def learn_cell(work: UnitOfWork, task_type: str, level: str, now: datetime) -> None:
    """Make the cells of a task type anew, after an answer of *level* was scored, scored again or withdrawn. Raises StorageUnavailable.

    All of them, since an answer ages those of every level; only what is there now counts, so that nothing is learned twice. What a
    cell's questions have to do with its scores is worked out with the first answer of a day.
    """
    arms = {arm.level: arm for arm in await work.routing_arms.at(task_type)}
    cells = cells_from(await work.feedback.scored(task_type, limit=REMEMBERED))
    for each in sorted(arms.keys() | cells.keys() | {level}):
        cell, arm = cells.get(each, Cell()), arms.get(each)
        leaning: Sequence[Sequence[float]] = arm.leaning if arm else ()
        if arm is None or arm.updated_at.date() != now.date():
            answers = await work.feedback.scored(task_type, limit=REMEMBERED, level=each)
            leaning = fit([(answer.question, _within(answer.score, 1.0)) for answer in answers])
        told = {"good": cell.good, "bad": cell.bad, "answers": cell.answers, "latency_ms": cell.seconds * 1000, "cost_usd": cell.usd}
        await work.routing_arms.save(task_type=task_type, level=each, updated_at=now, leaning=leaning, **told)


def _within(value: float, most: float) -> float:
    return min(max(value, 0.0), most) if isfinite(value) else 0.0
