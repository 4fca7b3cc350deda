"""The front door of thinking: tier 1, else a model, else an honest line; nothing of the models' troubles gets through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.brain.analytical import NO_COUNCIL, Council
from bot.brain.brain import REFUSED, Brain
from bot.brain.budget import Budget
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.confidence import MARK, UNSURE, Confidence
from bot.brain.context import ContextBuilder
from bot.brain.health import HealthBoard
from bot.brain.providers.offline import OUT_OF_REACH, SPENT, OfflineRung, digest
from bot.brain.reactive import NOTHING_SAID, Reactive
from bot.domain.address import Person
from bot.domain.errors import ContextTooLong, ProviderError, ProviderUnavailable, RateLimited, RequestRejected
from bot.domain.message import OutgoingKind
from bot.domain.thought import Finish, TaskType, Tier
from tests.fakes import CUT, FakeClock, FakeListener, FakePrices, FakeProvider, Pause, asked
from tests.stage import Stage

Build = Callable[..., Brain]


@pytest.fixture
def build(stage: Stage, clock: FakeClock) -> Build:
    def brain_of(*providers: FakeProvider, daily_usd: float = 5.0, turn: float = 2.0) -> Brain:
        database, health = stage.database, HealthBoard(database=stage.database, clock=clock)
        rungs = [Rung(level=name, provider=one, context=4096, max_output_tokens=10) for name, one in zip("abc", providers, strict=False)]
        budget = Budget(database=database, pricing=FakePrices(), daily_usd=daily_usd, timezone="UTC", clock=clock)
        chain = FallbackChain(rungs=rungs, health=health, budget=budget, turn_seconds=turn, hedge_seconds=0.05, stall_seconds=0.1)
        return Brain(
            reactive=Reactive(database=database, health=health, rungs=[rung.id for rung in rungs], clock=clock),
            context=ContextBuilder(database=database, owner="Allan", clock=clock),
            chain=chain,
            offline=OfflineRung(database=database),
            confidence=Confidence(database=database, clock=clock),
            council=Council(chain=chain, mode="ask", usd=1000.0),
        )

    return brain_of


async def test_a_model_answers_and_the_turn_says_which(build: Build, allan: Person):
    turn = await build(FakeProvider(" Paris", ".\n", model="m-9")).answer(asked("What is the capital of France?", person=allan))
    assert (turn.text, turn.kind, turn.tier, turn.level, turn.model) == ("Paris.", OutgoingKind.ANSWER, Tier.DIRECT, "a", "m-9")
    assert turn.task_type is TaskType.QUICK
    assert turn.latency_ms > 0
    assert not turn.offline
    assert not turn.queued


@pytest.mark.parametrize(
    ("reason", "text"), [("stop", "Once upon a time"), ("length", "Once upon a time …"), ("max_tokens", "Once upon a time …")]
)
async def test_an_answer_that_ran_into_its_bound_does_not_look_whole(build: Build, allan: Person, reason: str, text: str):
    turn = await build(FakeProvider("Once upon a time", Finish(reason=reason))).answer(asked("Tell me a tale about rain", person=allan))
    assert turn.text.partition("\n\n")[0] == text  # below it may stand how sure that is


async def test_a_low_confidence_stands_below_the_answer_when_all_of_it_was_shown(build: Build, allan: Person):
    listener, model = FakeListener(), FakeProvider("Once upon", Finish(reason="length"))
    turn = await build(model).answer(asked("Why is it that the sea is salty?", person=allan), listener)
    assert listener.steps == [("token", "Once upon")]
    assert turn.text == f"Once upon …\n\n{MARK}it broke off before its end.*"
    assert turn.confidence is not None
    assert turn.confidence < UNSURE


@pytest.mark.parametrize("text", ["", " \n", "\x00", "what time is it?"])
async def test_tier_one_asks_no_model(build: Build, allan: Person, text: str):
    model = FakeProvider("no")
    turn = await build(model).answer(asked(text, person=allan))
    assert turn.tier is Tier.REACTIVE
    assert turn.text == NOTHING_SAID or "It is" in turn.text
    assert not model.asked


async def test_text_grows_at_the_listener(build: Build, allan: Person):
    listener = FakeListener()
    await build(FakeProvider("Par", "is.")).answer(asked("capital of France?", person=allan), listener)
    assert listener.steps == [("token", "Par"), ("token", "is.")]


@pytest.mark.parametrize("error", [ProviderUnavailable("HTTP 500 from api.openai.com"), RateLimited("429")])
async def test_with_every_model_dead_the_line_is_honest_and_the_question_kept(build: Build, allan: Person, error: ProviderError):
    turn = await build(FakeProvider(error), FakeProvider(error)).answer(asked("What is love?", person=allan))
    assert turn.text in OUT_OF_REACH
    assert (turn.kind, turn.level, turn.queued, turn.offline) == (OutgoingKind.OFFLINE, "offline", True, True)
    assert [attempt.level for attempt in turn.attempts] == ["a", "b"]


async def test_what_a_broken_stream_showed_is_replaced_by_the_honest_line(build: Build, allan: Person):
    listener = FakeListener()
    turn = await build(FakeProvider("Love is", CUT)).answer(asked("What is love?", person=allan), listener)
    assert listener.steps == [("token", "Love is"), ("replace", turn.text)]


async def test_where_nothing_was_shown_the_honest_line_is_left_to_the_ledger(build: Build, allan: Person):
    listener = FakeListener()
    await build(FakeProvider(ProviderUnavailable("down"))).answer(asked("What is love?", person=allan), listener)
    assert listener.steps == []


async def test_a_spent_allowance_is_told_as_such(build: Build, allan: Person):
    turn = await build(FakeProvider("dear", provider="openai"), daily_usd=0.0).answer(asked("What is love?", person=allan))
    assert turn.text in SPENT
    assert turn.over_budget
    assert turn.queued


async def test_a_spent_allowance_with_a_free_level_left_is_an_ordinary_answer(build: Build, allan: Person):
    turn = await build(FakeProvider("dear", provider="openai"), FakeProvider("free"), daily_usd=0.0).answer(asked("hi", person=allan))
    assert (turn.text, turn.over_budget, turn.kind) == ("free", True, OutgoingKind.ANSWER)


async def test_no_level_at_all_is_answered_honestly_too(build: Build, allan: Person):
    assert (await build().answer(asked("What is love?", person=allan))).text in OUT_OF_REACH


@pytest.mark.parametrize("error", [RequestRejected("400"), ContextTooLong("too long")])
async def test_what_every_level_refuses_is_told_and_not_asked_again(build: Build, allan: Person, error: ProviderError):
    turn = await build(FakeProvider(error), FakeProvider(error)).answer(asked("Say the unsayable", person=allan))
    assert (turn.text, turn.kind, turn.queued) == (REFUSED, OutgoingKind.NOTICE, False)
    assert len(turn.attempts) == 2


async def test_a_late_question_that_is_refused_is_named(build: Build, allan: Person):
    turn = await build(FakeProvider(RequestRejected("400"))).answer(asked("Say the unsayable", person=allan, is_late=True))
    assert turn.text == f"On Sunday 22 November 2026 at 07:00 you asked: “Say the unsayable”. {REFUSED}"
    assert (turn.kind, turn.queued) == (OutgoingKind.NOTICE, False)


async def test_a_refusal_of_a_level_that_was_resting_counts_as_well(build: Build, allan: Person):
    first = FakeProvider(ProviderUnavailable("down"))
    brain = build(first, FakeProvider("well"))
    for _ in range(2):
        await brain.answer(asked("hi", person=allan))
    refusing = build(FakeProvider(RequestRejected("400")), FakeProvider(RequestRejected("400")))
    refusing.chain.health = brain.chain.health
    turn = await refusing.answer(asked("Say the unsayable", person=allan))
    assert [attempt.outcome for attempt in turn.attempts] == ["skipped", "failed", "failed"]
    assert (turn.text, turn.queued) == (REFUSED, False)


async def test_a_question_refused_while_a_level_was_away_is_put_to_that_level_alone(build: Build, allan: Person):
    first, second = FakeProvider(RequestRejected("400")), FakeProvider(ProviderUnavailable("down"))
    brain, question = build(first, second), asked("Say the unsayable", person=allan)
    assert (await brain.answer(question)).queued
    second.will(RequestRejected("400"))
    turn = await brain.answer(replace(question, is_late=True))
    assert (turn.queued, turn.text.endswith(REFUSED), turn.cost_usd) == (False, True, 0.0)
    assert (len(first.asked), len(second.asked)) == (1, 2)


async def test_what_one_level_refuses_and_another_cannot_hear_waits(build: Build, allan: Person):
    turn = await build(FakeProvider(RequestRejected("400")), FakeProvider(ProviderUnavailable("down"))).answer(asked("hm?", person=allan))
    assert turn.queued


async def test_a_late_answer_says_what_it_answers(build: Build, allan: Person):
    turn = await build(FakeProvider("Paris.")).answer(asked("What is the\ncapital of France?", person=allan, is_late=True))
    assert turn.kind is OutgoingKind.LATE
    assert turn.text == (
        "On Sunday 22 November 2026 at 07:00 you asked: “What is the capital of France?”. Here is the answer I owed you:\n\nParis."
    )


async def test_a_late_answer_is_given_more_time_than_a_turn(build: Build, allan: Person):
    slow = FakeProvider(Pause(0.15), "there")
    assert (await build(slow, turn=0.1).answer(asked("hi", person=allan, is_late=True))).text.endswith("there")
    assert (await build(slow, turn=0.1).answer(asked("hi", person=allan))).offline


async def test_what_broken_calls_cost_is_told_also_when_nobody_answered(build: Build, allan: Person):
    turn = await build(FakeProvider("half an ans", CUT, provider="openai")).answer(asked("What is love?", person=allan))
    assert turn.offline
    assert turn.cost_usd > 0


async def test_an_earlier_answer_is_shown_while_every_model_is_dead(build: Build, stage: Stage, allan: Person):
    question = await stage.says("Who wrote Faust?", digest=digest("Who wrote Faust?"))
    await stage.says("Goethe.", direction="out", kind="answer", reply_to=question.id)
    turn = await build(FakeProvider(ProviderUnavailable("down"))).answer(asked("who wrote faust", person=allan))
    assert "Goethe." in turn.text
    assert turn.kind is OutgoingKind.OFFLINE
    assert turn.queued


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\ud800 lone", "👩‍👩‍👧‍👦" * 10_000, "> " * 50_000, "<script>alert(1)</script>"])
async def test_odd_messages_are_answered(build: Build, allan: Person, text: str):
    model = FakeProvider("fine")
    assert (await build(model).answer(asked(text, person=allan))).text == "fine"
    model.asked[0].lines[-1].text.encode("utf-8")
    assert model.asked[0].tokens() < 4096


def opinions(*said: str) -> list[FakeProvider]:
    return [FakeProvider(each, provider="openai", model=each) for each in said]


@pytest.mark.parametrize("text", ["/council lease or buy?", "Ask the council: lease or buy?", "/council   lease or buy?"])
async def test_what_the_council_is_asked_is_put_to_several(build: Build, allan: Person, text: str):
    first, second = opinions("Lease it today.", "Buy it, in spring.")
    first.then("One leases, one buys.")
    turn = await build(first, second, daily_usd=100.0).answer(asked(text, person=allan))
    assert (turn.text, turn.tier, turn.level) == ("One leases, one buys.", Tier.ANALYTICAL, "a")
    assert first.asked[0].lines[-1].text == "lease or buy?"
    assert turn.confidence is not None
    assert len(turn.attempts) == 3
    assert all(attempt.reservation for attempt in turn.attempts)
    assert turn.cost_usd == sum(attempt.cost_usd for attempt in turn.attempts) > 0
    assert [step["said"] for step in turn.path[:2]] == ["Lease it today.", "Buy it, in spring."]


async def test_a_council_that_today_s_allowance_does_not_cover_leaves_it_to_who_is_free(build: Build, allan: Person):
    brain = build(*opinions("Lease.", "Buy."), FakeProvider("Neither."), daily_usd=0.0)
    turn = await brain.answer(asked("/council lease or buy?", person=allan))
    assert turn.text.startswith("Neither.")
    assert turn.over_budget


async def test_a_late_council_recalls_its_question(build: Build, allan: Person):
    turn = await build(*opinions("42", "42.")).answer(asked("/council how many?", person=allan, is_late=True))
    assert "you asked: “how many?”. Here is the answer I owed you:\n\n42" in turn.text


async def test_a_wish_that_only_one_could_grant_is_answered_by_that_one(build: Build, allan: Person):
    turn = await build(*opinions("Lease it.")).answer(asked("/council lease or buy?", person=allan))
    assert turn.text == f"Lease it.\n\n{NO_COUNCIL}"
    stranger = replace(asked("/council lease or buy?", person=allan), writer="Bob <bob@else>")
    turn = await build(*opinions("Lease it.", "Buy it.")).answer(stranger)
    assert (turn.text, turn.tier) == ("Lease it.", Tier.DIRECT)
