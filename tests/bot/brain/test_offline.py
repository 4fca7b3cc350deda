"""The last rung: honest about why, careful with old truths, and silent about whose models they are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.brain import reactive
from bot.brain.providers import offline
from bot.brain.providers.offline import OUT_OF_REACH, REACH_IN_WORDS, SPENT, SPENT_IN_WORDS, OfflineRung, digest, stands_alone
from bot.domain.address import Person, SessionType
from bot.hub import thinking
from storage.models.messaging import Message
from tests.fakes import asked
from tests.stage import Stage

QUESTION = "What is the capital of France?"


@pytest.fixture
def rung(stage: Stage) -> OfflineRung:
    return OfflineRung(database=stage.database)


async def answered(stage: Stage, text: str = QUESTION, answer: str = "Paris.", kind: str = "answer", **values: str) -> Message:
    question = await stage.says(text, digest=digest(text), at=datetime(2026, 11, 3, 2, tzinfo=UTC), **values)
    return await stage.says(answer, direction="out", kind=kind, reply_to=question.id, at=datetime(2026, 11, 3, 2, tzinfo=UTC), **values)


async def test_it_says_honestly_that_no_model_can_be_reached(rung: OfflineRung, allan: Person):
    question = asked("What is love?", person=allan)
    said = await rung.answer(question)
    assert said.text in OUT_OF_REACH
    assert said == await rung.answer(question)  # the same question is told the same, also after a crash


async def test_a_spent_allowance_is_not_called_an_outage(rung: OfflineRung, allan: Person):
    for text in ("What is love?", "Who wrote Faust then?", "x"):
        said = (await rung.answer(asked(text, person=allan), is_spent=True)).text
        assert said in SPENT
        assert "allowance" in said


async def test_an_earlier_answer_to_the_same_words_is_shown_with_its_day(rung: OfflineRung, stage: Stage, allan: Person):
    await answered(stage)
    said = (await rung.answer(asked("  what is the CAPITAL of France ", person=allan))).text
    assert said == (
        f"{REACH_IN_WORDS} You asked me the same on Monday 2 November 2026, and I said then:\n\nParis.\n\nI will answer afresh when I can."
    )
    assert SPENT_IN_WORDS in (await rung.answer(asked(QUESTION, person=allan), is_spent=True)).text


async def test_a_late_answer_is_an_answer_too_and_the_latest_one_is_shown(rung: OfflineRung, stage: Stage, allan: Person):
    await answered(stage, answer="Lyon.")
    await answered(stage, answer="Paris.", kind="late")
    said = (await rung.answer(asked(QUESTION, person=allan))).text
    assert "Paris." in said
    assert "Lyon." not in said


@pytest.mark.parametrize(
    "text", ["What is the capital of Spain?", "Is the capital of France Paris?", "What isn't the capital of France?", "capital of France"]
)
async def test_similar_words_are_not_the_same_question(rung: OfflineRung, stage: Stage, allan: Person, text: str):
    await answered(stage)
    assert (await rung.answer(asked(text, person=allan))).text in OUT_OF_REACH


async def test_another_persons_answer_is_never_shown(rung: OfflineRung, stage: Stage, grace: Person):
    await answered(stage)
    assert (await rung.answer(asked(QUESTION, person=grace))).text in OUT_OF_REACH


async def test_nothing_old_is_shown_where_others_read_along(rung: OfflineRung, stage: Stage, allan: Person):
    await answered(stage)
    assert (await rung.answer(asked(QUESTION, person=allan, session_type=SessionType.SHARED))).text in OUT_OF_REACH


async def test_what_was_said_where_others_read_along_is_not_shown_in_private(rung: OfflineRung, stage: Stage, allan: Person):
    await answered(stage, session_type="shared")
    assert (await rung.answer(asked(QUESTION, person=allan))).text in OUT_OF_REACH


@pytest.mark.parametrize("kind", ["offline", "notice"])
async def test_a_makeshift_reply_is_never_shown_again(rung: OfflineRung, stage: Stage, allan: Person, kind: str):
    await answered(stage, answer="I am out of reach.", kind=kind)
    assert (await rung.answer(asked(QUESTION, person=allan))).text in OUT_OF_REACH


async def test_a_question_is_no_earlier_answer_to_itself(rung: OfflineRung, stage: Stage, allan: Person):
    reply = await answered(stage)
    assert reply.reply_to is not None
    question = replace(asked(QUESTION, person=allan), id=reply.reply_to)
    assert (await rung.answer(question)).text in OUT_OF_REACH


@pytest.mark.parametrize(
    "text",
    [
        "What is the weather in Paris?",
        "Who is the current president?",
        "How old is the king?",
        "When is my flight?",
        "Is the shop open?",
        "what are the latest headlines",
        "What should I cook tonight?",
        "How many minutes are left?",
        "why?",
        "go on",
        "yes please",
        "And what about her?",
        "Tell me more about it",
        "What did they say?",
        "give me another one",
    ],
)
async def test_a_question_that_leans_on_the_day_or_the_talk_gets_no_old_answer(rung: OfflineRung, stage: Stage, allan: Person, text: str):
    await answered(stage, text)
    assert not stands_alone(text)
    assert (await rung.answer(asked(text, person=allan))).text in OUT_OF_REACH


@pytest.mark.parametrize("text", [QUESTION, "Who wrote Faust?", "Write a haiku about rain", "How do I boil an egg?"])
def test_other_questions_stand_alone(text: str):
    assert stands_alone(text)


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "x" * 1_000_000, "ﬁ" * 1000])
def test_every_text_has_a_fingerprint(text: str):
    assert len(digest(text)) == 32


def test_fingerprints_forgive_case_spacing_and_final_punctuation_only():
    assert digest("What  is\nlove?") == digest(" what is LOVE ") == digest("what is love...")
    assert digest("what is love") != digest("what's love")
    assert digest("can't") != digest("can")


def test_no_line_that_a_person_may_see_names_a_vendor_or_tells_of_an_error():
    forbidden = re.compile(
        r"openai|anthropic|claude|gpt|ollama|llama|smollm|error|exception|traceback|timeout|http|\b(429|500|503)\b|rate.?limit|api|"
        r"provider|breaker|fallback|null|none\b(?! of my)",
        re.I,
    )
    seen = [
        text
        for module in (offline, reactive, thinking)
        for name, value in vars(module).items()
        if name.isupper() and name != "REPAIRS"
        for text in (value if isinstance(value, tuple) else [value])
        if isinstance(text, str) and not name.startswith("_")
    ]
    assert len(seen) > 8
    assert [text for text in seen if forbidden.search(text)] == []
