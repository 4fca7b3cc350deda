"""Says whom to ask first: who is believed to do it best, now and then who may have become better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from bot.brain.cells import Cell, cell_of
from bot.brain.delicate import is_delicate
from bot.brain.predictor import features, shift
from bot.brain.reputation import STRENGTH, Level
from bot.brain.task_type import classify
from bot.domain.thought import Prompt, Question, Route, TaskType
from storage.database import Database

FLOOR = 0.55
"""Believed worth below which being cheap or quick is no merit: such a level comes after those above, by its worth alone."""
PER_SECOND, PER_USD, AT_MOST = 0.002, 2.0, 0.06
"""What pace and money weigh: ten seconds, or a cent, as much as two points of a hundred in worth; either at most six."""
EXPLORES_EVERY = 3
"""One of so many questions of a task type may go to whom chance picks by what is not known of them yet (Thompson sampling)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Standing:
    """How a level stands for a question: how likely it is to do well, what that takes; the least `rank` is asked first."""

    level: Level
    answers: int
    worth: float
    seconds: float
    usd: float
    rank: tuple[float, ...]


class Router:
    """Chooses the order in which the levels are asked. `risk` tells how likely a level is to fail now, from 0 to 1."""

    def __init__(
        self, *, database: Database, levels: Sequence[Level], risk: Callable[[str], float] = lambda level: 0.0, chance: Random | None = None
    ) -> None:
        self._database = database
        self._levels = tuple(levels)
        self._risk = risk
        self._chance = chance or Random()  # noqa: S311  # nobody gains by guessing it
        self._waited: Counter[TaskType] = Counter()

    async def route(self, prompt: Prompt, question: Question) -> Route:
        """Whom this is for. Raises StorageUnavailable."""
        task_type, _ = classify(prompt)
        if len(self._levels) < 2:
            return Route(task_type=task_type, levels=())
        async with self._database.reading() as work:
            cells = {arm.level: cell_of(arm) for arm in await work.routing_arms.at(task_type)}
        least = prompt if task_type is TaskType.LONG_CONTEXT else replace(prompt, lines=prompt.lines[-1:], tools=())
        return self.choose(task_type, question.text, cells, needs=least.tokens(), may_explore=not is_delicate(prompt, question))

    def choose(self, task_type: TaskType, text: str, cells: Mapping[str, Cell], *, needs: int = 0, may_explore: bool = False) -> Route:
        """Of two levels or more, in which order; a text *needs* so many tokens' room, and where it may explore the first may be drawn."""
        asked = features(text) if sum(bool(cell.leaning) for cell in cells.values()) > 1 else ()
        order = self._ranked(task_type, cells, asked, needs)
        best = order[0]
        self._waited[task_type] += may_explore and any(cell.answers for cell in cells.values())
        if may_explore and self._waited[task_type] >= EXPLORES_EVERY:
            self._waited[task_type] = 0
            drawn = self._ranked(task_type, cells, asked, needs, self._chance)[0].level
            order.sort(key=lambda each: each.level is not drawn)
        is_exploring = order[0] is not best
        why = _why(task_type, order[0], best if is_exploring else order[1], is_exploring=is_exploring)
        names = tuple(each.level.name for each in order)
        expected = order[0].worth if order[0].answers else None
        return Route(task_type=task_type, levels=names, why=why, expected=expected, is_exploring=is_exploring)

    def _ranked(
        self, task_type: TaskType, cells: Mapping[str, Cell], asked: Sequence[float], needs: int, chance: Random | None = None
    ) -> list[_Standing]:
        """How the levels stand by reputation and evidence, the best first; with *chance*, as they may turn out to be."""
        standings = []
        for level in self._levels:
            cell = cells.get(level.name, Cell())
            good = STRENGTH * level.worth[task_type] + cell.good
            bad = STRENGTH * (1 - level.worth[task_type]) + cell.bad
            drawn = chance.betavariate(good, bad) if chance else good / (good + bad)
            worth = min(max(drawn + shift(cell.leaning, asked), 0.0), 1.0)
            share = (cell.good + cell.bad) / (good + bad)
            seconds = level.seconds + share * (cell.latency_ms / 1000 - level.seconds)
            usd = level.usd + share * (cell.cost_usd - level.usd)
            price = min(PER_SECOND * seconds, AT_MOST) + min(PER_USD * usd, AT_MOST) if worth >= FLOOR else 0.0
            likely, is_long = worth * (1 - max(0.0, min(1.0, self._risk(level.name)))), needs > level.room
            rank = (is_long, -level.room * is_long, worth < FLOOR, price - likely)
            standings.append(_Standing(level=level, answers=cell.answers, worth=worth, seconds=seconds, usd=usd, rank=rank))
        return sorted(standings, key=lambda each: each.rank)


def _why(task_type: TaskType, first: _Standing, other: _Standing, *, is_exploring: bool) -> str:
    """One line: asked claude: creative, 0.83 over 41 answers, half the cost (else: in half the time) of the next."""
    named = f"asked {first.level.name}{' to learn how good it is' * is_exploring}: {task_type}"
    if not first.answers:
        return f"{named}, by its reputation"
    told = f"{named}, {first.worth:.2f} over {first.answers} answer{'s' * (first.answers != 1)}"
    for how, word, mine, its in (("", "cost", first.usd, other.usd), ("in ", "time", first.seconds, other.seconds)):
        if mine <= 0.7 * its and its > 0:
            return f"{told}, {how}{'no' if mine < 0.01 * its else 'half the' if mine > 0.4 * its else f'{mine / its:.0%} of the'} {word}"
    return told
