"""What is computed for each intent, and what is never said where others read along."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.brain.health import HealthBoard
from bot.brain.reactive import HELP, IN_PRIVATE, NOTHING_SAID, Reactive, one_line
from bot.domain.address import Person, SessionType
from bot.domain.errors import ProviderUnavailable
from bot.domain.thought import Question
from tests.fakes import FakeClock, asked
from tests.stage import Stage


@pytest.fixture
def health(clock: FakeClock) -> HealthBoard:
    return HealthBoard(database=None, clock=clock)


@pytest.fixture
def reactive(stage: Stage, health: HealthBoard, clock: FakeClock) -> Reactive:
    return Reactive(database=stage.database, health=health, rungs=["a", "b", "c"], clock=clock)


async def said(reactive: Reactive, question: Question) -> str:
    """What it answers, "" for nothing."""
    answer = await reactive.answer(question)
    return answer.text if answer else ""


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\x00", "\x00\x00 \x00", "\u200b\u2060", "\ufeff", "\ud800", " " * 1_000_000])
async def test_a_message_without_a_word_gets_a_friendly_line(reactive: Reactive, allan: Person, text: str):
    assert await said(reactive, asked(text, person=allan)) == NOTHING_SAID


async def test_the_time_is_the_persons_own(reactive: Reactive, allan: Person, grace: Person):
    assert await said(reactive, asked("what time is it?", person=allan)) == "It is 07:00 on Sunday 22 November 2026 (America/New_York)."
    assert await said(reactive, asked("what time is it?", person=grace)) == "It is 13:00 on Sunday 22 November 2026 (Europe/Berlin)."


async def test_the_date_is_the_persons_own(reactive: Reactive, clock: FakeClock, allan: Person):
    clock.moment = datetime(2026, 11, 1, 3, 59, tzinfo=UTC)  # still summer time, and still October, in New York
    assert await said(reactive, asked("what day is it?", person=allan)) == "Today is Saturday 31 October 2026."


async def test_help_names_what_works_without_a_model(reactive: Reactive, allan: Person):
    assert await said(reactive, asked("help", person=allan)) == HELP
    assert "/note" in HELP


async def test_status_tells_who_answered_who_did_not_and_whom_nobody_asked(reactive: Reactive, health: HealthBoard, allan: Person):
    async def status() -> str:
        return (await said(reactive, asked("status", person=allan))).removeprefix("I am here. ")

    def tried(rung: str, error: ProviderUnavailable | None = None) -> None:
        permit = health.breaker(rung).permit()
        assert permit is not None
        permit.failed(error) if error else permit.succeeded()

    assert await status() == "I have not tried my 3 ways to think since I started."
    tried("a")
    assert await status() == "Of my 3 ways to think, 1 has answered lately and 2 have not been tried since I started."
    tried("b", ProviderUnavailable("down"))
    expected = "Of my 3 ways to think, 1 has answered lately, 1 did not answer last time and 1 has not been tried since I started."
    assert await status() == expected
    tried("b")
    tried("c")
    assert await status() == "All 3 of my ways to think have answered lately."
    for rung in ("a", "b", "c"):
        tried(rung, ProviderUnavailable("down"))
    assert "None of my models" in await status()


async def test_status_tells_of_levels_that_are_not_set_up(stage: Stage, health: HealthBoard, clock: FakeClock, allan: Person):
    reactive = Reactive(database=stage.database, health=health, rungs=["a"], clock=clock, skipped=3)
    assert "3 more are not set up yet" in await said(reactive, asked("status", person=allan))


@pytest.mark.parametrize(("queued", "told"), [(1, "1 question still waits for"), (2, "2 questions still wait for")])
async def test_status_tells_what_waits_for_an_answer(reactive: Reactive, stage: Stage, allan: Person, queued: int, told: str):
    for number in range(queued):
        await stage.receives(f"question {number}")
        event = await stage.claims()
        assert event is not None
        async with stage.database.unit_of_work() as work:
            await work.inbox.settle(event, "queued", now=stage.clock.now(), deferred_at=stage.clock.now())
    assert told in await said(reactive, asked("status", person=allan))


async def test_a_persons_own_messages_are_told_to_that_person(reactive: Reactive, stage: Stage, allan: Person, grace: Person):
    await stage.says("remember the milk")
    assert "remember the milk" in await said(reactive, asked("what did I say?", person=allan))
    assert "remember the milk" not in await said(reactive, asked("what did I say?", person=grace))


async def test_what_is_personal_is_not_told_where_others_read_along(reactive: Reactive, stage: Stage, allan: Person):
    await stage.says("a secret")
    question = asked("my last messages", person=allan, session_type=SessionType.SHARED)
    assert await said(reactive, question) == IN_PRIVATE
    assert await said(reactive, replace(question, session_type=SessionType.PRIVATE)) != IN_PRIVATE


async def test_other_questions_are_none_of_its_business(reactive: Reactive, allan: Person):
    assert await said(reactive, asked("What is the capital of France?", person=allan)) == ""


def test_a_line_is_short_and_clean():
    assert one_line("a\n b\x00 \ud800c") == "a b \ufffdc"
    assert len(one_line("word " * 100)) == 200
