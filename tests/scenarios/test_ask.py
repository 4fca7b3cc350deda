"""Hubs that live for one question, as `robbie ask` makes them: they answer what they were asked, beside each other and after a death."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from bot.adapters.web import CONSOLE
from bot.hub.owner import LEASE_SECONDS
from tests.clock import FakeClock
from tests.scenarios.house import FakeModel, open_house, until

DEAD_PROCESS = 2**22 + 1
"""Above the highest id that Linux gives."""


async def test_several_at_once_are_all_answered_and_each_question_is_thought_about_once(database_url: str, tmp_path: Path) -> None:
    model = FakeModel()
    async with (
        open_house(database_url, tmp_path, model=model, tends=False) as one,
        open_house(database_url, tmp_path, model=model, tends=False) as two,
    ):
        receipts = [await house.hears(text, channel=CONSOLE) for house, text in ((one, "a"), (two, "b"), (one, "c"), (two, "d"))]
        waits = (house.reply(receipt) for house, receipt in zip((one, two, one, two), receipts, strict=True))
        assert [reply.text for reply in await asyncio.gather(*waits)] == ["re: a", "re: b", "re: c", "re: d"]
    assert sorted(model.asked) == ["a", "b", "c", "d"]


async def test_who_has_its_answer_begins_nobody_elses(database_url: str, tmp_path: Path) -> None:
    model = FakeModel()
    async with (
        open_house(database_url, tmp_path, tends=False) as silent,
        open_house(database_url, tmp_path, model=model, tends=False) as one,
    ):
        model.middle.clear()
        mine = await one.hears("mine", channel=CONSOLE)
        await until(lambda: model.asked == ["mine"])
        silent.app.hub._pool.wake = lambda conversation_id: None
        await silent.hears("not mine", channel=CONSOLE)
        model.middle.set()
        assert (await one.reply(mine)).text == "re: mine"
        await asyncio.sleep(0.1)
    assert model.asked == ["mine"]


async def test_who_was_killed_before_holds_nobody_up(database_url: str, tmp_path: Path) -> None:
    dead = f"{socket.gethostname()}:{DEAD_PROCESS}:abc"
    async with open_house(database_url, tmp_path, process=dead, tends=False) as killed:
        killed.model.hold()
        left = await killed.hears("left", channel=CONSOLE)
        await until(lambda: killed.model.asked == ["left"])
        async with open_house(database_url, tmp_path, tends=False) as next_one:
            receipt = await next_one.hears("hello", channel=CONSOLE)
            assert (await next_one.reply(receipt)).text == "re: hello"
            assert await next_one.said(left.conversation_id) == ["re: left", "re: hello"]
        killed.model.gate.set()  # leaving would wait for it


async def test_who_dies_meanwhile_holds_nobody_up_for_longer_than_its_lease(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    async with (
        open_house(database_url, tmp_path, clock=clock, process="elsewhere:1:abc", tends=False) as lost,
        open_house(database_url, tmp_path, clock=clock, tends=False) as other,
    ):
        lost.model.hold()
        await lost.hears("left", channel=CONSOLE)
        await until(lambda: lost.model.asked == ["left"])
        waiting = asyncio.create_task(other.reply(await other.hears("hello", channel=CONSOLE)))
        await asyncio.sleep(0.1)
        clock.advance(seconds=LEASE_SECONDS + 1)
        assert (await waiting).text == "re: hello"
        lost.model.gate.set()  # leaving would wait for it
