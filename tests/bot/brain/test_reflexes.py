"""What tier 1 recognises: whole sentences, what is like them, and what it leaves to the models; the rows decide, and may change."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.linear import Linear, grams
from bot.brain.reflexes import INTENTS, SEEDS, WEIGHTS, Reflexes, phrase_of
from bot.domain.address import Person
from tests.fakes import FakeClock
from tests.stage import Stage

HANGING_SECONDS = 60


@pytest.fixture
async def reflexes(stage: Stage, clock: FakeClock) -> Reflexes:
    made = Reflexes(database=stage.database)
    await made.prepare(clock.now())
    return made


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("what time is it?", "time"),
        ("Hey Robbie, what's the time", "time"),
        ("What is the time now ?!", "time"),
        ("What day is it today?", "date"),
        ("HELP", "help"),
        ("What can you do?", "help"),
        ("are you there?", "status"),
        ("could you show me my notes please", "notes"),
        ("what did I just\nask", "recent"),
        ("Anything to approve?", "/approve"),
        ("what’s overdue", "/tasks overdue"),
        # these are like what is known, and nowhere word for word
        ("what tasks are on my list", "/tasks"),
        ("any tasks today", "/tasks today"),
        ("show me the open deals", "/deals"),
        ("my open todos", "/tasks"),
        ("are you online right now", "status"),
        ("how are deals", "/deals"),
    ],
)
def test_what_is_surely_meant_is_recognised(reflexes: Reflexes, allan: Person, text: str, intent: str):
    found = reflexes.recognise(text, allan.id)
    assert found is not None
    assert (found.intent, found.pattern in SEEDS) == (intent, True)
    assert 0.95 <= found.confidence < 1


@pytest.mark.parametrize(
    "text",
    [
        *("what time is it in Tokyo?", "what time is it in Lagos?", "what is the time complexity of quicksort?", "time flies"),
        *("what day is it best to plant tulips?", "the date of the battle of Hastings", "help me write a letter", "the time is wrong"),
        *("what can you do about the leak?", "how are you doing?", "are you there yet, asked the child", "the status of the Smith deal"),
        *("notes on Hegel", "take notes for me", "what did I say to Dana?", "hello", "(an empty message)", "😀", "?", "", "robbie", "ok"),
        *("what time is it? " * 2, "help" + "!" * 500, "show my notes on Kant", "i have no tasks", "¿qué hora es?", "wie spät ist es"),
        *(
            "> what time is it",
            '"my notes" he said',
            "my notes 2",
            "delete my tasks",
            "approve everything",
            "undo",
            "what is due in biology",
            "close my deals",
            "tasks not due today",
        ),
    ],
)
def test_near_misses_go_to_a_model(reflexes: Reflexes, allan: Person, text: str):
    assert reflexes.recognise(text, allan.id) is None


def test_a_megabyte_does_not_hang(reflexes: Reflexes, allan: Person):
    """Not a timing: what backtracks here would take hours."""
    began = time.process_time()
    for text in ("what time is it " * 60_000, "?" * 1_000_000, " " * 999_999 + "x", "please " * 28, "robbie, " * 25 + "x"):
        assert reflexes.recognise(text, allan.id) is None
    assert time.process_time() - began < HANGING_SECONDS


@given(st.text(alphabet=st.characters(categories=("L", "N")), max_size=60))
def test_politeness_makes_no_difference(text: str):
    assert phrase_of(f"Hey Robbie, could you please {text}, please?!") == phrase_of(text)


@given(st.text())
def test_any_text_is_a_phrase_or_none(text: str):
    assert len(phrase_of(text)) <= 110


def test_the_shipped_classifier_is_that_of_the_shipped_phrases():
    """Otherwise: `python -m training.fit_patterns`."""
    shipped = Linear.load(WEIGHTS.read_bytes())
    assert set(shipped.labels) == set(INTENTS)
    assert all(shipped.knows(gram) for phrase in SEEDS for gram in grams(phrase))
    assert len(shipped.keys) == len({gram for phrase in SEEDS for gram in grams(phrase)})


async def test_seeds_are_put_in_once_and_what_was_changed_stays(reflexes: Reflexes, stage: Stage, clock: FakeClock, allan: Person):
    async with stage.database.unit_of_work() as work:
        row = await work.patterns.find("my notes")
        assert row is not None
        await work.patterns.change(row.id, state="off", weight=0.1, changed_at=clock.now())
    await reflexes.prepare(clock.now())
    async with stage.database.reading() as work:
        rows = await work.patterns.all()
    assert len(rows) == len(SEEDS)
    assert {(row.state, row.weight) for row in rows if row.key == "my notes"} == {("off", 0.1)}


async def test_a_veto_holds_at_once_and_for_that_person_alone(reflexes: Reflexes, allan: Person, grace: Person):
    reflexes.veto(phrase_of("What tasks are on my list?"), allan.id)
    assert reflexes.recognise("what tasks are on my list", allan.id) is None
    assert reflexes.recognise("what tasks are on my list", grace.id) is not None


async def test_a_change_by_another_hub_is_seen_whatever_its_clock_says(reflexes: Reflexes, stage: Stage, clock: FakeClock, allan: Person):
    async with stage.database.unit_of_work() as work:
        row = await work.patterns.find("overdue")
        assert row is not None
        await work.patterns.change(row.id, state="off", changed_at=clock.now().replace(year=2020))
    assert reflexes._exact.get("overdue") is not None
    await reflexes.refresh()
    assert reflexes._exact.get("overdue") is None


async def test_the_classifier_is_fitted_anew_in_a_process_of_its_own(reflexes: Reflexes, stage: Stage, clock: FakeClock):
    before = reflexes._linear
    await reflexes.fit()
    assert reflexes._linear is before, "nothing has changed"
    async with stage.database.unit_of_work() as work:
        row = await work.patterns.find("my pipeline")
        assert row is not None
        await work.patterns.change(row.id, weight=0.5, changed_at=clock.now())
    await reflexes.refresh()
    await reflexes.fit()
    assert reflexes._linear != before
    guess = reflexes.guess("what tasks are on my list")
    assert guess is not None
    assert guess.intent == "/tasks"
