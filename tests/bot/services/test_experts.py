"""The crew: what it does next, what it says, what it may take, and that a death costs it nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.reactive import reactive_turn
from bot.domain.address import Person, SessionType
from bot.domain.clock import new_id
from bot.domain.errors import AllLevelsFailed
from bot.domain.thought import Attempt, AttemptOutcome, Completion, Prompt, Question, Turn
from bot.services.experts import Experts, Limits, Step, answer_of, is_content, next_step, not_found, plan_of
from tests.stage import Stage

pytestmark = pytest.mark.either

LIMITS = Limits(steps=12, seconds=100.0, usd=1.0)
PLAN = Step(role="plan", about="q", text="1. Who are they?\n2. What do they want?\n\n2. What do they want?")


def step(role: str, text: str = "fine", **taken: Any) -> Step:
    return Step(role=role, about=taken.pop("about", "q"), text=text, **taken)


def roles(done: list[Step], limits: Limits = LIMITS) -> list[str]:
    """What the crew does from here on, if every step says *fine*."""
    made = list(done)
    while (coming := next_step(made, limits)) is not None:
        made.append(step(coming.role, about=coming.about))
    return [each.role for each in made[len(done) :]]


def test_each_question_of_the_plan_is_looked_into_before_anything_is_written():
    assert plan_of([PLAN]) == ["Who are they?", "What do they want?"]
    assert roles([PLAN]) == ["research", "research", "draft", "critique", "revise"]


def test_a_draft_that_the_review_likes_goes_out_as_it_is():
    assert next_step([PLAN, *(step("research"), step("research")), step("draft"), step("critique", "OK.")], LIMITS) is None


@pytest.mark.parametrize(("review", "content"), [("OK", True), (" ok. ", True), ("**OK**", True), ("OK, but the sum is wrong", False)])
def test_only_a_bare_ok_is_content(review: str, content: bool):
    assert is_content(review) is content


def test_research_that_takes_long_ends_in_time_for_a_draft():
    assert roles([PLAN, step("research", seconds=71.0)]) == ["draft", "critique", "revise"]


@given(st.integers(2, 14), st.lists(st.floats(0, 60), min_size=14, max_size=14), st.floats(1, 200))
def test_no_limit_is_passed_by_more_than_the_step_that_reached_it(steps: int, seconds: list[float], most: float):
    limits, done = Limits(steps=steps, seconds=most, usd=1.0), [PLAN]
    while (coming := next_step(done, limits)) is not None and len(done) < 14:
        done.append(step(coming.role, about=coming.about, seconds=seconds[len(done)]))
    assert len(done) <= max(steps, 3)
    before = sum(each.seconds for each in done[:-1])
    assert before < most or [each.role for each in done[-1:]] == ["draft"]


def test_what_was_not_found_and_not_looked_for_is_said_by_code():
    found = "They are a mill.\nNOT FOUND: who owns it; the register could tell"
    done = [PLAN, step("research", found, about="Who are they?"), step("draft", "They are a mill.")]
    assert not_found(done) == ["who owns it; the register could tell", "What do they want? (I did not get to it)"]
    told = answer_of(done, LIMITS)
    assert told.startswith("They are a mill.")
    assert "**What I could not find**\n\n- who owns it; the register could tell\n- What do they want?" in told


def test_without_a_draft_the_findings_themselves_are_told():
    told = answer_of([PLAN, step("research", "They mill.\nNOT FOUND: their owner", about="Who are they?")], LIMITS)
    assert "**Who are they?**\n\nThey mill.\n" in told
    assert "NOT FOUND" not in told


def test_the_limit_that_ended_the_work_is_named():
    assert "limit of 12 steps, 100 seconds or $1.00" in answer_of([PLAN, step("draft", usd=1.0)], LIMITS)


class FakeChain:
    """FAKE: answers each role with fixed words; dies, or has no level left, before the given call."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tools: list[bool] = []
        self.dies_at: dict[int, Callable[[], BaseException]] = {}

    async def step(self, prompt: Prompt, *, question: Question, uses_tools: bool, seconds: float) -> Completion:
        if made := self.dies_at.pop(len(self.asked), None):
            raise made()
        system, asked = prompt.system, prompt.lines[-1].text
        self.asked.append(asked)
        self.tools.append(uses_tools)
        text = (
            "1. Who are they?\n2. What do they want?"
            if "You plan" in system
            else f"finding {len(self.asked)}"
            if "researcher" in system
            else "OK"
            if "review the draft" in system
            else "the answer"
        )
        attempt = Attempt(level="first", provider="p", model="m", outcome=AttemptOutcome.ANSWERED, cost_usd=0.01)
        return Completion(text=text, level="first", provider="p", model="m", why="", attempts=(attempt,))

    async def answer(self, question: Question, listener: object = None) -> Turn:
        return reactive_turn("the last rung", why="FAKE")


class Watcher:
    """FAKE: keeps what was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def token(self, text: str) -> None:
        self.seen.append(text)

    async def replace(self, text: str) -> None:
        self.seen.append(text)


def experts(stage: Stage, chain: FakeChain) -> Experts:
    return Experts(brain=chain, database=stage.database, owner="Allan", limits=LIMITS, clock=stage.clock)


def asks(stage: Stage, text: str = "/research what about Acme?", **more: Any) -> Question:
    person = Person(id=stage.allan.id, name="Allan", role="owner", timezone="Europe/Berlin")
    where = {"id": new_id(), "conversation_id": stage.conversation.id, "person": person, "asked_at": stage.clock.now()}
    return Question(text=text, **where, **more)


async def test_the_crew_works_through_its_steps_and_shows_how_far_it_is(stage: Stage):
    chain, watcher = FakeChain(), Watcher()
    turn = await experts(stage, chain).answer(asks(stage), watcher)
    assert turn is not None
    assert turn.text == "the answer"
    assert (turn.cost_usd, chain.tools) == (pytest.approx(0.05), [False, True, True, False, False])
    assert [line.splitlines()[0] for line in watcher.seen] == [
        "*Planning what to look for …*",
        "*Looking into it (1 of 2) …*",
        "*Looking into it (2 of 2) …*",
        "*Writing it up …*",
        "*Having it reviewed …*",
    ]


@pytest.mark.parametrize("at", range(5))
async def test_after_a_death_it_goes_on_with_the_next_step_and_pays_for_none_twice(stage: Stage, at: int):
    chain, question = FakeChain(), asks(stage)
    chain.dies_at = {at: KeyboardInterrupt}
    with pytest.raises(KeyboardInterrupt):
        await experts(stage, chain).answer(question)
    turn = await experts(stage, chain).answer(question)
    assert turn is not None
    assert (turn.text, len(chain.asked)) == ("the answer", 5)
    async with stage.database.reading() as work:
        spent = await work.usage.spent_since(stage.clock.now())
    assert spent == pytest.approx(0.05)


async def test_what_was_found_is_told_where_no_model_is_left_to_word_it(stage: Stage):
    chain = FakeChain()
    chain.dies_at = {3: lambda: AllLevelsFailed([])}
    turn = await experts(stage, chain).answer(asks(stage))
    assert turn is not None
    assert turn.text.startswith("I could not put it into one answer")
    assert "finding 2" in turn.text
    assert "finding 3" in turn.text


async def test_with_no_model_at_all_the_question_is_left_to_the_last_rung(stage: Stage):
    chain = FakeChain()
    chain.dies_at = {0: lambda: AllLevelsFailed([])}
    turn = await experts(stage, chain).answer(asks(stage))
    assert turn is not None
    assert turn.text == "the last rung"


async def test_what_is_private_is_not_read_out_where_others_read_along(stage: Stage):
    chain = FakeChain()
    turn = await experts(stage, chain).answer(asks(stage, session_type=SessionType.SHARED))
    assert turn is not None
    assert "private chat" in turn.text
    assert chain.asked == []


async def test_other_questions_are_not_the_crews(stage: Stage):
    assert await experts(stage, FakeChain()).answer(asks(stage, "hello")) is None
    assert await experts(stage, FakeChain()).answer(asks(stage, "/research x", writer="Mallory")) is None


async def test_a_bare_command_is_told_how_to_ask(stage: Stage):
    turn = await experts(stage, FakeChain()).answer(asks(stage, "/research "))
    assert turn is not None
    assert "`/research what do we know" in turn.text
