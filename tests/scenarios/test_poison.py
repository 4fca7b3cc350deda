"""A message that breaks its handler is tried three times and set aside, honestly; nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.domain.errors import Conflict
from bot.domain.ports import Listener
from bot.domain.thought import Question, Turn
from bot.hub.hub import THINKERS
from bot.hub.thinking import SET_ASIDE
from tests.clock import FakeClock
from tests.conftest import sqlite_url
from tests.scenarios.house import House, open_house, until


class BrokenBrain:
    """FAKE: the real brain, but for a bug: it breaks on one word."""

    def __init__(self, house: House, word: str, error: Exception | None = None) -> None:
        self._error = error or ZeroDivisionError("FAKE: a bug")
        self._brain = house.app.hub._thinkers.brain
        self._word = word
        self.broke = 0
        house.app.hub._thinkers.brain = self  # type: ignore[assignment]

    async def answer(self, question: Question, listener: Listener | None = None) -> Turn:
        if self._word in question.text:
            self.broke += 1
            raise self._error
        return await self._brain.answer(question, listener)


@pytest.mark.parametrize("error", [ZeroDivisionError("FAKE: a bug"), Conflict("FAKE: a row that is there already")])
async def test_message_that_breaks_its_handler_is_set_aside_honestly(house: House, error: Exception) -> None:
    brain = BrokenBrain(house, "poison", error)
    receipt = await house.hears("poison")
    after = await house.hears("and the next")
    elsewhere = await house.asks("hello", conversation="other")
    assert elsewhere.text == "re: hello"
    reply = await house.reply(receipt)
    assert (reply.kind, reply.text) == ("notice", SET_ASIDE)
    assert (await house.reply(after)).text == "re: and the next"
    assert brain.broke == 3
    assert (await house.event(receipt.event_id)).state == "set_aside"
    assert await house.incidents() == ["set_aside"]
    await until(lambda: len(house.push.took) == 3)


async def test_message_that_breaks_its_late_answer_is_set_aside_and_holds_up_no_other(house: House) -> None:
    house.model.fall()
    poison = await house.hears("poison", conversation="a")
    await house.reply(poison)
    await house.asks("what is love", conversation="b")
    BrokenBrain(house, "poison")
    house.model.error = None
    await house.asks("awake", conversation="c")
    await until(lambda: house.push.took[-1].kind == "late")
    for _ in range(2):
        await house.app.hub.resume()
        await asyncio.sleep(0.05)
    await until(lambda: house.push.texts[-1].endswith(SET_ASIDE))
    assert "you asked: “poison”" in house.push.texts[-1]
    assert (await house.event(poison.event_id)).state == "set_aside"


async def test_backing_off_holds_no_worker(sqlite_file: Path, tmp_path: Path, clock: FakeClock) -> None:
    """More broken messages than workers, none of which is due again, and a good one is answered."""
    async with open_house(sqlite_url(sqlite_file), tmp_path, clock=clock) as house:
        BrokenBrain(house, "poison")
        poisons = [await house.hears("poison", conversation=f"p{n}") for n in range(THINKERS + 6)]
        await until(lambda: not house.app.hub._pool._width.locked())
        assert (await house.asks("hello", conversation="good")).text == "re: hello"
        assert {(await house.event(poison.event_id)).state for poison in poisons} == {"received"}  # backing off still
