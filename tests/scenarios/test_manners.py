"""Manners at the doors: set by command, button and plain words; every answer has them; the personal tone is heard in one place only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.brain.tone import WORDS
from bot.config import IdentityConfig, PersonConfig
from bot.domain.message import Inbound, Outgoing
from bot.hub.why_commands import NOTHING
from tests.clock import FakeClock
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either

PERSONAL = [band[2] for band in WORDS["tone"][1:]]


@pytest.fixture
def post() -> FakeDoor:
    return FakeDoor("email", answers_strangers=False)


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor, post: FakeDoor) -> AsyncIterator[House]:
    """Allan and Grace, on Slack and by mail."""
    people = [
        PersonConfig(name="Allan", role="owner", identities=_accounts(slack="allan", email="allan@home")),
        PersonConfig(name="Grace", identities=_accounts(slack="grace", email="grace@work")),
    ]
    async with open_house(database_url, tmp_path, doors=[chat, post], people=people, clock=FakeClock()) as opened:
        yield opened


def _accounts(**accounts: str) -> tuple[IdentityConfig, ...]:
    return tuple(IdentityConfig(platform=platform, id=account) for platform, account in accounts.items())


async def _said(house: House, door: FakeDoor, inbound: Inbound) -> Outgoing:
    count = len(door.took)
    await house.app.front.receive(inbound)
    await until(lambda: len(door.took) > count)
    return door.took[-1]


def _is_personal(house: House) -> bool:
    """Whether the last prompt held a personal tone."""
    return any(words in house.model.prompts[-1].system for words in PERSONAL)


async def test_what_is_set_is_in_the_next_prompt_and_with_its_answer(house: House) -> None:
    shown = await house.asks("/mood")
    buttons = [command for _, command in (shown.details or {})["buttons"]]
    assert "/gandhi +1" in buttons
    assert "/flirty -1" not in buttons  # it is as far left as it goes
    assert "Gandhi–Genghis 5" in (await house.asks("/gandhi +1")).text
    assert "Mood playful" in (await house.asks("be more playful, please")).text
    reply = await house.asks("what now?")
    assert reply.personality == "5/5/1 playful"
    assert "Mood: playful" in house.model.prompts[-1].system
    assert "Gandhi ■■■■■□□□□□ Genghis, 5: outreach mails a day 4" in (await house.asks("/mood")).text


async def test_a_bare_undo_takes_the_last_change_back(house: House) -> None:
    await house.asks("/cocktail 9")
    assert "Taken back: Cocktail–Lightning 9" in (await house.asks("/undo")).text
    assert (await house.asks("hello there, Robbie")).personality == "4/5/1 focused"


async def test_what_holds_for_a_while_ends_by_itself(house: House) -> None:
    assert "until 18:00 on Sunday 22 November 2026" in (await house.asks("full speed until 6pm")).text
    assert (await house.asks("one thing")).personality == "4/10/1 focused"
    house.app.clock.advance(seconds=6 * 3600)  # type: ignore[attr-defined]
    assert (await house.asks("another thing")).personality == "4/5/1 focused"


async def test_a_tone_that_changed_is_told_and_holds_though_the_older_lines_are_left_out(house: House) -> None:
    await house.asks("tell me something")
    await house.asks("/flirty 9")
    await house.asks("and something else")
    assert WORDS["changed"] in house.model.prompts[-1].system
    for number in range(16):
        await house.asks(f"question {number}")
    prompt = house.model.prompts[-1]
    assert "something" not in [line.text for line in prompt.lines]
    assert WORDS["changed"] not in prompt.system
    assert "Tone: openly flirtatious" in prompt.fitted(context=8000, output=200).system
    assert "Be flirtatious and focused" in prompt.fitted(context=700, output=200).system  # a small window has the brief words


async def test_the_personal_tone_is_heard_in_the_owners_private_chat_alone(house: House, chat: FakeDoor, post: FakeDoor) -> None:
    await _said(house, chat, chat.says("/flirty 9", account="allan"))
    await _said(house, chat, chat.says("in private", account="allan"))
    assert _is_personal(house)
    await _said(house, chat, chat.says("where others read", account="allan", conversation="C1", shared=True))
    assert not _is_personal(house)
    await _said(house, chat, chat.says("hello from Grace", account="grace"))
    assert not _is_personal(house)
    await _said(house, post, post.says("by mail", account="allan@home", conversation="allan@home/<1@x>"))
    assert not _is_personal(house)
    assert "re: in private" not in [line.text for line in house.model.prompts[-1].lines]  # nor what was said in it


async def test_nothing_personal_is_set_shown_or_remembered_by_mail(house: House, chat: FakeDoor, post: FakeDoor) -> None:
    await _said(house, chat, chat.says("be flirtier", account="allan"))
    await _said(house, chat, chat.says("who wrote Faust?", account="allan"))

    async def writes(text: str) -> str:
        return (await _said(house, post, post.says(text, account="allan@home", conversation="allan@home/<1@x>"))).text

    assert "always am" in await writes("/flirty 8")
    assert "Flirty" not in await writes("/mood")
    assert "Before: “Dana's answer is two days late." in await writes("/gandhi 8")
    await writes("what now?")
    assert not any("Flirty" in line.text or "Faust" in line.text for line in house.model.prompts[-1].lines)
    async with house.app.database.reading() as work:
        asked = next(each for each in await work.messages.said_by(house.owner.id, limit=9) if each.text == "who wrote Faust?")
        reply = await work.messages.find_reply(asked.id)
    assert reply
    assert await writes(f"/why {reply.id}") == NOTHING
    house.model.fall()
    assert "I said then" not in await writes("who wrote Faust?")


async def test_a_strangers_mail_is_answered_professionally(house: House, chat: FakeDoor, post: FakeDoor) -> None:
    await _said(house, chat, chat.says("/flirty 9", account="allan"))
    await house.app.front.receive(post.says("flirt with me", account="bob@else", conversation="bob@else/<1@x>", is_verified=False))
    await until(lambda: any("I would answer" in text for text in chat.texts))
    assert not _is_personal(house)
    assert house.model.prompts[-1].personality == "4/5/1 focused"


async def test_in_a_channel_the_owner_sets_the_channel_and_nobody_sees_the_rest(house: House, chat: FakeDoor) -> None:
    await _said(house, chat, chat.says("/gandhi 9", account="allan"))

    async def writes(text: str, account: str = "allan") -> str:
        return (await _said(house, chat, chat.says(text, account=account, conversation="C1", shared=True))).text

    assert "between you and me" in await writes("/mood")
    assert "between you and me" in await writes("/gandhi")
    assert (await writes("/cocktail 8")).startswith("**Cocktail–Lightning 8, where others read along.**")
    assert "professional" in await writes("/flirty 8")
    assert "the owner's to set" in await writes("/cocktail 3", account="grace")
    assert "■■■■■■■■■□ Genghis, 9" in (await _said(house, chat, chat.says("/gandhi", account="allan"))).text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/gandhi 11", "`/gandhi 10`"),
        ("/mood angryy", "`/mood serious`"),
        ("/gandhi 3 bananas", "“bananas”"),
        ("/mood gandhi=3 cocktial=8", "Did you mean `cocktail`"),
        ("/cocktail 9 until yesterday", "has passed"),
        ("/cocktail 9 until next friday", "Do you mean"),
    ],
)
async def test_what_cannot_be_set_is_answered_kindly_and_changes_nothing(house: House, text: str, told: str) -> None:
    assert told in (await house.asks(text)).text
    assert (await house.asks("hello there, Robbie")).personality == "4/5/1 focused"
    assert len(house.model.asked) == 1
