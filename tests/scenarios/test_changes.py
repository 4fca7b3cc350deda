"""What was written is changed or taken back, at every state that its answer may be in: nothing stale is said, and nothing is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.config import IdentityConfig, PersonConfig
from bot.domain.errors import ChannelUnavailable
from bot.domain.message import Inbound, InboundKind, OutgoingKind, Sent
from bot.domain.thought import Delta, Finish, Prompt
from storage.models.messaging import OutboxItem
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeDoor, FakeModel, House, open_house, until

ALLAN = "allan"


class Drafts(FakeDoor):
    """FAKE: what it shows vanishes by itself, and has no id."""

    async def show(self, outgoing: object) -> Sent:
        await super().show(outgoing)
        return Sent()


@pytest.fixture
def chat() -> FakeDoor:
    return FakeDoor("slack", show_seconds=0.01)


@pytest.fixture
def drafts() -> FakeDoor:
    return Drafts("telegram", show_seconds=0.01)


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor, drafts: FakeDoor) -> AsyncIterator[House]:
    accounts = (IdentityConfig(platform="slack", id=ALLAN), IdentityConfig(platform="telegram", id=ALLAN))
    people = [PersonConfig(name="Allan", role="owner", identities=accounts)]
    async with open_house(database_url, tmp_path, doors=[chat, drafts], people=people) as opened:
        yield opened


async def _tells(house: House, inbound: Inbound) -> None:
    await house.app.front.receive(inbound)


def _edit(door: FakeDoor, text: str, target: str = "1") -> Inbound:
    return door.says(text, account=ALLAN, kind=InboundKind.EDIT, target=target)


def _delete(door: FakeDoor, target: str = "1") -> Inbound:
    return door.says("", account=ALLAN, kind=InboundKind.DELETE, target=target)


async def _half_said(house: House, door: FakeDoor, text: str = "grow") -> None:
    """A model is in the middle of an answer, and it is seen."""
    house.model.middle.clear()
    await _tells(house, door.says(text, account=ALLAN, external_id="1"))
    await until(lambda: [shown.text for shown in door.showed] == ["re: "])


async def test_a_message_taken_back_while_its_answer_grows_holds_up_nothing(house: House, chat: FakeDoor):
    await _half_said(house, chat)
    await _tells(house, _delete(chat))
    house.model.middle.set()
    await _tells(house, chat.says("next", account=ALLAN))
    await until(lambda: chat.texts == ["re: next"])


async def test_a_message_taken_back_before_its_answer_begins_to_grow_holds_up_nothing(house: House, chat: FakeDoor):
    house.model.hold()
    await _tells(house, chat.says("grow", account=ALLAN, external_id="1"))
    await until(lambda: house.model.asked == ["grow"])
    await _tells(house, _delete(chat))
    house.model.gate.set()
    await _tells(house, chat.says("next", account=ALLAN))
    await until(lambda: chat.texts == ["re: next"])
    assert [shown.text for shown in chat.showed if "grow" in shown.text] == []


async def test_an_edit_into_a_command_holds_up_nothing(house: House, chat: FakeDoor):
    await _tells(house, chat.says("one", account=ALLAN))
    await until(lambda: len(chat.took) == 1)
    rate_up, _ = chat.took[0].buttons
    chat.showed.clear()
    await _half_said(house, chat)
    await _tells(house, _edit(chat, rate_up.command))
    house.model.middle.set()
    await _tells(house, chat.says("next", account=ALLAN))
    await until(lambda: chat.texts == ["re: one", "Thank you; I will remember that.", "re: next"])


async def test_an_edit_while_the_answer_grows_as_a_draft_is_no_repeat(house: House, drafts: FakeDoor):
    await _half_said(house, drafts)
    await _tells(house, _edit(drafts, "better"))
    house.model.middle.set()
    await until(lambda: len(drafts.took) == 1)
    assert drafts.texts == ["re: better"]


async def test_an_edit_while_the_answer_grows_changes_the_message_that_shows_it(house: House, chat: FakeDoor):
    await _half_said(house, chat)
    await _tells(house, _edit(chat, "better"))
    house.model.middle.set()
    await until(lambda: len(chat.took) == 1)
    assert [(sent.text, sent.channel_message_id) for sent in chat.took] == [("re: better", "s1")]


async def test_an_edit_of_what_is_answered_in_part_goes_on_in_the_same_messages(house: House, drafts: FakeDoor):
    drafts.fails_before.append(ChannelUnavailable("FAKE: slow down", retry_after=2.0, sent="p1"))
    await _tells(house, drafts.says("one", account=ALLAN, external_id="1"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "p1" not in await _shown_in(house):
            await asyncio.sleep(0.005)
    await _tells(house, _edit(drafts, "two"))
    await until(lambda: len(drafts.took) == 1)
    assert [(sent.text, sent.channel_message_id) for sent in drafts.took] == [("re: two", "p1")]


async def _shown_in(house: House) -> set[str | None]:
    """The messages on a channel in which something promised is there already."""
    async with house.app.database.reading() as work:
        return set((await work.connection.execute(select(OutboxItem.channel_message_id))).scalars())


async def test_a_question_taken_back_is_not_answered_late(house: House, chat: FakeDoor):
    house.model.fall()
    await _tells(house, chat.says("my secret question", account=ALLAN, external_id="1"))
    await until(lambda: len(chat.took) == 1)
    assert chat.took[0].kind == OutgoingKind.OFFLINE
    await _tells(house, _delete(chat))
    house.model.error = None
    await _tells(house, chat.says("are you back?", account=ALLAN))
    await until(lambda: "re: are you back?" in chat.texts)
    await house.app.hub.resume()
    await asyncio.sleep(0.3)
    assert [text for text in chat.texts if "secret" in text] == []
    assert "queued" not in (await house.counts())[0]


async def test_an_edited_question_is_found_again_by_the_words_that_it_has_now(house: House, chat: FakeDoor):
    house.model.hold()
    await _tells(house, chat.says("who is the king of France?", account=ALLAN, external_id="1"))
    await until(lambda: len(house.model.asked) == 1)
    await _tells(house, _edit(chat, "who is the king of Spain?"))
    house.model.gate.set()
    await until(lambda: "re: who is the king of Spain?" in chat.texts)
    house.model.fall()
    await _tells(house, chat.says("who is the king of France?", account=ALLAN))
    await until(lambda: len(chat.took) == 2)
    assert "Spain" not in chat.texts[-1]
    await _tells(house, chat.says("who is the king of Spain?", account=ALLAN))
    await until(lambda: len(chat.took) == 3)
    assert "re: who is the king of Spain?" in chat.texts[-1]


async def test_an_edit_that_meets_the_end_of_a_turn_is_answered_once(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The turn is recorded between the edit's look at the event and what it does about it."""
    from storage.repositories.inbox import Inbox

    chat = FakeDoor("slack")
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id=ALLAN),))]
    async with open_house(postgres_url, tmp_path, doors=[chat], people=people) as house:
        chat.waits_before = "re: "
        house.model.hold()
        await _tells(house, chat.says("one", account=ALLAN, external_id="1"))
        await until(lambda: house.model.asked == ["one"])
        plain = Inbox.__dict__

        def slowed(name: str) -> Callable[..., object]:
            find = plain[name]

            async def slow(self: Inbox, **which: str) -> object:
                found = await find(self, **which)
                if which.get("external_id") == "1":
                    house.model.gate.set()
                    await asyncio.sleep(0.3)
                return found

            return slow

        monkeypatch.setattr(Inbox, "find", slowed("find"))
        if "find_to_change" in plain:
            monkeypatch.setattr(Inbox, "find_to_change", slowed("find_to_change"))
        await _tells(house, _edit(chat, "two"))
        chat.gate.set()
        await until(lambda: "re: two" in chat.texts)
        await asyncio.sleep(0.1)
        assert chat.texts == ["re: two"]


class Slow(FakeModel):
    """FAKE: it has said all, and does not end."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        async for piece in super().stream(prompt):
            if isinstance(piece, Finish):
                await asyncio.sleep(0.2)
            yield piece


async def test_an_edit_at_another_hub_ends_the_showing_of_the_old_answer(postgres_url: str, tmp_path: Path):
    """One hub is in the middle of an answer when the edit comes in at the other, which answers it."""
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id=ALLAN),))]
    here, there = FakeDoor("slack", show_seconds=0.01), FakeDoor("slack", show_seconds=0.01)
    async with (
        open_house(postgres_url, tmp_path, model=Slow(), doors=[here], people=people) as first,
        open_house(postgres_url, tmp_path, doors=[there], people=people, process="elsewhere:1:abc") as second,
    ):
        await _half_said(first, here)
        await second.app.front.receive(_edit(there, "better"))
        await until(lambda: there.texts == ["re: better"])
        first.model.middle.set()
        await until(lambda: not first.app.hub._thinkers._held)
        await asyncio.sleep(0.1)
        assert [shown.text for shown in here.showed] == ["re: "]
        assert [sent.channel_message_id for sent in there.took] == ["s1"]
        assert here.took == []
