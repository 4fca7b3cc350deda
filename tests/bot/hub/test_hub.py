"""The hub itself: it remembers no more than it must, says how it is, and leaves nothing running that it could not start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.app import build
from bot.domain.errors import StorageUnavailable
from bot.hub.hub import KNOWN_CONVERSATIONS
from tests.conftest import sqlite_url
from tests.scenarios.house import FakeModel, FlakyDatabase, config_of, open_house, rung_of


async def test_memory_of_conversations_is_bounded(sqlite_file: Path, tmp_path: Path) -> None:
    async with open_house(sqlite_url(sqlite_file), tmp_path) as house:
        hub = house.app.hub
        receipt = await house.hears("hello")
        for n in range(KNOWN_CONVERSATIONS):
            address = next(iter(hub._conversations)).__class__(channel="push", conversation=f"x{n}")
            hub._conversations[address] = receipt.conversation_id
        await house.hears("hello", conversation="new")
        assert len(hub._conversations) == 1
        assert not hub._queues_at_doors
        assert (await house.hears("again")).conversation_id == receipt.conversation_id


async def test_waiting_in_vain_ends_and_leaves_nothing(sqlite_file: Path, tmp_path: Path) -> None:
    async with open_house(sqlite_url(sqlite_file), tmp_path) as house:
        house.model.hold()
        receipt = await house.hears("hello")
        with pytest.raises(TimeoutError):
            await house.reply(receipt, seconds=0.05)
        assert not house.app.hub._waiting
        house.model.gate.set()
        assert (await house.reply(receipt)).text == "re: hello"


async def test_hub_that_cannot_reach_its_ledger_does_not_start(sqlite_file: Path, tmp_path: Path) -> None:
    database = FlakyDatabase(sqlite_url(sqlite_file))
    async with build(config_of(database.url, tmp_path), environ={}, rungs=[rung_of(FakeModel())], database=database) as app:
        database.is_away = True
        before = asyncio.all_tasks()
        with pytest.raises(StorageUnavailable):
            await app.hub.__aenter__()
        assert asyncio.all_tasks() == before
