"""Delivery: what a channel's errors lead to, and that none of them repeats a message for ever or holds up the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.clock import new_id
from bot.domain.errors import ChannelUnavailable, DeliveryRejected, DeliveryUnknown
from bot.hub.outbox import DOUBTS_ALLOWED, LONGEST_RETRY_SECONDS, RECOVERED_MARK, _retry_after
from storage.models.messaging import OutboxItem
from tests.clock import FakeClock
from tests.conftest import sqlite_url
from tests.scenarios.house import House, open_house, until


@pytest.fixture
async def house(sqlite_file: Path, tmp_path: Path, clock: FakeClock) -> AsyncIterator[House]:
    async with open_house(sqlite_url(sqlite_file), tmp_path, clock=clock) as opened:
        yield opened


async def _later(house: House, clock: FakeClock, conversation: object) -> None:
    """Long after, look again."""
    clock.advance(seconds=LONGEST_RETRY_SECONDS)
    await house.app.hub._outbox.deliver(conversation)  # type: ignore[arg-type]


async def test_channel_that_is_away_gets_the_reply_when_it_is_back(house: House, clock: FakeClock) -> None:
    house.push.fails_before.extend([ChannelUnavailable("FAKE"), ChannelUnavailable("FAKE", retry_after=15)])
    receipt = await house.hears("hello")
    await house.reply(receipt)
    await until(lambda: len(house.push.fails_before) == 1)
    await _later(house, clock, receipt.conversation_id)
    assert house.push.texts == []
    await _later(house, clock, receipt.conversation_id)
    assert house.push.texts == ["re: hello"]


async def test_reply_that_is_refused_for_good_is_told_to_the_operator_and_lets_the_next_one_pass(house: House) -> None:
    house.push.fails_before.append(DeliveryRejected("FAKE: too long"))
    await house.asks("hello")
    await house.asks("next")
    await until(lambda: house.push.texts == ["re: next"])
    assert await house.incidents() == ["undelivered"]


async def test_send_in_doubt_is_repeated_marked(house: House, clock: FakeClock) -> None:
    house.push.fails_after.append(DeliveryUnknown("FAKE: cut"))
    receipt = await house.hears("hello")
    await house.reply(receipt)
    await until(lambda: bool(house.push.took))
    await _later(house, clock, receipt.conversation_id)
    assert house.push.texts == ["re: hello", f"{RECOVERED_MARK}re: hello"]


async def test_channel_that_never_answers_is_a_send_in_doubt(house: House, clock: FakeClock) -> None:
    house.app.hub._outbox._send_seconds = 0.05
    house.push.waits_before = "re: hello"
    receipt = await house.hears("hello")
    await house.reply(receipt)
    await until(lambda: house.app.hub._outbox._held != set())
    await until(lambda: house.app.hub._outbox._held == set())
    house.push.waits_before = ""
    await _later(house, clock, receipt.conversation_id)
    assert house.push.texts == [f"{RECOVERED_MARK}re: hello"]


@pytest.mark.parametrize("error", [DeliveryUnknown("FAKE"), KeyError("FAKE: a bug of the adapter")])
async def test_doubt_has_an_end(house: House, clock: FakeClock, error: Exception) -> None:
    house.push.fails_after.extend([error] * 20)
    receipt = await house.hears("hello")
    await house.reply(receipt)
    await until(lambda: bool(house.push.took))
    for _ in range(10):
        await _later(house, clock, receipt.conversation_id)
    assert len(house.push.took) == DOUBTS_ALLOWED
    assert await house.incidents() == ["undelivered"]


def test_weeks_of_failures_do_not_overflow() -> None:
    moment, some = FakeClock().now(), new_id()
    item = OutboxItem(
        organization_id="o",
        id=some,
        conversation_id=some,
        event_id=some,
        message_id=some,
        state="sending",
        created_at=moment,
        attempts=100_000,
    )
    assert _retry_after(item, ChannelUnavailable("FAKE")) == LONGEST_RETRY_SECONDS
