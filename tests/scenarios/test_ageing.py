"""What was said in a house is summarised when it is a week old, by the round that the house goes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.scenarios.house import open_house

pytestmark = pytest.mark.either


async def test_a_conversation_is_summarised_a_week_later(database_url: str, tmp_path: Path):
    async with open_house(database_url, tmp_path) as house:
        asked = await house.asks("I signed the lease for the office in Lisbon on 3 May. What does that mean?")
        assert asked.reply_to is not None
        (ages,) = [each for each in house.app.rooms.rounds if each.name == "ageing"]
        await ages.look(house.app.clock.now() + timedelta(days=8))
        async with house.app.database.reading() as work:
            said = await work.memories.of_messages([asked.reply_to, asked.id])
            covering = await work.summaries.covering([each.id for each in said])
    assert covering.keys() == {each.id for each in said}
    (summary,) = {each.id: each for found in covering.values() for each in found}.values()
    assert "I signed the lease for the office in Lisbon on 3 May." in summary.text
