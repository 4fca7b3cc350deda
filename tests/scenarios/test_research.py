"""The crew through the whole house: progress is seen, a death costs nothing, and its answer says what it could not find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bot.domain.thought import Delta, Finish, Prompt
from tests.clock import FakeClock
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, FakePush, open_house, until

pytestmark = pytest.mark.either

ASKED = "/research what about Acme?"


class FakeCrew(FakeModel):
    """FAKE: plays each expert with fixed words; can be told to hang at a call."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs_at = -1

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        self.prompts.append(prompt)
        await self.gate.wait()
        if len(self.prompts) == self.hangs_at:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        words = {
            "You plan": "1. Who are they?\n2. Who owns them?",
            "researcher": "A mill.\nNOT FOUND: the owner; the register could tell",
            "You write the answer": "Acme is a mill.",
            "You review": "OK",
        }
        yield Delta(text=next((said for role, said in words.items() if role in prompt.system), "re"))
        yield Finish()


async def test_the_answer_says_what_was_found_and_what_was_not(database_url: str, tmp_path: Path) -> None:
    push, crew = FakePush(show_seconds=0.001), FakeCrew()
    crew.hold()
    async with open_house(database_url, tmp_path, model=crew, push=push) as house:
        receipt = await house.hears(ASKED)
        await until(lambda: any("Planning" in shown.text for shown in push.showed))
        crew.gate.set()
        reply = await house.reply(receipt)
        assert reply.text == "Acme is a mill.\n\n**What I could not find**\n\n- the owner; the register could tell"
        assert (reply.details or {})["why"].startswith("a crew took 5 steps")
        await until(lambda: bool(push.took))
        assert push.took[-1].channel_message_id  # what grew becomes the answer


async def test_after_a_death_the_crew_goes_on_where_it_was(database_url: str, tmp_path: Path) -> None:
    crew, clock = FakeCrew(), FakeClock()
    crew.hangs_at = 4
    async with open_house(database_url, tmp_path, model=crew, clock=clock) as house:
        receipt = await house.hears(ASKED)
        await until(lambda: len(crew.prompts) == 4)
    crew.hangs_at = -1
    clock.advance(seconds=60)
    async with open_house(database_url, tmp_path, model=crew, clock=clock) as house:
        assert "Acme is a mill." in (await house.reply(receipt)).text
    assert len(crew.prompts) == 6  # the five steps, and the one that was cut off


async def test_with_every_model_dead_the_question_is_kept_and_answered_later(database_url: str, tmp_path: Path) -> None:
    crew = FakeCrew()
    crew.fall()
    async with open_house(database_url, tmp_path, model=crew) as house:
        assert (await house.asks(ASKED)).kind == "offline"
        crew.error = None
        assert (await house.asks("hello")).text == "re"

        async def late() -> list[str]:
            async with house.app.database.reading() as work:
                said = await work.messages.said_by(house.owner.id, limit=9)
                replies = [await work.messages.find_reply(each.id, ("late",)) for each in said]
            return [reply.text for reply in replies if reply is not None]

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := await late()):
                await asyncio.sleep(0.01)
        assert "Acme is a mill." in found[0]
