"""How sure Robbie is: a guess from how the answer was made, corrected by outcomes, said where it is low and somebody would want to know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.brain import reactive_turn
from bot.brain.budget import ALLOWANCE_SPENT
from bot.brain.confidence import ENOUGH, MARK, UNSURE, Confidence, _chance, _log_odds, fit, guess, plain
from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.message import OutgoingKind
from bot.domain.thought import Attempt, AttemptOutcome, Completion, Route, TaskType, Tier, Turn
from storage.database import Database
from tests.bot.learning.test_realtime import FACTS
from tests.fakes import asked
from tests.scenarios.house import FlakyDatabase
from tests.stage import Stage

SAID = Completion(text="so", level="b", provider="openai", model="m", why="", attempts=())
COMPLEX = Route(task_type=TaskType.COMPLEX, levels=("b", "a"), expected=0.8)
FAILED = Attempt(level="a", provider="openai", model="m", outcome=AttemptOutcome.FAILED)
QUESTION = "Why did the Roman empire fall so late?"


@pytest.mark.parametrize(
    ("completion", "route", "expected"),
    [
        (SAID, COMPLEX, 0.8),
        (SAID, replace(COMPLEX, levels=("a", "b")), 0.68),  # a weaker level had to
        (replace(SAID, is_cut=True), COMPLEX, 0.48),
        (SAID, Route(task_type=TaskType.QUICK, levels=()), 0.7),
        (replace(SAID, attempts=(FAILED,)), Route(task_type=TaskType.QUICK, levels=()), 0.595),
        (replace(SAID, provider="local"), Route(task_type=TaskType.QUICK, levels=()), 0.56),
        (replace(SAID, provider="local"), replace(COMPLEX, expected=0.3), 0.3),  # its record says all
        (SAID, replace(COMPLEX, expected=0.0), 0.0),
    ],
)
def test_a_guess_is_what_is_expected_less_what_went_wrong(completion: Completion, route: Route, expected: float):
    assert _guess(completion=completion, route=route)[0] == pytest.approx(expected)


def _doubt(*words: str, **about: object) -> str:
    return _guess(*words, **about)[1]


def _guess(
    text: str = QUESTION, *, completion: Completion = SAID, route: Route = COMPLEX, is_doubted: bool = False, **about: object
) -> tuple[float, str]:
    question = replace(asked(text, person=Person(id=new_id(), name="Allan", role="owner", timezone="UTC")), **about)
    return guess(completion, route, question, is_doubted=is_doubted)


@pytest.mark.parametrize(
    ("completion", "words"),
    [
        (replace(SAID, is_cut=True), "broke off"),
        (replace(SAID, provider="local"), "small model"),
        (replace(SAID, level="a"), "rather have asked"),
    ],
)
def test_a_doubt_tells_its_reason(completion: Completion, words: str):
    assert words in _doubt(completion=completion)


def test_small_talk_strangers_late_answers_and_a_doubt_just_told_need_none():
    quick = replace(COMPLEX, task_type=TaskType.QUICK)
    assert _doubt("How old is the oldest tree?", route=quick)
    for text in ("hi there, how is it going with you", "you ok?"):
        assert not _doubt(text, route=quick)
    assert not _doubt(writer="Bob <bob@x>")
    assert not _doubt(is_late=True)
    assert not _doubt(is_doubted=True)


def test_few_outcomes_correct_nothing():
    assert fit([(0.9, 0.0)] * (ENOUGH - 1)) == (1.0, 0.0)


@pytest.mark.parametrize(("guess", "came"), [(0.9, 0.4), (0.5, 0.8), (0.7, 0.7), (0.97, 0.5), (0.97, 0.75), (0.02, 0.9)])
def test_many_outcomes_draw_a_guess_to_what_came_of_it(guess: float, came: float):
    slope, shift = fit([(guess, float(n < came * 200)) for n in range(200)])
    assert _chance(slope * _log_odds(guess) + shift) == pytest.approx(came, abs=0.06)


@given(st.lists(st.tuples(st.floats(0, 1) | st.just(float("nan")), st.floats(0, 1)), min_size=ENOUGH, max_size=80))
def test_a_correction_keeps_the_order_and_stays_within_bounds(pairs: list[tuple[float, float]]):
    slope, shift = fit(pairs)
    corrected = [_chance(slope * _log_odds(p) + shift) for p in (0.0, 0.2, 0.5, 0.9, 1.0)]
    assert corrected == sorted(corrected)
    assert all(0 <= p <= 1 for p in corrected)


def _turn(confidence: float | None, **values: object) -> Turn:
    return replace(reactive_turn("It fell.", why=""), tier=Tier.DIRECT, confidence=confidence, doubt="it broke off.", **values)


async def test_a_low_confidence_is_said_in_one_closing_line(stage: Stage):
    weighs = Confidence(database=stage.database, clock=stage.clock).weighed
    assert (await weighs(_turn(UNSURE - 0.1))).text == "It fell.\n\n*I am not sure of this: it broke off.*"
    assert (await weighs(_turn(UNSURE + 0.1))).text == "It fell."
    assert (await weighs(replace(_turn(0.1), doubt=""))).text == "It fell."


def test_what_is_said_again_is_said_without_what_was_of_its_time():
    assert plain(f"It fell.\n\n*The End*\n\n{MARK}it broke off.*{ALLOWANCE_SPENT}") == "It fell.\n\n*The End*"
    assert plain(f"It fell.{ALLOWANCE_SPENT}") == "It fell."


async def test_what_is_no_answer_has_no_confidence(stage: Stage):
    weighs = Confidence(database=stage.database, clock=stage.clock).weighed
    assert (await weighs(_turn(None))).guess is None
    assert reactive_turn("Nobody can.", why="", kind=OutgoingKind.NOTICE).confidence is None


async def test_outcomes_correct_the_tier_that_they_are_of_within_the_hour(stage: Stage):
    confidence = Confidence(database=stage.database, clock=stage.clock)
    assert (await confidence.weighed(_turn(0.7))).confidence == pytest.approx(0.7)
    said = [await stage.says("so", direction="out", kind="answer") for _ in range(40)]
    async with stage.database.unit_of_work() as work:
        for each in said:
            facts = FACTS | {"confidence": 0.7, "guess": 0.7, "score": 0.2}
            await work.feedback.open(user_id=stage.allan.id, message_id=each.id, at=each.at, **facts)
    assert (await confidence.weighed(_turn(0.7))).confidence == pytest.approx(0.7), "not yet"
    stage.clock.advance(seconds=3600)
    turn = await confidence.weighed(_turn(0.7))
    assert (turn.guess, turn.text.count(MARK)) == (0.7, 1)
    assert turn.confidence == pytest.approx(0.3, abs=0.08)
    assert (await confidence.weighed(replace(_turn(0.7), tier=Tier.REACTIVE))).confidence == pytest.approx(0.7)


async def test_an_answer_is_given_even_while_nothing_can_be_looked_up(stage: Stage):
    database = FlakyDatabase(stage.database.url)
    database.is_away = True
    assert (await Confidence(database=database, clock=stage.clock).weighed(_turn(0.7))).text == "It fell."
    await Database.close(database)
