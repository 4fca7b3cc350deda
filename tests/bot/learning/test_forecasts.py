"""What is foretold is written down once, the next level is made ready, and afterwards it is seen what came true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.forecast import HORIZON, Score
from bot.brain.health import HealthBoard
from bot.domain.clock import new_id
from bot.learning.forecasts import KIND, Forecasts, failures, precision_recall
from storage.models.learning import Insight
from tests.fakes import FakeProvider
from tests.stage import Stage

pytestmark = pytest.mark.both

SLOWER = [400.0, 420.0, 380.0, 410.0] * 5 + [900.0, 1500.0, 2000.0, 3000.0]


class Levels:
    """Levels a, b, c of one hub, of which any may drift; `warmed` are those that were made ready."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.warmed = stage, list[str]()
        rungs = [Rung(level=name, provider=FakeProvider([]), context=8000, max_output_tokens=9) for name in "abc"]
        self.health = HealthBoard(database=None, clock=stage.clock)
        self.chain = FallbackChain(rungs=rungs, health=self.health, budget=None, turn_seconds=9, hedge_seconds=1, stall_seconds=9)
        self.round = Forecasts(database=stage.database, chain=self.chain, warm=self.warm)

    async def warm(self, level: str) -> None:
        self.warmed.append(level)

    def drift(self, *levels: str) -> None:
        for rung in self.chain.rungs:
            for ms in SLOWER if rung.level in levels else ():
                self.health.note_first_token(rung.id, ms)
                self.health.breaker(rung.id).note_success(was_probe=False)

    async def look(self) -> Sequence[Insight]:
        await self.round.look(self.stage.clock.now())
        async with self.stage.database.reading() as work:
            return await work.insights.since(KIND, self.stage.clock.now() - timedelta(days=1))

    async def called(self, level: str, outcome: str, error: str = "", **values: object) -> None:
        async with self.stage.database.unit_of_work() as work:
            row = {"level": level, "provider": "fake", "model": "m", "outcome": outcome, "error": error, "at": self.stage.clock.now()}
            await work.usage.add(**{**row, **values})

    async def score(self) -> Score:
        async with self.stage.database.reading() as work:
            since = self.stage.clock.now() - timedelta(days=1)
            return await precision_recall(work, since, await work.usage.since(since))


@pytest.fixture
def levels(stage: Stage) -> Levels:
    return Levels(stage)


async def test_a_drifting_level_is_foretold_once_and_the_next_calm_one_made_ready(levels: Levels, stage: Stage):
    """However often one looks, and by however many hubs."""
    other = Levels(stage)
    for each in (levels, other):
        each.drift("a", "b")
        await each.look()
    foretold = await levels.look()
    assert sorted(each.key for each in foretold) == ["a", "b"]
    assert foretold[0].due_at == foretold[0].at + HORIZON
    assert levels.warmed == ["c", "c"]


async def test_healthy_levels_leave_no_row(levels: Levels):
    for rung in levels.chain.rungs:
        levels.health.breaker(rung.id).note_success(was_probe=False)
    assert await levels.look() == []
    assert levels.warmed == []


@pytest.mark.parametrize(("error", "outcome"), [("ProviderUnavailable", 1.0), ("RequestRejected", 0.0)])
async def test_it_is_judged_by_what_the_level_did_once_its_turns_are_written_down(levels: Levels, stage: Stage, error: str, outcome: float):
    """A question that was refused is not the level's failure."""
    levels.drift("a")
    await levels.look()
    stage.clock.advance(seconds=60)
    await levels.called("a", "failed", error)
    stage.clock.advance(seconds=HORIZON.total_seconds())
    assert [each.outcome for each in await levels.look() if each.judged_at] == []
    stage.clock.advance(seconds=HORIZON.total_seconds())

    assert next(each.outcome for each in await levels.look() if each.judged_at) == outcome


async def test_a_level_of_which_another_node_answered_has_not_failed(levels: Levels, stage: Stage):
    event = new_id()
    await levels.called("a", "overtaken", "ProviderUnavailable", event_id=event)
    await levels.called("a", "answered", event_id=event)
    await levels.called("b", "overtaken", event_id=event)
    await levels.called("c", "failed", "StreamBroken")
    async with stage.database.reading() as work:
        assert [level for level, _ in failures(await work.usage.since(stage.clock.now() - HORIZON))] == ["c"]


async def test_an_outage_that_nobody_foretold_counts(levels: Levels, stage: Stage):
    for _ in range(2):
        await levels.called("b", "failed", "ProviderUnavailable")
        stage.clock.advance(seconds=30)
    assert await levels.score() == Score(made=0, true=0, outages=1, foreseen=0)


async def test_what_was_foretold_of_a_level_that_is_no_more_is_judged_too(levels: Levels, stage: Stage):
    levels.drift("a")
    await levels.look()
    levels.chain.rungs = ()
    stage.clock.advance(seconds=3 * HORIZON.total_seconds())
    assert [each.outcome for each in await levels.look()] == [0.0]
    assert await levels.score() == Score(made=1, true=0, outages=0, foreseen=0)
