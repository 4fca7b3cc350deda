"""The day's allowance is a hard cap, and the person is told once a day that it is used up."""

from __future__ import annotations

from pathlib import Path

from bot.brain.budget import ALLOWANCE_SPENT
from tests.clock import FakeClock
from tests.scenarios.house import FakeModel, open_house, rung_of


async def test_person_is_told_once_a_day(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    dear, home = FakeModel(), FakeModel()
    dear.provider, dear.model = "openai", "gpt-5.2"
    rungs = [rung_of(dear, "dear"), rung_of(home, "home")]
    async with open_house(database_url, tmp_path, rungs=rungs, clock=clock, daily_usd=0.0) as house:
        first, second = await house.asks("one"), await house.asks("two")
        clock.advance(seconds=24 * 3600)
        third = await house.asks("three")
    assert [ALLOWANCE_SPENT in reply.text for reply in (first, second, third)] == [True, False, True]
    assert dear.asked == []
