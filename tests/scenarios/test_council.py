"""The council through the whole house: asked for at a door, or held by itself; what each said is kept, and told to its person alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from bot.brain.analytical import NO_COUNCIL
from bot.brain.call import Rung
from bot.config import PersonConfig
from bot.domain.thought import Delta, Finish, Prompt
from bot.hub.why_commands import COUNCIL, NOTHING
from tests.clock import FakeClock
from tests.scenarios.house import FakeDoor, FakeModel, FakePush, open_house, rung_of, until

pytestmark = pytest.mark.either

LEASE, BUY, BOTH = "Lease it, for the sake of your cash.", "Buy it, since it keeps its worth.", "One view leases, another buys."


class FakeMember(FakeModel):
    """FAKE: has one opinion, and puts drafts together in fixed words; can hang at that."""

    def __init__(self, name: str, says: str) -> None:
        super().__init__()
        self.model, self.says, self.hangs = name, says, False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        self.prompts.append(prompt)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        is_synthesis = "<draft" in prompt.lines[-1].text
        if is_synthesis and self.hangs:
            await asyncio.Event().wait()
        yield Delta(text=BOTH if is_synthesis else self.says)
        yield Finish()


def seats(*members: FakeMember) -> Sequence[Rung]:
    return [rung_of(member, member.model) for member in members]


async def test_a_wish_is_answered_by_several_and_the_path_is_kept(database_url: str, tmp_path: Path) -> None:
    push, members = FakePush(show_seconds=0.001), (FakeMember("gpt", LEASE), FakeMember("claude", BUY))
    members[1].hold()
    async with open_house(database_url, tmp_path, rungs=seats(*members), push=push, council="ask") as house:
        receipt = await house.hears("/council should we lease or buy the van?")
        await until(lambda: any("Asking gpt and claude" in shown.text for shown in push.showed))
        members[1].gate.set()
        reply = await house.reply(receipt)
        details = reply.details or {}
        assert (reply.text, details["tier"], details["level"]) == (BOTH, "analytical", "gpt")
        assert [(step.get("who"), step.get("said")) for step in details["path"][:2]] == [("gpt", LEASE), ("claude", BUY)]
        assert members[0].prompts[0].lines[-1].text == "should we lease or buy the van?"
        await until(lambda: bool(push.took))
        assert push.took[-1].channel_message_id  # what grew becomes the answer
        why = (await house.asks("Why did you say that?")).text
        assert f"- **gpt** (agreement 0.00, 0% kept): {LEASE}" in why
        assert "put together by gpt" in why
        assert why == (await house.asks(f"/why {reply.id}")).text == (await house.asks("/why")).text


async def test_a_hard_question_needs_no_wish_and_an_easy_one_no_council(database_url: str, tmp_path: Path) -> None:
    members = FakeMember("gpt", LEASE), FakeMember("claude", BUY)
    async with open_house(database_url, tmp_path, rungs=seats(*members)) as house:
        assert (await house.asks("Compare leasing and buying a van: why would a mill lease?")).text == BOTH
        assert (await house.asks("How are you?")).text == LEASE
        assert ((await house.asks("Ask the council: how are you?")).details or {})["tier"] == "analytical"


async def test_with_one_model_it_answers_alone_and_says_so(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url, tmp_path) as house:
        assert (await house.asks("/council lease or buy?")).text == f"re: lease or buy?\n\n{NO_COUNCIL}"
        assert (await house.asks("/council\nlease or buy?")).text == f"re: lease or buy?\n\n{NO_COUNCIL}"
        assert (await house.asks("/council")).text == COUNCIL


async def test_with_every_model_dead_the_question_is_kept(database_url: str, tmp_path: Path) -> None:
    members = FakeMember("gpt", LEASE), FakeMember("claude", BUY)
    for member in members:
        member.fall()
    async with open_house(database_url, tmp_path, rungs=seats(*members)) as house:
        assert (await house.asks("/council lease or buy?")).kind == "offline"


async def test_after_a_death_the_council_meets_again_and_answers_once(database_url: str, tmp_path: Path) -> None:
    members, clock = (FakeMember("gpt", LEASE), FakeMember("claude", BUY)), FakeClock()
    members[0].hangs = True
    async with open_house(database_url, tmp_path, rungs=seats(*members), clock=clock) as house:
        receipt = await house.hears("/council lease or buy?")
        await until(lambda: len(members[0].prompts) == 2)
    members[0].hangs = False
    clock.advance(seconds=60)
    async with open_house(database_url, tmp_path, rungs=seats(*members), clock=clock) as house:
        reply = await house.reply(receipt)
        assert await house.said(reply.conversation_id) == [BOTH]


def who(name: str, role: str) -> PersonConfig:
    return PersonConfig.model_validate({"name": name, "role": role, "identities": ({"platform": "slack", "id": name.lower()},)})


async def test_why_is_told_for_every_tier_and_to_its_person_alone(database_url: str, tmp_path: Path) -> None:
    door = FakeDoor("slack")
    async with open_house(database_url, tmp_path, doors=[door], people=[who("Allan", "owner"), who("Grace", "member")]) as house:

        async def says(text: str, account: str, *, shared: bool = False) -> str:
            count = len(door.took)
            await house.app.front.receive(door.says(text, account=account, conversation=f"{account}/{shared}", shared=shared))
            await until(lambda: len(door.took) > count)
            return door.texts[-1]

        assert await says("/why", "allan") == NOTHING
        await says("what time is it", "allan")
        assert "Reactive: computed without a model" in await says("/why", "allan")
        await says("hello there", "allan")
        assert "Direct: first answered" in await says("/why", "allan")
        async with house.app.database.reading() as work:
            asked = next(each for each in await work.messages.said_by(house.owner.id, limit=9) if each.text == "hello there")
            reply = await work.messages.find_reply(asked.id)
        assert reply is not None
        assert "Direct: first answered" in await says(f"/why {reply.id}", "allan")
        assert await says(f"/why {reply.id}", "grace") == NOTHING
        assert await says("/why nonsense", "grace") == NOTHING
        async with house.app.database.unit_of_work() as work:
            await work.messages.withdraw(reply.id)
        assert await says(f"/why {reply.id}", "allan") == NOTHING
        assert "between you and me" in await says("/why", "allan", shared=True)
