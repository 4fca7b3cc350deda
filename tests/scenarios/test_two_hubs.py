"""Two hubs on one PostgreSQL share the work: each message is answered once, and what one leaves the other takes over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.hub.owner import LEASE_SECONDS
from tests.clock import FakeClock
from tests.scenarios.house import FakeModel, FakePush, open_house, until

ELSEWHERE = "elsewhere:1:abc"  # by its own name it would be taken for the former self of the hub beside it


async def test_each_message_is_answered_once(postgres_url: str, tmp_path: Path) -> None:
    model, push = FakeModel(), FakePush()
    async with (
        open_house(postgres_url, tmp_path, model=model, push=push) as first,
        open_house(postgres_url, tmp_path, model=model, push=push, process=ELSEWHERE) as second,
    ):
        hubs = [first, second]
        asked = [hubs[n % 2].hears(f"m{n}", conversation=f"c{n % 5}") for n in range(40)]
        receipts = await asyncio.gather(*asked)
        await asyncio.gather(*(hubs[n % 2].reply(receipt) for n, receipt in enumerate(receipts)))
        await until(lambda: len(push.took) == 40)
        await asyncio.sleep(0.1)
    assert sorted(model.asked) == sorted(f"m{n}" for n in range(40))
    assert sorted(push.texts) == sorted(f"re: m{n}" for n in range(40))


async def test_same_event_at_both_doors_is_one(postgres_url: str, tmp_path: Path) -> None:
    model = FakeModel()
    async with (
        open_house(postgres_url, tmp_path, model=model) as first,
        open_house(postgres_url, tmp_path, model=model, process=ELSEWHERE) as second,
    ):
        one, other = await asyncio.gather(first.hears("hi", external_id="E1"), second.hears("hi", external_id="E1"))
        assert one.event_id == other.event_id
        assert one.is_new != other.is_new
        assert (await first.reply(one)).id == (await second.reply(other)).id
    assert model.asked == ["hi"]


async def test_reply_can_be_waited_for_in_another_process_than_the_one_that_answers(postgres_url: str, tmp_path: Path) -> None:
    async with open_house(postgres_url, tmp_path) as first, open_house(postgres_url, tmp_path, process=ELSEWHERE) as second:
        receipt = await first.hears("hello")
        assert (await second.reply(receipt)).text == "re: hello"


async def test_work_of_a_lost_hub_passes_on_when_its_lease_has_run_out(postgres_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """A hub on another host: nobody can tell that it is dead, but it no longer renews."""
    async with open_house(postgres_url, tmp_path, clock=clock) as second:
        async with open_house(postgres_url, tmp_path, clock=clock, process=ELSEWHERE) as lost:
            lost.model.hold()
            receipt = await lost.hears("hello")
            await until(lambda: lost.model.asked == ["hello"])
            clock.advance(seconds=LEASE_SECONDS - 1)
            await second.app.hub.resume()
            await asyncio.sleep(0.05)
            assert second.model.asked == []
            clock.advance(seconds=2)
            await second.app.hub.resume()
            assert (await second.reply(receipt)).text == "re: hello"
            lost.model.gate.set()
        assert await second.said(receipt.conversation_id) == ["re: hello"]


async def test_lease_of_a_long_turn_is_renewed(postgres_url: str, tmp_path: Path, clock: FakeClock) -> None:
    async with (
        open_house(postgres_url, tmp_path, clock=clock) as second,
        open_house(postgres_url, tmp_path, clock=clock, process=ELSEWHERE) as first,
    ):
        first.model.hold()
        receipt = await first.hears("hello")
        await until(lambda: first.model.asked == ["hello"])
        for _ in range(4):
            clock.advance(seconds=LEASE_SECONDS - 5)
            await first.app.hub._thinkers.renew()
            await second.app.hub.resume()
        await asyncio.sleep(0.05)
        assert second.model.asked == []
        first.model.gate.set()
        await first.reply(receipt)
