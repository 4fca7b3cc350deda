"""Whom a question goes to first, and how what became of answers changes that."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.brain.cells import learn_cell
from storage.models.messaging import Message
from tests.scenarios.house import FakeModel, House, open_house, rung_of

pytestmark = pytest.mark.either
QUESTION = "Explain why my tides rise"
"""A person's own, so that nothing is tried out on it."""


async def judge(house: House, answer: Message, value: float) -> None:
    """An answer gets a thumb, which is learned from in the commit that writes it."""
    now = house.app.clock.now()
    async with house.app.database.unit_of_work() as work:
        await work.feedback.change(house.owner.id, answer.id, value=value, score=(1 + value) / 2, scored_at=now)
        row = await work.feedback.find(house.owner.id, answer.id)
        assert row is not None
        await learn_cell(work, row, now)


async def why(house: House) -> tuple[Message, str]:
    """The answer, and why it came from where it came from, as `ask --json` tells it."""
    reply = await house.asks(QUESTION)
    return reply, (reply.details or {})["why"]


async def test_thumbs_turn_the_order_and_the_answer_says_why(database_url: str, tmp_path: Path) -> None:
    rungs = [rung_of(FakeModel(), "first"), rung_of(FakeModel(), "second")]
    async with open_house(database_url, tmp_path, rungs=rungs) as house:
        reply, told = await why(house)
        assert told == "asked first: complex, by its reputation; first answered"
        await judge(house, reply, -1.0)
        reply, told = await why(house)
        assert told == "asked second: complex, by its reputation; second answered"
        await judge(house, reply, 1.0)
        _, told = await why(house)
        assert told.startswith("asked second: complex, 0.64 over 1 answer")


async def test_who_is_asked_first_may_still_be_out_of_reach(database_url: str, tmp_path: Path) -> None:
    first, second = FakeModel(), FakeModel()
    async with open_house(database_url, tmp_path, rungs=[rung_of(first, "first"), rung_of(second, "second")]) as house:
        first.fall()
        reply, told = await why(house)
        assert reply.text.startswith("re: ")
        assert told.startswith("asked first: complex, by its reputation; second answered, first ")
