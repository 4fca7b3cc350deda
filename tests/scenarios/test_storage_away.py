"""The storage goes away for a while: nobody is told a lie, a finished answer is kept, and all goes on when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.adapters.web import CONSOLE
from bot.domain.errors import StorageUnavailable
from storage.models.messaging import OutboxState
from tests.scenarios.house import FlakyDatabase, House, open_house, until


@pytest.fixture
async def flaky(database_url: str) -> FlakyDatabase:
    return FlakyDatabase(database_url)


@pytest.fixture
async def house(database_url: str, tmp_path: Path, flaky: FlakyDatabase) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path, database=flaky) as opened:
        yield opened


async def test_message_that_cannot_be_stored_is_not_acknowledged(house: House, flaky: FlakyDatabase) -> None:
    flaky.is_away = True
    with pytest.raises(StorageUnavailable):
        await house.hears("hello", external_id="E1")
    flaky.is_away = False
    receipt = await house.hears("hello", external_id="E1")
    assert receipt.is_new
    assert (await house.reply(receipt)).text == "re: hello"


async def test_finished_answer_is_kept_until_it_can_be_recorded(house: House, flaky: FlakyDatabase) -> None:
    house.model.middle.clear()
    receipt = await house.hears("hello")
    await until(lambda: house.model.asked == ["hello"])
    flaky.is_away = True
    house.model.middle.set()
    waiting = asyncio.create_task(house.reply(receipt))
    await asyncio.sleep(0.2)
    flaky.is_away = False
    assert (await waiting).text == "re: hello"
    assert house.model.asked == ["hello"]
    assert (await house.event(receipt.event_id)).attempts == 1


async def test_message_is_claimed_when_the_storage_is_back(house: House, flaky: FlakyDatabase) -> None:
    receipt = await house.hears("hello")
    flaky.is_away = True
    await asyncio.sleep(0.05)
    assert house.model.asked == []
    flaky.is_away = False
    assert (await house.reply(receipt)).text == "re: hello"


async def test_stream_that_cannot_be_promised_is_not_shown(house: House, flaky: FlakyDatabase) -> None:
    """The answer comes in one piece, and its model is not asked again."""
    receipt = await house.hears("warm up", channel=CONSOLE)
    await house.reply(receipt)
    house.model.hold()
    with house.app.hub.feed.subscribe(receipt.conversation_id):
        second = await house.hears("hello", channel=CONSOLE)
        await until(lambda: "hello" in house.model.asked)
        flaky.is_away = True
        house.model.gate.set()
        await asyncio.sleep(0.05)
        assert not house.app.hub.feed.growing(receipt.conversation_id)
        flaky.is_away = False
        assert (await house.reply(second)).text == "re: hello"
    assert house.model.asked == ["warm up", "hello"]


class LosesNews(FlakyDatabase):
    """FAKE only in this: told to, it commits the promise of a stream and says that it could not."""

    loses = False

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[object]:
        async with super().unit_of_work(is_long=is_long) as work:
            yield work
            items = await work.outbox.counts() if self.loses else {}
        if OutboxState.STREAMING in items:
            self.loses = False
            raise StorageUnavailable("FAKE: the line fell during COMMIT")


async def test_stream_whose_promise_arrived_unheard_holds_up_no_reply(database_url: str, tmp_path: Path) -> None:
    database = LosesNews(database_url)
    async with open_house(database_url, tmp_path, database=database) as house:
        first = await house.hears("zero")
        await house.reply(first)
        database.loses = True
        with house.app.hub.feed.subscribe(first.conversation_id):
            await house.asks("one")
        assert not database.loses
        await house.asks("two")
        await until(lambda: house.push.texts == ["re: zero", "re: one", "re: two"])
        assert "streaming" not in (await house.counts())[1]


async def test_send_is_not_repeated_because_its_news_could_not_be_written(house: House, flaky: FlakyDatabase) -> None:
    house.push.waits_after = "hello"
    await house.hears("hello")
    await until(lambda: len(house.push.took) == 1)
    flaky.is_away = True
    house.push.gate.set()
    await asyncio.sleep(0.1)
    flaky.is_away = False
    await house.asks("next")
    await until(lambda: len(house.push.took) == 2)
    assert house.push.texts == ["re: hello", "re: next"]
