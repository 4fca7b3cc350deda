"""Channels, storage and files that fail at awkward moments: what is owed still comes, once, and the owner hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.config import IdentityConfig, PersonConfig
from bot.domain.errors import ChannelRefused, DeliveryUnknown
from bot.domain.message import Outgoing, Sent
from bot.hub.outbox import RECOVERED_MARK
from tests.scenarios.house import FakeDoor, FlakyDatabase, open_house, until

pytestmark = pytest.mark.either

ALLAN = "allan"
PEOPLE = [
    PersonConfig(
        name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id=ALLAN), IdentityConfig(platform="telegram", id=ALLAN))
    )
]


class Cutting(FakeDoor):
    """FAKE: the storage is away as soon as a message shows the growing answer."""

    database: FlakyDatabase

    async def show(self, outgoing: Outgoing) -> Sent:
        self.database.is_away = True
        return await super().show(outgoing)


async def test_a_message_that_shows_an_answer_becomes_it_though_its_id_could_not_be_kept(database_url: str, tmp_path: Path):
    chat, database = Cutting("slack", show_seconds=0.02), FlakyDatabase(database_url)
    chat.database = database
    async with open_house(database_url, tmp_path, doors=[chat], people=PEOPLE, database=database) as house:
        house.model.middle.clear()
        await house.app.front.receive(chat.says("grow", account=ALLAN))
        await until(lambda: database.is_away)
        await asyncio.sleep(0.1)
        database.is_away = False
        house.model.middle.set()
        await until(lambda: len(chat.took) == 1)
        assert (chat.texts, chat.took[0].channel_message_id) == (["re: grow"], "s1")


async def test_a_part_in_doubt_is_sent_again_with_a_mark(database_url: str, tmp_path: Path):
    """The first part is there for sure; whether the second is, nobody can tell."""
    phone = FakeDoor("telegram")
    async with open_house(database_url, tmp_path, doors=[phone], people=PEOPLE) as house:
        phone.fails_before.append(DeliveryUnknown("FAKE: the line fell", sent="p1"))
        await house.app.front.receive(phone.says("long", account=ALLAN))
        await until(lambda: len(phone.took) == 1)
        assert phone.took[0].channel_message_id == "p1"
        assert phone.took[0].text == f"{RECOVERED_MARK}re: long"


async def test_a_channel_whose_listener_is_called_off_from_within_is_listened_at_anew(database_url: str, tmp_path: Path):
    phone = FakeDoor("telegram")
    phone.falls.append(asyncio.CancelledError())
    async with open_house(database_url, tmp_path, doors=[phone], people=PEOPLE) as house, house.app.supervisor:
        await until(lambda: phone.listens == 2)
        assert house.app.supervisor.health["telegram"].state == "up"


async def test_the_owner_is_told_of_a_channel_that_is_shut_though_the_storage_was_away(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bot.hub.supervisor.REFUSED_WAIT_SECONDS", 0.05)
    chat, phone, database = FakeDoor("slack"), FakeDoor("telegram"), FlakyDatabase(database_url)
    async with open_house(database_url, tmp_path, doors=[chat, phone], people=PEOPLE, database=database) as house:
        await house.app.front.receive(chat.says("hello", account=ALLAN))
        await until(lambda: chat.texts == ["re: hello"])
        phone.falls.extend([ChannelRefused("revoked")] * 100)
        database.is_away = True
        async with house.app.supervisor:
            await until(lambda: phone.listens > 1)
            database.is_away = False
            await until(lambda: len(chat.took) == 2)
            assert "shut out of **telegram**" in chat.texts[-1]
            await asyncio.sleep(0.2)
            assert len(chat.took) == 2


async def test_a_file_that_a_crash_left_half_written_is_sent_whole(database_url: str, tmp_path: Path):
    chat = FakeDoor("slack")
    chat.waits_before = "It goes on"
    text = "x " * 8000
    async with open_house(database_url, tmp_path, doors=[chat], people=PEOPLE) as house:
        await house.app.front.receive(chat.says(text, account=ALLAN))
        out = tmp_path / "attachments" / "out"
        await until(lambda: out.exists() and any(out.iterdir()))
        (file,) = out.iterdir()
    file.write_text("re: x")
    chat.waits_before = ""
    async with open_house(database_url, tmp_path, doors=[chat], people=PEOPLE):
        await until(lambda: len(chat.took) == 1)
        assert chat.took[0].attachments[0].path.read_text().strip() == f"re: {text}".strip()
