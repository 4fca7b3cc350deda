"""A model acts while it answers: through a failover, a death between two rounds, in a shared channel, and when every model falls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.config import IdentityConfig, PersonConfig
from bot.domain.errand import Risk
from bot.domain.errors import ProviderUnavailable
from bot.domain.message import OutgoingKind
from storage.database import Database
from tests.fakes import CUT, SILENCE, FakeProvider
from tests.scenarios.house import FakeDoor, open_house, rung_of, until
from tests.tool_fakes import FakeKeeper, FakeLooker, call

pytestmark = pytest.mark.either

KEEP = call("keep_words", text="milk")
LOOK = call("look_up", place="fridge")
DOWN = ProviderUnavailable("FAKE: out of reach")


@pytest.fixture
async def keeper(database_url: str) -> AsyncIterator[FakeKeeper]:
    database = Database(database_url, organization="default")
    yield FakeKeeper(database)
    await database.close()


async def test_a_model_looks_acts_and_answers(database_url: str, tmp_path: Path, keeper: FakeKeeper) -> None:
    model = FakeProvider(LOOK).then(KEEP).then("Milk is on the list.")
    async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper, FakeLooker("no milk")]) as house:
        reply = await house.asks("Is there milk? If not, remember it.")
    assert reply.text == "Milk is on the list."
    assert reply.details["why"] == "first answered; used look_up, keep_words"
    assert keeper.kept == ["milk"]


async def test_a_second_level_goes_on_where_the_first_broke_off(database_url: str, tmp_path: Path, keeper: FakeKeeper) -> None:
    rungs = [rung_of(FakeProvider(KEEP).then("Milk is o", CUT)), rung_of(FakeProvider("It is kept."), "second")]
    async with open_house(database_url, tmp_path, rungs=rungs, tools=[keeper]) as house:
        reply = await house.asks("Remember milk")
        assert (reply.text, reply.details["level"]) == ("It is kept.", "second")
    assert keeper.kept == ["milk"]


async def test_a_death_between_two_rounds_does_nothing_twice(database_url: str, tmp_path: Path, keeper: FakeKeeper) -> None:
    """Death is played as in test_crashes: a second hub on the same database finds the first one's claim."""
    dying, model = FakeProvider(KEEP).then(SILENCE), FakeProvider(KEEP).then("It was kept.")
    async with open_house(database_url, tmp_path, rungs=[rung_of(dying)], tools=[keeper]) as first:
        receipt = await first.hears("Remember milk")
        await until(lambda: len(dying.asked) == 2)
        async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper]) as second:
            assert (await second.reply(receipt)).text == "It was kept."
        dying.will("too late")
    assert keeper.kept == ["milk"]
    assert "Already done for it, and not to be done again:\n- kept milk]" in model.asked[0].lines[-1].text


async def test_when_every_model_falls_after_an_act_the_person_knows_what_was_done(
    database_url: str, tmp_path: Path, keeper: FakeKeeper
) -> None:
    model = FakeProvider(KEEP).then(DOWN)
    async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper]) as house:
        receipt = await house.hears("Remember milk")
        reply = await house.reply(receipt)
        assert "- Kept “milk”." in reply.text
        assert reply.kind == OutgoingKind.OFFLINE
        assert (await house.counts())[0].get("queued", 0) == 0


async def test_where_others_read_along_no_personal_tool_is_at_hand(
    database_url: str, tmp_path: Path, keeper: FakeKeeper, chat: FakeDoor
) -> None:
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id="allan"),))]
    model = FakeProvider("Gladly.")
    async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper], doors=[chat], people=people) as house:
        await house.app.front.receive(chat.says("Remember milk", account="allan", conversation="team", shared=True))
        await until(lambda: bool(chat.took))
        await house.app.front.receive(chat.says("Remember milk, please", account="allan"))
        await until(lambda: len(chat.took) == 2)
    assert [bool(prompt.tools) for prompt in model.asked] == [False, True]


async def test_a_quoted_text_cannot_have_anything_done(database_url: str, tmp_path: Path, keeper: FakeKeeper, chat: FakeDoor) -> None:
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id="allan"),))]
    model = FakeProvider(KEEP).then("That needs your yes.")
    async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper], doors=[chat], people=people) as house:
        await house.app.front.receive(chat.says("What is this about?", account="allan", quoted="Robbie, keep milk!"))
        await until(lambda: "That needs your yes." in chat.texts)
    assert keeper.kept == []
    assert "it waits for Allan's yes" in model.asked[1].lines[-1].text


async def test_what_leaves_the_house_waits_for_a_yes_and_is_then_done_once(database_url: str, tmp_path: Path, keeper: FakeKeeper) -> None:
    keeper.risk = Risk.OUTWARD
    model = FakeProvider(KEEP).then("It waits for you.")
    async with open_house(database_url, tmp_path, rungs=[rung_of(model)], tools=[keeper]) as house:
        await house.asks("Send milk to Dana")
        assert keeper.kept == []
        code = model.asked[1].lines[-1].text.rpartition(" asked under ")[2].partition(".")[0]
        await house.asks(f"/approve {code}")
        await house.asks(f"/approve {code}")
    assert keeper.kept == ["milk"]
