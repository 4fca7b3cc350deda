"""What is said of an answer scores it at once; nothing is learned twice, of what is no answer nothing at all."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.clock import new_id
from bot.learning.realtime import Learning, score_of
from storage.database import UnitOfWork
from storage.models.decisions import Feedback
from storage.models.messaging import Message
from tests.stage import Stage

FACTS = {"tier": "direct", "level": "a", "task_type": "code", "confidence": 0.7, "cost_usd": 0.01, "latency_ms": 5.0}


async def answered(stage: Stage, text: str = "what is it?", **values: object) -> Message:
    """An answer of a model to Allan, with the row that was opened for it."""
    asked = await stage.says(text)
    said = await stage.says("it is so", **{"direction": "out", "kind": "answer", "reply_to": asked.id, "details": dict(FACTS)} | values)
    async with stage.database.unit_of_work() as work:
        await work.feedback.open(user_id=said.user_id, message_id=said.id, at=said.at, **FACTS)
    return said


async def rated(stage: Stage, said: Message, *values: float, by: object = None) -> Feedback:
    """The row after these words, each a minute later than the one before."""
    user_id = by or stage.allan.id
    for value in values:
        stage.clock.advance(seconds=60)
        async with stage.database.unit_of_work() as work:
            await Learning().rate(work, user_id, said, value=value, source="reaction", detail="x", now=stage.clock.now())
    async with stage.database.reading() as work:
        row = await work.feedback.find(user_id, said.id)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("value", "signals", "score"),
    [
        (1.0, {}, 1.0),
        (-1.0, {"thanked": 0.8}, 0.0),  # a word outweighs deeds
        (None, {}, None),
        (0.0, {}, None),  # taken back
        (0.0, {"rephrased": -0.6}, 0.2),
        (None, {"unopposed": 0.5, "followed": 0.8}, 1.0),
    ],
)
def test_a_score_is_what_was_said_or_else_what_was_done(value: float | None, signals: dict[str, float], score: float | None):
    assert score_of(value, signals) == (score if score is None else pytest.approx(score))


@given(st.none() | st.floats(-1, 1), st.dictionaries(st.text(max_size=3), st.floats(-1, 1), max_size=6))
def test_a_score_is_a_share(value: float | None, signals: dict[str, float]):
    score = score_of(value, signals)
    assert score is None or 0 <= score <= 1


async def test_of_contradictory_words_the_last_counts(stage: Stage):
    row = await rated(stage, await answered(stage), 1.0, -1.0, 1.0)
    assert (row.score, row.scored_at) == (1.0, stage.clock.now())


async def test_the_same_word_again_changes_nothing(stage: Stage):
    said = await answered(stage)
    first = await rated(stage, said, 1.0)
    assert await rated(stage, said, *[1.0] * 20) == first, "not even when it was learned"


async def test_who_leans_on_scores_is_told_in_the_same_act_and_only_of_changes(stage: Stage):
    told: list[float | None] = []

    async def learner(work: UnitOfWork, row: Feedback, now: datetime) -> None:
        known = await work.feedback.find(row.user_id, row.message_id)
        assert known == row, "it is written already"
        told.append(row.score)

    said = await answered(stage)
    for value in (1.0, 1.0, -1.0, 0.0, 0.0):
        async with stage.database.unit_of_work() as work:
            about = {"source": "reaction", "detail": "x", "now": stage.clock.now()}
            await Learning(learners=(learner,)).rate(work, stage.allan.id, said, value=value, **about)
    assert told == [1.0, 0.0, None]


async def test_what_is_taken_back_is_unlearned(stage: Stage):
    row = await rated(stage, await answered(stage), -1.0, 0.0)
    assert (row.value, row.score, row.scored_at) == (0.0, None, None)


async def test_somebody_elses_word_counts_as_well(stage: Stage):
    said = await answered(stage)
    theirs = await rated(stage, said, -1.0, by=stage.grace.id)
    assert (theirs.score, theirs.tier, theirs.level, theirs.task_type, theirs.confidence) == (0.0, "direct", "a", "code", 0.7)
    assert (await rated(stage, said)).score is None, "Allan has said nothing"


async def test_when_it_was_answered_stays_whenever_it_is_rated(stage: Stage):
    said = await answered(stage)
    assert (await rated(stage, said, 1.0)).at == said.at


@pytest.mark.parametrize("kind", ["notice", "deleted", "offline"])
async def test_a_word_on_what_is_no_answer_is_kept_and_not_learned_from(stage: Stage, kind: str):
    row = await rated(stage, await answered(stage, kind=kind), 1.0)
    assert (row.value, row.score) == (1.0, None)


async def test_what_answers_nothing_is_not_learned_from(stage: Stage):
    assert (await rated(stage, await answered(stage, reply_to=new_id()), 1.0)).score is None


async def test_a_question_that_is_withdrawn_takes_back_what_its_answer_taught(stage: Stage):
    said = await answered(stage)
    assert (await rated(stage, said, 1.0)).score == 1.0
    async with stage.database.unit_of_work() as work:
        await work.messages.withdraw(said.reply_to)
        await Learning().unlearn(work, said.reply_to, stage.clock.now())
    assert (await rated(stage, said)).score is None
    assert (await rated(stage, said, -1.0)).score is None, "nor is anything learned of it later"


async def test_a_deed_is_noted_once_by_its_name(stage: Stage):
    said = await answered(stage)
    before = await rated(stage, said)
    for weight in (0.8, -0.8):
        async with stage.database.unit_of_work() as work:
            await Learning().note(work, before, {"thanked": weight}, stage.clock.now())
    row = await rated(stage, said)
    assert (row.signals, row.score) == ({"thanked": 0.8}, pytest.approx(0.9))
