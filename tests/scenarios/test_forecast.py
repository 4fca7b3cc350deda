"""A level that is about to fail is asked later, and what was foretold is there for all to see."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.learning.forecasts import KIND
from tests.scenarios.house import FakeModel, open_house, rung_of

pytestmark = pytest.mark.either


async def test_a_level_that_drifts_is_asked_after_the_next_and_that_is_foretold(database_url: str, tmp_path: Path):
    first, second = FakeModel(), FakeModel()
    async with open_house(database_url, tmp_path, rungs=[rung_of(first, "first"), rung_of(second, "second")]) as house:
        before = await house.asks("Why is the sky blue?")
        chain, now = house.app.chain, house.app.clock.now()
        for ms in [400.0, 420.0, 380.0, 410.0] * 5 + [900.0, 1500.0, 2000.0, 3000.0]:
            chain.health.note_first_token(chain.rungs[0].id, ms)
            chain.health.breaker(chain.rungs[0].id).note_success(was_probe=False)
        after = await house.asks("Why is the sea salty?")
        (forecasts,) = [each for each in house.app.rooms.rounds if each.name == "forecasts"]
        await forecasts.look(now)
        async with house.app.database.reading() as work:
            foretold = await work.insights.since(KIND, now - timedelta(days=1))
    assert (before.details["level"], after.details["level"]) == ("first", "second")
    assert [each.key for each in foretold] == ["first"]
