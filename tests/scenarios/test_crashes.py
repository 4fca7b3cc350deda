"""What a dead process left behind is taken up again: nothing is lost, and what may be a repeat says so.

Death is played by a second hub on the same database: names of other runs under one's own process id are dead for certain.
`tests/kill` does it with real processes and SIGKILL.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.adapters.web import CONSOLE
from bot.domain.errors import DeliveryUnknown
from bot.domain.message import Outgoing, Sent
from bot.hub.hub import DRAIN_SECONDS
from bot.hub.outbox import RECOVERED_MARK
from tests.conftest import sqlite_url
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, FakePush, open_house, until


async def test_claimed_message_is_answered_by_the_next_process(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url, tmp_path) as first:
        first.model.hold()
        receipt = await first.hears("hello")
        await until(lambda: first.model.asked == ["hello"])
        async with open_house(database_url, tmp_path) as second:
            assert (await second.reply(receipt)).text == "re: hello"
            await until(lambda: second.push.texts == ["re: hello"])
        first.model.gate.set()


async def test_process_that_was_taken_for_dead_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """It comes back with an answer of its own: the one that was recorded stands, and nobody is told twice."""
    async with open_house(database_url, tmp_path) as first:
        first.model.hold()
        receipt = await first.hears("hello")
        await until(lambda: first.model.asked == ["hello"])
        async with open_house(database_url, tmp_path) as second:
            await second.reply(receipt)
        first.model.gate.set()
        await first.asks("next")
        assert await first.said(receipt.conversation_id) == ["re: hello", "re: next"]
        await until(lambda: bool(first.push.took))
        assert first.push.texts == ["re: next"]


async def test_reply_that_was_recorded_is_not_thought_about_again(database_url: str, tmp_path: Path) -> None:
    """The finished answer is kept before it is sent, so that a crash does not pay twice."""
    model, push = FakeModel(), FakePush()
    push.waits_before = "hello"
    async with open_house(database_url, tmp_path, model=model, push=push) as first:
        await first.asks("hello")
    push.waits_before = ""
    async with open_house(database_url, tmp_path, model=model, push=push):
        await until(lambda: bool(push.took))
    assert model.asked == ["hello"]


async def test_send_in_doubt_is_repeated_once_and_marked(database_url: str, tmp_path: Path) -> None:
    push = FakePush()
    push.waits_after = "hello"
    async with open_house(database_url, tmp_path, push=push) as first:
        receipt = await first.hears("hello")
        await until(lambda: len(push.took) == 1)
        push.waits_after = ""
        async with open_house(database_url, tmp_path, push=push):
            await until(lambda: len(push.took) == 2)
            push.gate.set()
        assert push.texts == ["re: hello", f"{RECOVERED_MARK}re: hello"]
        assert [outgoing.recovered for outgoing in push.took] == [False, True]
        _, answer = await first.messages(receipt.conversation_id)
        assert answer.recovered
        assert answer.text == "re: hello"


async def test_send_in_doubt_is_not_repeated_where_the_channel_can_tell(database_url: str, tmp_path: Path) -> None:
    push = FakePush(finds=True)
    push.waits_after = "hello"
    async with open_house(database_url, tmp_path, push=push) as first:
        await first.hears("hello")
        await until(lambda: len(push.took) == 1)
        async with open_house(database_url, tmp_path, push=push) as second:
            await second.hears("next")
            await until(lambda: len(push.took) == 2)
        push.gate.set()
    assert push.texts == ["re: hello", "re: next"]


async def test_send_in_doubt_is_marked_where_a_channel_that_can_tell_cannot_tell_of_it(database_url: str, tmp_path: Path) -> None:
    class Secretive(FakePush):
        async def find(self, outgoing: Outgoing) -> Sent | None:
            raise DeliveryUnknown("seen by one person alone")

    push = Secretive(finds=True)
    push.fails_after.append(DeliveryUnknown("lost"))
    async with open_house(database_url, tmp_path, push=push) as house:
        await house.hears("hello")
        await until(lambda: len(push.took) == 2)
    assert push.texts == ["re: hello", f"{RECOVERED_MARK}re: hello"]


async def test_stream_that_was_cut_by_death_is_replaced_and_marked(database_url: str, tmp_path: Path) -> None:
    """What was shown before is not added to: the outbox row is taken up again, and the recorded text is the whole answer."""
    async with open_house(database_url, tmp_path) as first:
        receipt = await first.hears("hi", channel=CONSOLE)
        await first.reply(receipt)
        first.model.middle.clear()
        with first.app.hub.feed.subscribe(receipt.conversation_id):
            receipt = await first.hears("hello", channel=CONSOLE)
            await until(lambda: first.app.hub.feed.growing(receipt.conversation_id) == {receipt.event_id: "re: "})
            async with open_house(database_url, tmp_path) as second:
                answer = await second.reply(receipt)
                assert (answer.text, answer.recovered) == ("re: hello", True)
                assert await second.counts() == ({"answered": 2}, {"sent": 2})
            first.model.middle.set()
            await until(lambda: not first.app.hub.feed.growing(receipt.conversation_id))


async def test_stream_of_a_second_try_is_no_repeat_where_the_first_showed_nothing(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url, tmp_path) as house:
        receipt = await house.hears("hi", channel=CONSOLE)
        await house.reply(receipt)
        build, broke = house.app.hub._thinkers.brain.context.build, asyncio.Event()

        def breaks(*_: object, **__: object) -> None:
            broke.set()
            raise ZeroDivisionError("FAKE: a bug")

        house.app.hub._thinkers.brain.context.build = breaks  # type: ignore[assignment, method-assign]
        with house.app.hub.feed.subscribe(receipt.conversation_id):
            receipt = await house.hears("hello", channel=CONSOLE)
            await asyncio.wait_for(broke.wait(), PATIENCE_SECONDS)
            house.app.hub._thinkers.brain.context.build = build  # type: ignore[method-assign]
            answer = await house.reply(receipt)
        assert (answer.text, answer.recovered) == ("re: hello", False)
        assert (await house.event(receipt.event_id)).attempts > 1


async def test_stop_gives_back_what_it_cannot_finish(sqlite_file: Path, tmp_path: Path) -> None:
    """SIGTERM with a model that hangs: the hub stops in time, the message is free again, and its handler is not blamed."""
    url = sqlite_url(sqlite_file)
    async with asyncio.timeout(DRAIN_SECONDS + PATIENCE_SECONDS), open_house(url, tmp_path) as first:
        first.model.hold()
        receipt = await first.hears("hello")
        await until(lambda: first.model.asked == ["hello"])
    async with open_house(url, tmp_path) as second:
        assert (await second.reply(receipt)).text == "re: hello"
        assert (await second.event(receipt.event_id)).crashes == 0
