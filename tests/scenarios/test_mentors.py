"""Mentors at the doors: set by command and button, asked by name, taken back; where others read along nobody speaks unasked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from bot.brain.context import ContextBuilder
from bot.brain.mentors import MENTORS
from bot.config import IdentityConfig, PersonConfig
from bot.domain.message import Button, Inbound, Outgoing
from bot.domain.thought import Delta, Finish, Prompt
from storage.models.messaging import Message
from tests.clock import FakeClock
from tests.fakes import asked
from tests.scenarios.house import FakeDoor, FakeModel, House, open_house, until

pytestmark = pytest.mark.either

CHURCHILL = MENTORS["churchill"].stance


class FakeImpersonator(FakeModel):
    """FAKE: lets each mentor speak whom it was told of, as a model would."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        self.prompts.append(prompt)
        marks = [f"**{name.title()}**" for name in MENTORS if f"**{name.title()}**" in prompt.system]
        yield Delta(text=" ".join(["Sell.", *(f"{mark}: Courage." for mark in marks)]))
        yield Finish()


@pytest.fixture
def post() -> FakeDoor:
    return FakeDoor("email", answers_strangers=False)


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor, post: FakeDoor) -> AsyncIterator[House]:
    """Allan, on Slack and by mail."""
    accounts = (IdentityConfig(platform="slack", id="allan"), IdentityConfig(platform="email", id="allan@home"))
    people = [PersonConfig(name="Allan", role="owner", identities=accounts), PersonConfig(name="Grace")]
    model = FakeImpersonator()
    async with open_house(database_url, tmp_path, model=model, doors=[chat, post], people=people, clock=FakeClock()) as opened:
        yield opened


async def _said(house: House, door: FakeDoor, inbound: Inbound) -> Outgoing:
    count = len(door.took)
    await house.app.front.receive(inbound)
    await until(lambda: len(door.took) > count)
    return door.took[-1]


async def spoke(house: House, message: Message) -> str:
    """Who spoke in an answer, by the record of what becomes of it."""
    async with house.app.database.reading() as work:
        outcome = await work.feedback.find(house.owner.id, message.id)
    assert outcome is not None
    assert (message.details or {}).get("mentor", "") == outcome.mentor
    return outcome.mentor


async def test_who_is_set_speaks_until_that_is_taken_back(house: House) -> None:
    usual = (await house.asks("what now?"), house.model.prompts[-1].system)[1]
    told = (await house.asks("/mentor churchill determined")).text
    assert "**Mentor churchill determined, everywhere.**" in told
    assert CHURCHILL in told
    reply = await house.asks("should I sell the boat?")
    assert "**Churchill** (determined):" in house.model.prompts[-1].system
    assert CHURCHILL in house.model.prompts[-1].tool_system
    assert "**Churchill** (determined):" in house.model.prompts[-1].brief_system
    assert await spoke(house, reply) == "churchill"
    assert "Taken back: Mentor churchill determined" in (await house.asks("/undo")).text
    reply = await house.asks("and the car?")
    assert house.model.prompts[-1].system == usual
    assert await spoke(house, reply) == ""


async def test_who_is_asked_by_name_speaks_once(house: House) -> None:
    reply = await house.asks("What would Churchill say about the boat?")
    assert await spoke(house, reply) == "churchill"
    assert await spoke(house, await house.asks("And what do you say?")) == ""


async def test_auto_brings_who_fits_and_who_did_better_speaks_first(house: House) -> None:
    await house.asks("/mentor auto")
    assert await spoke(house, await house.asks("What is the capital of France?")) == ""
    question = "Should we enter the market before our competitors?"
    reply = await house.asks(question)
    assert house.model.prompts[-1].mentors == ("jobs", "churchill")
    assert await spoke(house, reply) == "jobs churchill"
    reply = await house.asks("Ask Churchill about the boat")
    async with house.app.database.unit_of_work() as work:
        await work.feedback.change(house.owner.id, reply.id, score=0.9, scored_at=house.app.clock.now())
    await house.asks(question)
    assert house.model.prompts[-1].mentors == ("churchill", "jobs")
    assert "0.90 over 1 answer." in (await house.asks("/mentor")).text


async def test_what_holds_for_a_while_ends_by_itself(house: House) -> None:
    assert "until 18:00" in (await house.asks("/mentor julia child until 6pm")).text
    assert "(until 18:00" in (await house.asks("/mentor")).text
    house.app.clock.advance(seconds=6 * 3600)  # type: ignore[attr-defined]
    assert (await house.asks("/mentor")).text.startswith("Nobody speaks but me")


async def test_back_to_normal_takes_a_mentor_away_with_the_rest(house: House) -> None:
    await house.asks("/mentor elvis in private")
    assert await spoke(house, await house.asks("and now?")) == "elvis"
    await house.asks("back to normal")
    assert await spoke(house, await house.asks("and then?")) == ""


async def test_a_button_is_pressed_and_all_of_them_stand_there_again(house: House, chat: FakeDoor) -> None:
    shown = await _said(house, chat, chat.says("/mentor", account="allan"))
    assert Button(label="Elvis", command="/mentor elvis") in shown.buttons
    pressed = await _said(house, chat, chat.says("/mentor elvis", account="allan", kind="action"))
    assert pressed.text.startswith("Elvis Presley speaks beside me")
    assert [each.label for each in pressed.buttons if each.label in ("Elvis", "Off", "Undo")] == ["Off", "Undo"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/mentor churchil", "Did you mean `/mentor churchill`?"),
        ("/mentor churchill bananas", "“bananas”"),
        ("/mentor elvis in briefs", "In briefs nobody speaks but me."),
        ("/mentor elvis until yesterday", "has passed"),
    ],
)
async def test_what_cannot_be_set_is_answered_kindly_and_changes_nothing(house: House, text: str, told: str) -> None:
    assert told in (await house.asks(text)).text
    assert await spoke(house, await house.asks("and now?")) == ""


async def test_where_others_read_along_nobody_speaks_unless_asked_just_there(house: House, chat: FakeDoor, post: FakeDoor) -> None:
    await _said(house, chat, chat.says("/mentor churchill", account="allan"))

    async def writes(text: str) -> str:
        return (await _said(house, chat, chat.says(text, account="allan", conversation="C1", shared=True))).text

    assert await writes("should we sell?") == "Sell."
    assert "between you and me" in await writes("/mentor")
    assert await writes("what would Elvis say?") == "Sell. **Elvis**: Courage."
    assert (await _said(house, post, post.says("sell?", account="allan@home", conversation="allan@home/<1@x>"))).text == "Sell."
    await writes("/mentor jobs")
    assert await writes("should we sell?") == "Sell. **Jobs**: Courage."


async def test_a_strangers_mail_is_answered_without_mentors(house: House, chat: FakeDoor, post: FakeDoor) -> None:
    await _said(house, chat, chat.says("/mentor churchill in email", account="allan"))
    await house.app.front.receive(post.says("What would Churchill say?", account="bob@else", is_verified=False))
    await until(lambda: any("I would answer" in text for text in chat.texts))
    assert CHURCHILL not in house.model.prompts[-1].system


async def test_a_council_hears_who_fits_unless_somebody_speaks_or_it_is_off(house: House) -> None:
    builder = ContextBuilder(database=house.app.database, owner="Allan", clock=house.app.clock)
    hard = asked("Why do the figures contradict each other? I am stuck on it.", person=house.owner)
    assert [view.name for view in await builder.views(hard)] == ["einstein", "jobs"]
    assert MENTORS["einstein"].stance in (await builder.views(hard))[0].words
    assert await builder.views(asked("ask Elvis about the root cause", person=house.owner)) == ()
    await house.asks("no more mentors")
    assert await builder.views(hard) == ()
