"""How well failures are foretold: SIMULATED levels of four sorts before the real health board, breakers and forecast."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.chain import StillClock
from benchmarks.figure import Figure, progress
from bot.brain.call import Rung
from bot.brain.forecast import ALARM, HORIZON, Score, scored
from bot.brain.health import HealthBoard
from bot.brain.providers.ollama import OllamaProvider
from bot.domain.errors import ProviderUnavailable

DAYS, SEEDS, CALLS_A_DAY, OUTAGES_A_DAY = 10, 3, 1500, 3
OUTAGE = timedelta(minutes=15)
SIGNS = timedelta(minutes=10)
"""How long before an outage it shows."""
CHANCE = 0.005
"""Of every healthy call to fail."""
NOISE = 0.35
"""Deviation of the logarithm of a healthy delay, which is 400 ms."""
SORTS = ("drifting", "faltering", "sudden", "healthy")
"""Before it fails, one becomes up to five times slower; one fails in every fifth call; one shows nothing. One never fails, but is twice
as noisy, and for two hours a day half as slow again."""


@dataclass
class Level:
    """SIMULATED: one level's life, and what was foretold of it by the forecast and by the yardstick."""

    name: str
    sort: str
    dice: random.Random
    clock: StillClock = field(default_factory=StillClock)
    failures: list[tuple[str, datetime]] = field(default_factory=list)
    ours: list[tuple[str, datetime]] = field(default_factory=list)
    theirs: list[tuple[str, datetime]] = field(default_factory=list)

    def live(self) -> None:
        """All its days."""
        rung = Rung(level=self.name, provider=OllamaProvider(model="none", url="http://127.0.0.1:9"), context=1, max_output_tokens=1)
        health = HealthBoard(database=None, clock=self.clock)
        began, end = self.clock.now(), self.clock.now() + timedelta(days=DAYS)
        outages = sorted(began + self.dice.random() * (end - began) for _ in range(DAYS * OUTAGES_A_DAY if self.sort != "healthy" else 0))
        while self.clock.now() < end:
            self.clock.moment += timedelta(days=self.dice.expovariate(CALLS_A_DAY))
            now = self.clock.now()
            if (permit := health.breaker(rung.id).permit()) is None:
                continue
            is_out = any(at <= now < at + OUTAGE for at in outages)
            near = max((1 - (at - now) / SIGNS for at in outages if timedelta() < at - now <= SIGNS), default=0.0)
            falters = near > 0 and self.sort == "faltering" and self.dice.random() < 0.2
            if is_out or falters or self.dice.random() < CHANCE:
                permit.failed(ProviderUnavailable("simulated"))
                self.failures.append((self.name, now))
                _tell(self.theirs, self.name, now)
            else:
                permit.succeeded()
                health.note_first_token(rung.id, self._delay_ms(now, near))
            if (health.risk(rung.id) or 0.0) >= ALARM:
                _tell(self.ours, self.name, now)

    def _delay_ms(self, now: datetime, near: float) -> float:
        is_healthy = self.sort == "healthy"
        slower = 5**near if self.sort == "drifting" else 1.5 if is_healthy and now.hour in (9, 10) else 1.0
        return 400 * slower * self.dice.lognormvariate(0, NOISE * (2 if is_healthy else 1))


def _tell(told: list[tuple[str, datetime]], name: str, now: datetime) -> None:
    """One prediction of a level at a time."""
    if not told or now - told[-1][1] >= HORIZON:
        told.append((name, now))


async def foretold(_: Path) -> AsyncIterator[Figure]:
    """Precision and recall, beside those of foretelling a failure after any failure."""
    levels = [Level(name=f"{sort}{seed}", sort=sort, dice=random.Random(f"{sort}{seed}")) for sort in SORTS for seed in range(SEEDS)]
    progress(f"forecast: {len(levels)} simulated levels live {DAYS} days each, {SORTS}")
    for level in levels:
        level.live()
    ours, theirs = _sum(levels, "ours"), _sum(levels, "theirs")
    by_sort = {f"recall_{sort}": _recall(_sum([level for level in levels if level.sort == sort], "ours")) for sort in SORTS[:3]}
    false = sum(len(level.ours) for level in levels if level.sort == "healthy") / (SEEDS * DAYS)
    precision, recall = {"after_any_failure": _precision(theirs)}, {"after_any_failure": _recall(theirs)}
    is_better = _precision(ours) > _precision(theirs), _recall(ours) > _recall(theirs)
    yield Figure(name="forecast_precision", value=_precision(ours), unit="", bar="> yardstick", ok=is_better[0], yardstick=precision)
    yield Figure(name="forecast_recall", value=_recall(ours), unit="", bar="> yardstick", ok=is_better[1], yardstick=recall | by_sort)
    yield Figure(name="forecast_false_alarms", value=false, unit="a day of a healthy level", bar="<= 2", ok=false <= 2)


def _sum(levels: list[Level], who: str) -> Score:
    scores = [scored(getattr(level, who), level.failures) for level in levels]
    return Score(*(sum(column) for column in zip(*scores, strict=True)))


def _precision(score: Score) -> float:
    return score.true / max(score.made, 1)


def _recall(score: Score) -> float:
    return score.foreseen / max(score.outages, 1)
