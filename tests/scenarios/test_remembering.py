"""What is said is remembered in the very commit that keeps it, as it reads now, and by whose word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.config import IdentityConfig, PersonConfig
from bot.domain.memory import Scope, Trust
from bot.domain.message import InboundKind
from tests.scenarios.house import FakeDoor, House, open_house, until

ALLAN = "allan"


@pytest.fixture
def chat() -> FakeDoor:
    return FakeDoor("slack")


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor) -> AsyncIterator[House]:
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id=ALLAN),))]
    async with open_house(database_url, tmp_path, doors=[chat], people=people) as opened:
        yield opened


async def _remembered(house: House, word: str, *trusts: Trust) -> list[str]:
    """What is found by a word, in private."""
    owner = await house.app.directory.owner()
    scope = Scope(user_id=owner.id, trusts=trusts or (Trust.OWN, Trust.ROBBIE))
    async with house.app.database.reading() as work:
        numbers = await work.memories.find_by_words(scope, [word], limit=10)
        return sorted(f"{each.speaker}: {each.text}" for each in await work.memories.around(scope, numbers, reach=0))


async def test_a_message_is_found_before_anything_thinks_about_it(house: House, chat: FakeDoor):
    house.model.hold()
    await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN))
    assert await _remembered(house, "tulip") == ["Allan: Dana likes tulips"]


async def test_the_answer_is_found_as_soon_as_it_is_recorded(house: House, chat: FakeDoor):
    await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN))
    await until(lambda: chat.texts == ["re: Dana likes tulips"])
    assert await _remembered(house, "tulips") == ["Allan: Dana likes tulips", "Robbie: re: Dana likes tulips"]


async def test_a_message_that_comes_twice_is_remembered_once(house: House, chat: FakeDoor):
    for _ in range(2):
        await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN, external_id="1"))
    await until(lambda: len(chat.texts) == 1)
    assert await _remembered(house, "tulips", Trust.OWN) == ["Allan: Dana likes tulips"]


async def test_an_edit_before_the_answer_is_what_is_remembered(house: House, chat: FakeDoor):
    house.model.hold()
    await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN, external_id="1"))
    await house.app.front.receive(chat.says("Dana likes roses", account=ALLAN, kind=InboundKind.EDIT, target="1"))
    assert (await _remembered(house, "tulips"), await _remembered(house, "roses")) == ([], ["Allan: Dana likes roses"])


async def test_what_is_withdrawn_is_not_remembered(house: House, chat: FakeDoor):
    house.model.hold()
    await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN, external_id="1"))
    await house.app.front.receive(chat.says("", account=ALLAN, kind=InboundKind.DELETE, target="1"))
    assert await _remembered(house, "tulips") == []


async def test_nor_is_the_answer_to_what_is_withdrawn_later(house: House, chat: FakeDoor):
    await house.app.front.receive(chat.says("Dana likes tulips", account=ALLAN, external_id="1"))
    await until(lambda: chat.texts == ["re: Dana likes tulips"])
    await house.app.front.receive(chat.says("", account=ALLAN, kind=InboundKind.DELETE, target="1"))
    assert await _remembered(house, "tulips") == []


async def test_an_order_is_not_remembered(house: House, chat: FakeDoor):
    await house.app.front.receive(chat.says("/note Dana likes tulips", account=ALLAN))
    await until(lambda: len(chat.texts) == 1)
    assert await _remembered(house, "tulips") == []
