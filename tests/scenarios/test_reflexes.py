"""Tier 1 through the whole house: what it computes, says again, learns and unlearns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.brain.reactive import IN_PRIVATE
from bot.brain.reflexes import INTENTS, SEEDS
from bot.config import IdentityConfig, PersonConfig
from bot.domain.address import SessionType
from bot.domain.clock import new_id
from bot.domain.thought import Delta, Finish, Prompt, Question
from bot.learning.reflexes import ReflexLearning, agree
from storage.models.learning import CachedAnswer, Pattern
from storage.models.messaging import Message
from tests.clock import FakeClock
from tests.scenarios.house import FakeModel, House, open_house

NEARLY = "what overdue tasks do I have?"
STABLE = "What is the capital of France?"
pytestmark = pytest.mark.either


class FakeSpeaker(FakeModel):
    """FAKE: says the same whatever it is asked, until told otherwise."""

    says = "Paris."

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        self.asked.append(prompt.lines[-1].text)
        yield Delta(text=self.says)
        yield Finish()


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    people = PersonConfig(name="Allan", role="owner"), PersonConfig(name="Grace", identities=(IdentityConfig(platform="slack", id="U1"),))
    async with open_house(database_url, tmp_path, model=FakeSpeaker(), clock=FakeClock(), people=people) as opened:
        yield opened


def learning(house: House) -> ReflexLearning:
    return next(each for each in house.app.rooms.rounds if isinstance(each, ReflexLearning))


async def passes(house: House, minutes: float = 1) -> None:
    """Time goes by, and the round sees what was said."""
    clock = house.app.clock
    assert isinstance(clock, FakeClock)
    clock.moment += timedelta(minutes=1)
    await learning(house)._learn(clock.now())
    await house.app.rooms.reflexes.refresh()
    clock.moment += timedelta(minutes=minutes - 1)


async def asks(house: House, text: str, *, times: int) -> Message:
    """The same question, again and again, a quarter of an hour apart; the last reply."""
    for _ in range(times):
        reply = await house.asks(text)
        await passes(house, 15)
    return reply


async def likes(house: House, reply: Message, value: float) -> None:
    """The owner judges a reply, and that is learned from."""
    about = {"value": value, "source": "button", "detail": "", "now": house.app.clock.now()}
    async with house.app.database.unit_of_work() as work:
        await house.app.rooms.learning.rate(work, house.owner.id, reply, **about)


def tier(reply: Message) -> str:
    return str((reply.details or {})["tier"])


async def kept(house: House) -> CachedAnswer | None:
    async with house.app.database.reading() as work:
        question = await work.messages.said_by(house.owner.id, limit=1)
        return await work.cached_answers.find(house.owner.id, question[-1].digest or "")


async def learned(house: House) -> Pattern:
    async with house.app.database.reading() as work:
        return next(row for row in await work.patterns.all() if row.origin != "seed")


async def test_what_is_like_a_known_phrase_is_computed_without_a_model(house: House):
    reply = await house.asks("any tasks today")
    details = reply.details or {}
    assert (reply.text, tier(reply), details["why"]) == ("There is nothing to do today.", "reactive", "read as /tasks today")
    assert details["confidence"] > 0.95
    assert house.model.asked == []
    async with house.app.database.reading() as work:
        outcome = await work.feedback.find(house.owner.id, reply.id)
    assert outcome is not None
    assert SEEDS[outcome.pattern] == "/tasks today"


async def test_a_stable_answer_is_said_again_after_three_that_agreed(house: House):
    assert tier(await asks(house, STABLE, times=3)) == "direct"
    again = await house.asks("what is the capital of FRANCE")
    assert (again.text, tier(again)) == ("Paris.", "reactive")
    assert "my answers agreed 3 times" in (again.details or {})["why"]
    assert tier(await house.asks(STABLE)) == "direct", "who asks again at once wants a new answer"


async def test_an_answer_that_was_not_the_same_is_not_said_again(house: House):
    await asks(house, STABLE, times=2)
    house.model.says = "Lyon, I believe."  # type: ignore[attr-defined]
    assert tier(await asks(house, STABLE, times=3)) == "direct"
    assert tier(await house.asks(STABLE)) == "reactive", "three that agree, since"


@pytest.mark.parametrize(
    "text", ["What is the weather in Rome?", "What did she mean by that?", "capital France", "who are my best friends"]
)
async def test_what_leans_on_the_day_or_the_conversation_is_never_kept(house: House, text: str):
    assert tier(await asks(house, text, times=5)) == "direct"
    assert await kept(house) is None


async def test_an_answer_grows_old_and_a_disliked_one_is_never_said_again(house: House):
    clock = house.app.clock
    assert isinstance(clock, FakeClock)
    await asks(house, STABLE, times=3)
    await likes(house, await house.asks(STABLE), -1.0)
    row = await kept(house)
    assert row is not None
    assert row.state == "off"
    clock.moment += timedelta(minutes=15)
    assert tier(await asks(house, STABLE, times=5)) == "direct"
    await asks(house, "Who painted the Mona Lisa?", times=3)
    clock.moment += timedelta(days=15)
    assert tier(await house.asks("Who painted the Mona Lisa?")) == "direct"


async def test_a_phrase_is_learned_once_what_it_says_agreed_with_the_model_three_times(house: House):
    house.model.says = "Good news: nothing is overdue."  # type: ignore[attr-defined]
    assert tier(await asks(house, NEARLY, times=3)) == "direct"
    row = await learned(house)
    assert (row.intent, row.state, row.agreed, row.disagreed, row.user_id) == ("/tasks overdue", "on", 3, 0, house.owner.id)
    reply = await house.asks(NEARLY)
    assert (reply.text, tier(reply)) == ("Nothing is overdue.", "reactive")


async def test_one_disagreement_ends_a_proposal(house: House):
    house.model.says = "Nothing is overdue."  # type: ignore[attr-defined]
    await asks(house, NEARLY, times=2)
    house.model.says = "Library books pile up."  # type: ignore[attr-defined]
    await asks(house, NEARLY, times=1)
    house.model.says = "Nothing is overdue."  # type: ignore[attr-defined]
    assert tier(await asks(house, NEARLY, times=4)) == "direct"
    assert (await learned(house)).state == "off"


@pytest.mark.both
async def test_two_hubs_learn_from_an_answer_once(house: House):
    house.model.says = "Nothing is overdue."  # type: ignore[attr-defined]
    await house.asks(NEARLY)
    rooms, database = house.app.rooms, house.app.database
    other = ReflexLearning(database=database, reflexes=rooms.reflexes, reactive=learning(house)._reactive)
    await passes(house)
    await other._learn(house.app.clock.now())
    assert (await learned(house)).agreed == 1


@pytest.mark.both
async def test_a_misreading_is_not_repeated_and_a_thousand_thumbs_count_once(house: House):
    reply = await house.asks("any tasks today")
    for _ in range(20):
        await likes(house, reply, -1.0)
    assert tier(await house.asks("Any tasks today?")) == "direct", "in the same second"
    async with house.app.database.reading() as work:
        row = next(row for row in await work.patterns.all() if 0 < row.weight < 1)
    assert (row.origin, row.weight, row.state) == ("seed", pytest.approx(0.8), "on")
    await likes(house, reply, 0.0)
    await house.app.rooms.reflexes.refresh()
    assert tier(await house.asks("any tasks today")) == "reactive", "they took it back"


async def test_feedback_on_what_is_gone_or_came_of_a_model_changes_nothing(house: House):
    reply = await house.asks(STABLE)
    async with house.app.database.reading() as work:
        before = await work.patterns.standing()
    await likes(house, reply, -1.0)
    async with house.app.database.reading() as work:
        assert await work.patterns.standing() == before


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Paris.", "The capital of France is Paris.", True),
        ("Nothing is overdue.", "Good news: nothing is overdue!", True),
        ("It has 3 legs.", "It has 4 legs.", False),
        ("Yes, you may.", "No, you may not.", False),
        ("Paris", "Lyon", False),
        ("", "Paris", False),
        ("It is the one that was there.", "It is it.", False),
    ],
)
def test_answers_agree_where_they_say_the_same(one: str, other: str, is_same: bool):
    assert agree(one, other) is agree(other, one) is is_same


async def withdraws(house: House, question_id: object) -> None:
    """The owner deletes a question; what that means for learning is done as `changes` does it."""
    async with house.app.database.unit_of_work() as work:
        await work.messages.withdraw(question_id)  # type: ignore[arg-type]
        await house.app.rooms.learning.unlearn(work, question_id, house.app.clock.now())  # type: ignore[arg-type]


@pytest.mark.parametrize("told", ["/mood playful", "/cocktail 9", "/mentor churchill", "/flirty 6"])
async def test_what_was_said_in_another_manner_is_not_said_again(house: House, told: str):
    await asks(house, STABLE, times=3)
    await house.asks(told)
    assert tier(await house.asks(STABLE)) == "direct"


async def test_what_a_mentor_said_is_never_kept(house: House):
    house.model.says = "**Churchill** (confident): Paris, of course."  # type: ignore[attr-defined]
    assert tier(await asks(house, "What would Churchill say about the capital of France?", times=5)) == "direct"
    assert await kept(house) is None


async def test_a_notice_of_the_day_is_not_kept(house: House):
    house.model.says = "Paris.\n\n*Today's allowance did not cover a better model for this.*"  # type: ignore[attr-defined]
    await asks(house, STABLE, times=5)
    assert await kept(house) is None


@pytest.mark.parametrize(
    "text",
    [
        *("Welcher Tag ist heute?", "Wie heißt meine Frau?", "What is the temperature in Rome?", "Who is playing on Saturday in Rome?"),
        *("Who is the president of France?", "What is the exchange rate of the dollar?"),
    ],
)
async def test_what_may_change_or_cannot_be_told_is_never_kept(house: House, text: str):
    await asks(house, text, times=4)
    assert await kept(house) is None


async def test_the_answer_to_a_withdrawn_question_is_not_said_again(house: House):
    reply = await asks(house, STABLE, times=3)
    await withdraws(house, reply.reply_to)
    assert tier(await house.asks(STABLE)) == "direct"


async def test_a_models_answer_that_was_disliked_is_not_said_again(house: House):
    reply = await asks(house, STABLE, times=3)
    await likes(house, reply, -1.0)
    assert tier(await house.asks(STABLE)) == "direct"
    await likes(house, reply, 0.0)
    await passes(house, 15)
    assert tier(await house.asks(STABLE)) == "reactive", "they took it back"


async def test_what_was_disliked_at_once_does_not_count_as_agreement(house: House):
    for _ in range(3):
        await likes(house, await house.asks(STABLE), -1.0)
        await passes(house, 15)
    assert tier(await house.asks(STABLE)) == "direct"


async def test_no_thumb_switches_on_what_has_not_agreed(house: House):
    await asks(house, STABLE, times=3)
    again = await house.asks(STABLE)
    house.model.says = "Lyon, I believe."  # type: ignore[attr-defined]
    assert tier(await asks(house, STABLE, times=1)) == "direct"
    await likes(house, again, 1.0)
    await passes(house, 15)
    row = await kept(house)
    assert row is not None
    assert (row.state, row.text) == ("proposed", "Lyon, I believe.")


async def test_who_asks_again_as_invited_is_given_it_again_another_day(house: House):
    await asks(house, STABLE, times=3)
    assert tier(await house.asks(STABLE)) == "reactive"
    assert tier(await asks(house, STABLE, times=1)) == "direct"
    assert tier(await house.asks(STABLE)) == "reactive"


async def test_a_thumb_taken_back_leaves_a_learned_phrase_and_a_weight_as_they_were(house: House):
    house.model.says = "Nothing is overdue."  # type: ignore[attr-defined]
    await asks(house, NEARLY, times=3)
    mine, shared = await house.asks(NEARLY), await house.asks("any tasks today")
    for reply in (mine, shared):
        await likes(house, reply, -1.0)
    assert tier(await house.asks(NEARLY)) == "direct"
    for reply in (mine, shared):
        await likes(house, reply, 0.0)
    await house.app.rooms.reflexes.refresh()
    assert [tier(await house.asks(text)) for text in (NEARLY, "any tasks today")] == ["reactive", "reactive"]
    async with house.app.database.reading() as work:
        assert {row.weight for row in await work.patterns.all()} == {1.0}


async def test_a_veto_goes_with_the_question_it_was_about(house: House):
    reply = await house.asks("any tasks today")
    await likes(house, reply, -1.0)
    await withdraws(house, reply.reply_to)
    await house.app.rooms.reflexes.refresh()
    assert tier(await house.asks("any tasks today")) == "reactive"
    async with house.app.database.reading() as work:
        assert {row.weight for row in await work.patterns.all() if row.origin == "seed"} == {1.0}


async def test_nobody_elses_thumb_moves_what_one_has_learned(house: House):
    house.model.says = "Nothing is overdue."  # type: ignore[attr-defined]
    await asks(house, NEARLY, times=3)
    reply = await house.asks(NEARLY)
    async with house.app.database.unit_of_work() as work:
        other = next(user for user in await work.people.users() if user.name == "Grace")
        about = {"value": -1.0, "source": "button", "detail": "", "now": house.app.clock.now()}
        await house.app.rooms.learning.rate(work, other.id, reply, **about)
    await house.app.rooms.reflexes.refresh()
    assert tier(await house.asks(NEARLY)) == "reactive"


async def test_a_clock_that_was_set_back_stops_no_learning(house: House):
    now = house.app.clock.now()
    assert await learning(house).look(now + timedelta(days=2)) > now + timedelta(days=1)
    assert await learning(house).look(now) <= now + timedelta(seconds=10)


@pytest.mark.parametrize("intent", [intent for intent in INTENTS if intent not in ("time", "date", "help", "status", "none")])
async def test_nothing_private_is_said_where_others_read_along(house: House, intent: str):
    await house.asks("/note a secret")
    await house.asks("/task a secret")
    question = next(text for text, means in SEEDS.items() if means == intent)
    about = {"id": new_id(), "conversation_id": new_id(), "person": house.owner, "text": question, "asked_at": house.app.clock.now()}
    turn = await learning(house)._reactive.answer(Question(**about, session_type=SessionType.SHARED))
    assert turn is not None
    assert turn.text == IN_PRIVATE or (intent == "/mood" and "secret" not in turn.text)
