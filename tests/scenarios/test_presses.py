"""A press of a slider edits the message it stands under; anything else is said below, and numbers choose where nothing can be pressed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.adapters.web import WebAdapter
from bot.config import IdentityConfig, PersonConfig
from bot.domain.address import Sender
from bot.domain.clock import new_id
from bot.domain.message import Inbound, InboundKind, Outgoing
from bot.palace.transcript import still_standing
from storage.models.affairs import Task
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either

ALLAN = "allan"


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor) -> AsyncIterator[House]:
    """Allan, on Slack."""
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id=ALLAN),))]
    async with open_house(database_url, tmp_path, doors=[chat], people=people) as opened:
        yield opened


async def _said(house: House, chat: FakeDoor, inbound: Inbound) -> Outgoing:
    count = len(chat.took)
    await house.app.front.receive(inbound)
    await until(lambda: len(chat.took) > count)
    return chat.took[-1]


def _press(chat: FakeDoor, command: str, **more: str) -> Inbound:
    return chat.says(command, account=ALLAN, kind=InboundKind.ACTION, target="m1", **more)


async def test_a_slider_is_pressed_again_and_again_in_one_message(house: House, chat: FakeDoor):
    shown = await _said(house, chat, chat.says("/mood", account=ALLAN))
    assert shown.channel_message_id is None
    for step in (5, 6):
        changed = await _said(house, chat, _press(chat, "/gandhi +1"))
        assert changed.channel_message_id == "m1", "an edit of what stood there"
        assert f"Genghis, {step}:" in changed.text
        *before, undo = [button.command for button in changed.buttons]
        assert before == [button.command for button in shown.buttons]
        assert undo.startswith("/undo ")
    for told in ("Taken back: Gandhi–Genghis 6, everywhere", "That was taken back already: Gandhi–Genghis 6, everywhere"):
        assert (await _said(house, chat, _press(chat, undo))).text == told, "what came before it stays"


async def test_a_press_that_is_repeated_is_done_once(house: House, chat: FakeDoor):
    await _said(house, chat, _press(chat, "/gandhi +1", external_id="P1"))
    await house.app.front.receive(_press(chat, "/gandhi +1", external_id="P1"))
    changed = await _said(house, chat, _press(chat, "/mood calm"))
    assert "Genghis, 5:" in changed.text
    assert len(chat.took) == 2


async def test_what_is_written_or_wrong_is_said_below(house: House, chat: FakeDoor):
    written = await _said(house, chat, chat.says("/gandhi +1", account=ALLAN))
    wrong = await _said(house, chat, _press(chat, "/gandhi 11"))
    other = await _said(house, chat, _press(chat, "/status"))
    assert [said.channel_message_id for said in (written, wrong, other)] == [None, None, None]


async def test_numbers_beyond_nine_choose_as_well(house: House):
    shown = await house.asks("/mood")
    place, command = next(
        (place, each[1]) for place, each in enumerate(shown.details["buttons"], start=1) if each[1] == "/mood celebratory"
    )
    assert place > 9
    assert command == "/mood celebratory"
    assert (await house.asks(str(place))).text.startswith("**Mood celebratory")


async def test_the_page_shows_the_last_state_alone(house: House):
    door, owner = WebAdapter(), house.owner
    address = door.address(owner, "main")
    assert address is not None

    async def press(text: str, target: str = "") -> str:
        at = house.app.clock.now()
        inbound = door.to_inbound(owner, address, text=text, external_id=str(new_id()), at=at, target=target)
        receipt = await house.app.hub.receive(inbound, owner)
        return str((await house.reply(receipt)).id)

    first = await press("/mood")
    second = await press("/gandhi +1", first)
    third = await press("/cocktail +1", second)
    async with house.app.database.reading() as work:
        conversation = await work.conversations.find(channel=address.channel, key=address.conversation)
    assert conversation is not None
    shown = still_standing(await house.messages(conversation.id))
    assert [message.text for message in shown if message.direction == "in"] == ["/mood"]
    assert [str(message.id) for message in shown if message.direction == "out"] == [third]


async def test_home_tab_tells_what_is_set_and_to_be_done_and_a_stranger_nothing(house: House):
    sender, owner = Sender(channel="slack", account=ALLAN), house.owner
    async with house.app.database.unit_of_work() as work:
        now = house.app.clock.now()
        task = {"organization_id": "default", "id": new_id(), "user_id": owner.id, "code": "K7", "title": "Call Dana", "created_at": now}
        await work.tasks.add(Task(**task, due_on=now.date() - timedelta(days=1)))
    today, _, manners, waiting = await house.app.front.overview(sender)
    assert "To be done by its end: 1 thing," in today.text
    assert "Gandhi ■■■■□□□□□□ Genghis, 4" in manners.text
    assert [button.command for button in manners.buttons[:2]] == ["/gandhi -1", "/gandhi +1"]
    assert waiting.text == "Nothing waits for your decision."
    held = await house.app.front.manners(sender)
    assert held == {"gandhi": "4", "cocktail": "5", "flirty": "1", "mood": "focused", "zone": "Europe/Berlin"}
    stranger = Sender(channel="slack", account="eve")
    assert not await house.app.front.manners(stranger)
    assert not await house.app.front.overview(stranger)
