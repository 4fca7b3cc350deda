"""With every model out of reach a question is put off honestly, and answered once a level is back: once, in order, marked as late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.domain.thought import Turn
from bot.hub.hub import Receipt
from bot.hub.late import FAILURES_PER_ROUND, LONGEST_BUSY_REST_SECONDS
from bot.hub.thinking import CRASHES_ALLOWED
from storage.models.messaging import InboxEvent
from tests.clock import FakeClock
from tests.conftest import sqlite_url
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, FakePush, House, open_house, rung_of, until


async def test_question_is_answered_when_a_level_returns(house: House) -> None:
    house.model.fall()
    receipt = await house.hears("what is love")
    assert (await house.reply(receipt)).kind == "offline"
    house.model.error = None
    await house.asks("are you awake")
    await until(lambda: len(house.push.took) == 3)
    late = house.push.took[-1]
    assert late.kind == "late"
    assert "what is love" in late.text
    assert late.text.endswith("re: what is love")
    assert (await house.event(receipt.event_id)).state == "answered"


async def test_questions_of_one_conversation_are_answered_late_in_their_order(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    async with open_house(database_url, tmp_path, clock=clock) as house:
        house.model.fall()
        for text in ("one", "two", "three"):
            await house.asks(text)
        house.model.error = None
        clock.advance(seconds=60)
        receipt = await house.hears("awake")
        await until(lambda: len(house.push.took) == 7)
        late = [text.rsplit("\n", 1)[-1] for text in await house.said(receipt.conversation_id) if "owed" in text]
    assert late == ["re: one", "re: two", "re: three"]


async def test_late_answer_survives_a_restart(database_url: str, tmp_path: Path) -> None:
    model, push = FakeModel(), FakePush()
    model.fall()
    async with open_house(database_url, tmp_path, model=model, push=push) as first:
        await first.asks("what is love")
    model.error = None
    async with open_house(database_url, tmp_path, push=push):
        await until(lambda: len(push.took) == 2)
    assert [outgoing.kind for outgoing in push.took] == ["offline", "late"]


async def test_death_during_a_late_answer_puts_nobody_off_again(database_url: str, tmp_path: Path) -> None:
    """The question is still a late one afterwards: no second offline line, and no place before what is newer."""
    model, push = FakeModel(), FakePush()
    model.fall()
    async with open_house(database_url, tmp_path, model=model, push=push) as first:
        receipt = await first.hears("what is love")
        await first.reply(receipt)
        model.error = None
        model.slow_at = "love"
        model.hold()
        await first.asks("awake")
        await until(lambda: model.asked.count("what is love") == 2)
        other = FakeModel()
        other.fall()
        async with open_house(database_url, tmp_path, model=other, push=push) as second:
            await until(lambda: other.asked == ["what is love"])
            other.error = None
            await second.asks("and now")
            await until(lambda: push.took[-1].kind == "late")
        model.gate.set()
    assert [outgoing.kind for outgoing in push.took] == ["offline", "answer", "answer", "late"]


async def test_new_message_does_not_wait_for_a_late_answer(house: House) -> None:
    house.model.fall()
    await house.asks("what is love")
    house.model.error = None
    house.model.slow_at = "love"
    house.model.hold()
    await house.asks("awake")
    await until(lambda: house.model.asked.count("what is love") == 2)
    assert (await house.asks("quick one")).text == "re: quick one"
    house.model.gate.set()
    await until(lambda: house.push.took[-1].kind == "late")


async def test_two_hubs_answer_late_once(postgres_url: str, tmp_path: Path, clock: FakeClock) -> None:
    model, push = FakeModel(), FakePush()
    model.fall()
    async with open_house(postgres_url, tmp_path, model=model, push=push, clock=clock) as first:
        receipts = [await first.hears("what is love", conversation=f"c{n}") for n in range(5)]
        await asyncio.gather(*(first.reply(receipt) for receipt in receipts))
        clock.advance(seconds=60)
        async with open_house(postgres_url, tmp_path, model=model, push=push, clock=clock) as second:
            model.error = None
            await asyncio.gather(first.asks("awake", conversation="a"), second.asks("awake", conversation="b"))
            await until(lambda: len(push.took) == 12)
            await asyncio.sleep(0.1)
    assert sorted(outgoing.kind for outgoing in push.took) == ["answer"] * 2 + ["late"] * 5 + ["offline"] * 5


async def test_while_no_level_is_back_the_tries_grow_rare(sqlite_file: Path, tmp_path: Path, clock: FakeClock) -> None:
    model = FakeModel()
    model.fall()
    async with open_house(f"sqlite+aiosqlite:///{sqlite_file}", tmp_path, model=model, clock=clock) as house:
        receipt = await house.hears("what is love")
        await house.reply(receipt)
        tries = []
        for _ in range(4):
            clock.advance(seconds=LONGEST_BUSY_REST_SECONDS + 1)
            before = len(model.asked)
            await house.app.hub.resume()
            await until(lambda before=before: len(model.asked) > before)  # type: ignore[misc]
            await _until(house, receipt, lambda event: event.owner is None)
            await house.app.hub.resume()
            await asyncio.sleep(0.02)
            tries.append(len(model.asked) - before)
    assert tries == [1, 1, 1, 1]


async def test_question_that_no_level_can_answer_holds_up_nobody_and_is_set_aside(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    model, push = FakeModel(), FakePush()
    model.fall()
    async with open_house(database_url, tmp_path, model=model, push=push, clock=clock) as house:
        poison = await house.hears("impossible")
        await house.reply(poison)
        await house.asks("one")
        model.error, model.fails_at = None, "impossible"
        clock.advance(seconds=60)
        for blames in range(1, CRASHES_ALLOWED + 1):
            assert (await house.asks("are you awake")).text == "re: are you awake"
            await _until(house, poison, lambda event, blames=blames: event.crashes >= blames and event.owner is None)
        await until(lambda: [each.text.rsplit("\n", 1)[-1] for each in push.took if each.kind == "late"] == ["re: one"])
        await house.asks("and now")
        await until(lambda: any(each.kind == "notice" for each in push.took))
        assert ["impossible" in each.text for each in push.took if each.kind == "notice"] == [True]
        assert (await house.event(poison.event_id)).state == "set_aside"
        assert await house.incidents() == ["set_aside"]


async def test_an_outage_is_never_blamed_on_the_question(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    model = FakeModel()
    async with open_house(database_url, tmp_path, model=model, clock=clock) as house:
        await house.asks("are you awake")
        model.fall()
        receipt = await house.hears("what is love")
        await house.reply(receipt)
        while (await house.event(receipt.event_id)).attempts < 3 * CRASHES_ALLOWED:
            clock.advance(seconds=LONGEST_BUSY_REST_SECONDS + 1)
            await house.app.hub.resume()
            await asyncio.sleep(0.01)
        await _until(house, receipt, lambda event: event.owner is None)
        assert (await house.event(receipt.event_id)).crashes == 0
        model.error = None
        clock.advance(seconds=3600)
        await house.asks("are you awake")
        await until(lambda: house.push.took[-1].kind == "late")


async def _until(house: House, receipt: Receipt, is_so: Callable[[InboxEvent], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so(await house.event(receipt.event_id)):
            await asyncio.sleep(0.01)


async def test_several_questions_that_no_level_can_answer_hold_up_nobody(sqlite_file: Path, tmp_path: Path, clock: FakeClock) -> None:
    """Even while nobody asks anything new."""
    model = FakeModel()
    model.fall()
    async with open_house(sqlite_url(sqlite_file), tmp_path, model=model, clock=clock) as house:
        for number in range(FAILURES_PER_ROUND + 1):
            await house.asks(f"impossible {number}", conversation=f"c{number}")
        fine = await house.hears("fine", conversation="last")
        await house.reply(fine)
        model.error, model.fails_at = None, "impossible"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await house.event(fine.event_id)).state != "answered":
                clock.advance(seconds=3700)
                await house.app.hub.resume()
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("missing", ["away", "not to be paid for"])
async def test_a_level_that_may_yet_answer_keeps_a_question_from_being_given_up(
    sqlite_file: Path, tmp_path: Path, clock: FakeClock, missing: str
) -> None:
    cloud, home, push = FakeModel(), FakeModel(), FakePush()
    cloud.provider, cloud.model = "anthropic", "priceless"
    home.fails_at = "long"
    if missing == "away":
        cloud.fall()
    rungs = [rung_of(cloud, "cloud"), rung_of(home, "home")]
    daily_usd = 100.0 if missing == "away" else 0.0
    async with open_house(sqlite_url(sqlite_file), tmp_path, push=push, clock=clock, rungs=rungs, daily_usd=daily_usd) as house:
        receipt = await house.hears("a long one")
        await house.reply(receipt)
        for tries in range(2, CRASHES_ALLOWED + 4):
            clock.advance(seconds=60)
            await house.asks("short")
            await _until(house, receipt, lambda event, tries=tries: event.attempts >= tries and event.owner is None)
        event = await house.event(receipt.event_id)
        assert (event.state, event.crashes) == ("queued", 0)


async def test_a_late_question_that_another_took_over_is_left_to_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.model.fall()
    receipt = await house.hears("what is love")
    await house.reply(receipt)
    thinkers = house.app.hub._thinkers
    think = thinkers._think

    async def lose(*args: Any) -> Turn:
        turn = await think(*args)
        async with house.app.database.unit_of_work() as work:
            await work.connection.execute(update(InboxEvent).values(owner="other:1:x", attempts=InboxEvent.attempts + 1))
        return turn

    monkeypatch.setattr(thinkers, "_think", lose)
    assert await thinkers.step_late(receipt.event_id, others_answered=True)
    event = await house.event(receipt.event_id)
    assert (event.state, event.owner, event.crashes) == ("queued", "other:1:x", 0)
    assert await thinkers.step_late(receipt.event_id, others_answered=True) is None
