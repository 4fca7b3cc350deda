"""The chain: whatever a level does, the person gets one clean answer, in time, from the first level that can give it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.mesh import Mesh
from bot.brain.poison import BREAKS_ALLOWED, QUESTIONS_KEPT
from bot.config import MeshConfig, NodeConfig
from bot.domain.clock import new_id
from bot.domain.errors import (
    AllLevelsFailed,
    ContextTooLong,
    CredentialsRejected,
    ModelNotServed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StreamBroken,
)
from bot.domain.thought import Attempt, AttemptOutcome, Completion, Finish
from tests.fakes import (
    CUT,
    SILENCE,
    FakeClock,
    FakeListener,
    FakeProvider,
    FakeTimeLoop,
    Pause,
    Step,
    Stubborn,
    loop_time,
    prompting,
)

EVENT_LOOP = FakeTimeLoop
HEDGE = 1.5
STALL = 10.0
TURN = 45.0
DOWN = ProviderUnavailable("refused")
FAILURES: list[tuple[tuple[Step, ...], type[ProviderError]]] = [
    ((DOWN,), ProviderUnavailable),
    ((RateLimited("429"),), RateLimited),
    ((RateLimited("429", retry_after=5),), RateLimited),
    ((CredentialsRejected("401"),), CredentialsRejected),
    ((ModelNotServed("404"),), ModelNotServed),
    ((ContextTooLong("413"),), ContextTooLong),
    ((RequestRejected("400"),), RequestRejected),
    ((StreamBroken("malformed"),), StreamBroken),
    ((KeyError("a bug of ours"),), StreamBroken),
    ((asyncio.CancelledError(),), ProviderUnavailable),
    ((CUT,), StreamBroken),
    ((Finish(),), StreamBroken),
    ((" ", "\n\n", ""), StreamBroken),
    ((Finish(reason="length"),), StreamBroken),
    ((Finish(reason="refusal"),), RequestRejected),
    ((Finish(reason="model_context_window_exceeded"),), ContextTooLong),
    (("half an ans", Finish(reason="content_filter")), RequestRejected),
    (("half an ans", Finish(reason="error")), StreamBroken),
    (("half an ans", Finish(reason="abort")), StreamBroken),
    (("half an ans", Finish(reason="insufficient_system_resource")), StreamBroken),
    (("half an ans", CUT), StreamBroken),
    (("half an ans", DOWN), ProviderUnavailable),
    (("half an ans", SILENCE), StreamBroken),
    (("half an ans", RequestRejected("filtered")), RequestRejected),
    (("half an ans", ZeroDivisionError()), StreamBroken),
]


def rung(level: str, provider: FakeProvider, node: str = "") -> Rung:
    return Rung(level=level, provider=provider, context=4096, max_output_tokens=100, node=node)


def make(
    *providers: FakeProvider, clock: FakeClock | None = None, hedge: float = HEDGE, turn: float = TURN, names: str = "abcdef"
) -> FallbackChain:
    """A chain of these models, its levels called a, b, c and so on."""
    return FallbackChain(
        rungs=[rung(name, provider) for name, provider in zip(names, providers, strict=False)],
        health=HealthBoard(database=None, clock=clock or FakeClock(), monotonic=loop_time),
        budget=None,
        turn_seconds=turn,
        hedge_seconds=hedge,
        stall_seconds=STALL,
    )


def state(chain: FallbackChain, level: int = 0) -> BreakerState:
    return chain.health.breaker(chain.rungs[level].id).state


def outcomes(attempts: tuple[Attempt, ...] | Completion) -> list[tuple[str, str]]:
    if isinstance(attempts, Completion):
        attempts = attempts.attempts
    return [(attempt.level, str(attempt.outcome)) for attempt in attempts]


async def no_calls_run() -> bool:
    await asyncio.sleep(0)
    return not [task for task in asyncio.all_tasks() if task.get_name().startswith("ask ")]


async def test_first_level_answers_and_is_named():
    first, second = FakeProvider("Good ", "day", model="gpt"), FakeProvider("no")
    done = await make(first, second).complete(prompting())
    assert (done.text, done.level, done.provider, done.model) == ("Good day", "a", "local", "gpt")
    assert done.why == "a answered"
    assert not second.asked


@pytest.mark.parametrize(("script", "error"), FAILURES, ids=lambda value: getattr(value, "__name__", None))
async def test_every_failure_ends_in_one_clean_answer_of_the_next_level(script: tuple[Step, ...], error: type[ProviderError]):
    listener = FakeListener()
    done = await make(FakeProvider(*script), FakeProvider("the whole ", "answer")).complete(prompting(), listener=listener)
    assert (done.text, done.level) == ("the whole answer", "b")
    assert listener.shown == "the whole answer"
    assert outcomes(done) == [("a", "failed"), ("b", "answered")]
    assert done.attempts[0].error == error.__name__
    assert done.why.startswith("b answered, a ")
    assert error.__name__ not in done.why  # the page shows it to people
    assert await no_calls_run()


@pytest.mark.parametrize(("script", "error"), FAILURES, ids=lambda value: getattr(value, "__name__", None))
async def test_when_every_level_fails_so_it_is_told(script: tuple[Step, ...], error: type[ProviderError]):
    with pytest.raises(AllLevelsFailed) as caught:
        await make(FakeProvider(*script), FakeProvider(*script)).complete(prompting())
    assert [(attempt.level, attempt.error) for attempt in caught.value.attempts] == [("a", error.__name__), ("b", error.__name__)]
    assert await no_calls_run()


async def test_a_stream_that_changes_model_replaces_what_was_shown():
    listener = FakeListener()
    chain = make(FakeProvider("One", " two", CUT), FakeProvider("Eins", DOWN), FakeProvider("Un", " deux"))
    await chain.complete(prompting(), listener=listener)
    assert listener.steps == [("token", "One"), ("token", " two"), ("replace", "Eins"), ("replace", "Un"), ("token", " deux")]


async def test_blanks_before_the_first_word_are_no_answer_yet():
    slow = FakeProvider("\n", " ", Pause(10), "late")
    listener = FakeListener()
    done = await make(slow, FakeProvider(" \n quick")).complete(prompting(), listener=listener)
    assert done.level == "b"
    assert listener.steps == [("token", "quick")]


async def test_a_silent_level_is_joined_by_the_next_at_the_hedge_delay_and_counts_as_failed():
    chain = make(FakeProvider(SILENCE), FakeProvider("b speaks"))
    done = await chain.complete(prompting())
    assert loop_time() == pytest.approx(HEDGE)
    assert outcomes(done) == [("a", "overtaken"), ("b", "answered")]
    assert chain.health.breaker(chain.rungs[0].id).outcomes == (False,)
    await chain.complete(prompting())
    assert state(chain) is BreakerState.OPEN


async def test_a_silent_level_that_speaks_before_the_one_asked_after_it_wins_and_the_other_is_not_blamed():
    chain = make(FakeProvider(Pause(HEDGE * 2), "a speaks"), FakeProvider(SILENCE))
    done = await chain.complete(prompting())
    assert done.text == "a speaks"
    assert outcomes(done) == [("b", "overtaken"), ("a", "answered")]
    assert chain.health.breaker(chain.rungs[1].id).outcomes == ()


async def test_of_two_that_speak_at_the_same_moment_the_earlier_level_answers():
    gate = asyncio.Event()

    class Waiting(FakeProvider):
        async def stream(self, prompt):
            self.asked.append(prompt)
            await gate.wait()
            async for piece in super().stream(prompt):
                yield piece

    first, second = Waiting("a speaks"), Waiting("b speaks")
    answering = asyncio.create_task(make(first, second).complete(prompting()))
    while not second.asked:
        await asyncio.sleep(0.005)
    gate.set()
    assert (await answering).text == "a speaks"


async def test_one_that_fails_at_the_same_moment_as_another_speaks_is_still_judged():
    chain = make(FakeProvider(Pause(HEDGE + 1), "a speaks"), FakeProvider(Pause(1), RateLimited("429", retry_after=9)))
    await chain.complete(prompting())
    assert state(chain, 1) is BreakerState.OPEN


async def test_a_hedge_that_fails_is_followed_at_once_by_the_next_while_the_first_is_still_awaited():
    chain = make(FakeProvider(SILENCE), FakeProvider(DOWN), FakeProvider("c speaks"))
    done = await chain.complete(prompting())
    assert loop_time() == pytest.approx(HEDGE)
    assert outcomes(done) == [("b", "failed"), ("a", "overtaken"), ("c", "answered")]


async def test_a_level_let_off_by_a_winner_that_breaks_off_is_asked_again():
    second = FakeProvider(Pause(10)).then("b speaks")
    chain = make(FakeProvider(Pause(HEDGE * 1.5), "a spe", CUT), second, FakeProvider("c speaks"))
    done = await chain.complete(prompting())
    assert done.text == "b speaks"
    assert len(second.asked) == 2


async def test_a_slow_level_is_asked_again_when_the_quick_one_breaks_off_and_nobody_else_is_left():
    done = await make(FakeProvider(Pause(2), "slow but whole"), FakeProvider("quick bu", CUT)).complete(prompting())
    assert done.text == "slow but whole"


async def test_what_a_slow_level_has_said_when_the_turn_ends_is_kept_and_marked_as_cut():
    words = [step for number in range(100) for step in (f"w{number} ", Pause(1))]
    chain, heard = make(FakeProvider(*words), FakeProvider("b")), FakeListener()
    done = await chain.complete(prompting(), listener=heard)
    assert done.is_cut
    assert done.text == heard.shown == "".join(f"w{number} " for number in range(45))
    assert (done.level, done.why) == ("a", "a answered")
    assert chain.health.breaker(chain.rungs[0].id).state is BreakerState.CLOSED
    assert loop_time() == pytest.approx(TURN, abs=1)


async def test_a_mere_beginning_when_the_turn_ends_is_no_answer():
    chain = make(FakeProvider(Pause(40), "only", Pause(2), " four", Pause(2), " words here", SILENCE))
    with pytest.raises(AllLevelsFailed):
        await chain.complete(prompting())


async def test_a_question_that_breaks_a_level_again_and_again_is_spared_to_it_and_shuts_nobody_out(clock: FakeClock):
    """The level answers others between: it is the question."""
    first, event = FakeProvider(), new_id()
    chain = make(first, FakeProvider("b"), clock=clock)
    for _ in range(10):
        first.will(Finish())
        poisoned = await chain.complete(prompting(), event_id=event)
        assert poisoned.text == "b"
        first.will("fine")
        assert (await chain.complete(prompting(), event_id=new_id())).text == "fine"
    assert len(first.asked) == 10 + BREAKS_ALLOWED
    assert chain.health.breaker(chain.rungs[0].id).outcomes.count(False) == 1
    assert poisoned.attempts[0].error == "StreamBroken"


async def test_what_broke_in_an_outage_is_asked_again_after_it(clock: FakeClock):
    first, events = FakeProvider(CUT), [new_id() for _ in range(3)]
    chain = make(first, FakeProvider("b"), clock=clock)
    for _ in range(5):
        for event in events:
            await chain.complete(prompting(), event_id=event)
        clock.advance(seconds=3600)
    first.will("well again")
    assert [(await chain.complete(prompting(), event_id=event)).text for event in events] == ["well again"] * 3


async def test_a_question_that_breaks_the_only_level_is_tried_ever_more_seldom_and_again_after_another_was_answered(clock: FakeClock):
    """Each try may be paid for."""
    first, event = FakeProvider(CUT), new_id()
    chain = make(first, clock=clock)
    for _ in range(24 * 60):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting(), event_id=event)
        clock.advance(seconds=60)
    assert BREAKS_ALLOWED < len(first.asked) < 12
    first.will("well again")
    assert (await chain.complete(prompting(), event_id=new_id())).text == "well again"
    assert (await chain.complete(prompting(), event_id=event)).text == "well again"


async def test_waiting_for_a_level_that_answers_others_is_no_measure_of_its_pace():
    class Occupied(FakeProvider):
        is_busy, is_occupied = False, True

    chain = make(Occupied(Pause(1), "at last"))
    for _ in range(9):
        done = await chain.complete(prompting())
    assert done.attempts[0].first_token_ms is None
    assert chain.health.first_token_p95_ms(chain.rungs[0].id) is None


async def test_a_level_that_says_nothing_to_any_question_rests(clock: FakeClock):
    first = FakeProvider(Finish())
    chain = make(first, FakeProvider("b"), clock=clock)
    for _ in range(10):
        await chain.complete(prompting(), event_id=new_id())
    assert len(first.asked) == 2


async def test_the_last_level_is_waited_for_until_the_turns_bound():
    done = await make(FakeProvider(DOWN), FakeProvider(Pause(STALL * 2), "slow but there")).complete(prompting())
    assert done.text == "slow but there"


class Loading(FakeProvider):
    """FAKE: a model that is still being loaded while it is silent."""

    is_busy = is_occupied = True


@pytest.mark.parametrize("hedge", [HEDGE, 0])
async def test_a_level_that_is_overtaken_while_it_loads_is_not_taken_for_broken_or_slow(hedge: float):
    model = Loading(SILENCE)
    chain = make(model, FakeProvider("b speaks"), hedge=hedge)
    for _ in range(9):
        assert (await chain.complete(prompting())).text == "b speaks"
    assert chain.health.breaker(chain.rungs[0].id).outcomes == ()
    assert chain.health.first_token_p95_ms(chain.rungs[0].id) is None
    model.will("loaded")
    assert (await chain.complete(prompting())).text == "loaded"


async def test_turns_that_end_while_the_last_level_loads_do_not_make_it_rest():
    model = Loading(SILENCE)
    chain = make(model)
    for _ in range(4):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    assert (len(model.asked), state(chain)) == (4, BreakerState.CLOSED)
    model.will(DOWN)  # the load failed
    for _ in range(2):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    assert state(chain) is BreakerState.OPEN


async def test_a_probe_that_meets_a_loading_model_is_followed_by_another(clock: FakeClock):
    model = Loading(DOWN)
    chain = make(model, FakeProvider("b speaks"), clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    clock.advance(seconds=30)
    model.will(SILENCE)
    await chain.complete(prompting())
    model.will("loaded")
    assert (await chain.complete(prompting())).text == "loaded"


async def test_who_refused_a_question_is_not_asked_it_again_while_others_are_away():
    first, second = FakeProvider("I would", Finish(reason="refusal")), FakeProvider(DOWN)
    chain, event = make(first, second), new_id()
    for _ in range(2):
        with pytest.raises(AllLevelsFailed) as caught:
            await chain.complete(prompting(), event_id=event)
    assert len(first.asked) == 1
    skipped = next(attempt for attempt in caught.value.attempts if isinstance(attempt, Attempt))
    assert (skipped.outcome, skipped.error) == (AttemptOutcome.SKIPPED, "RequestRejected")
    second.will("b is back")
    done = await chain.complete(prompting(), event_id=event)
    assert done.why == "b answered, a would not answer it"
    first.will("a speaks")
    assert (await chain.complete(prompting(), event_id=new_id())).text == "a speaks"


async def test_only_so_many_refusals_are_remembered():
    first = FakeProvider(RequestRejected("400"))
    chain, oldest = make(first, FakeProvider("b speaks")), new_id()
    for event in (oldest, *(new_id() for _ in range(QUESTIONS_KEPT))):
        await chain.complete(prompting(), event_id=event)
    first.asked.clear()
    await chain.complete(prompting(), event_id=oldest)
    assert first.asked


async def test_without_hedging_a_silent_level_is_given_up_when_it_stalls():
    chain = make(FakeProvider(SILENCE), FakeProvider("b speaks"), hedge=0)
    done = await chain.complete(prompting())
    assert loop_time() == pytest.approx(STALL)
    assert outcomes(done) == [("a", "failed"), ("b", "answered")]


async def test_the_hedge_waits_as_long_as_a_level_usually_takes_but_never_for_most_of_the_turn():
    chain = make(FakeProvider("x"), FakeProvider("y"))
    first = chain.rungs[0]
    assert chain.patience_seconds(first) == HEDGE
    for _ in range(20):
        chain.health.note_first_token(first.id, 2000.0)
    assert chain.patience_seconds(first) == pytest.approx(2.0)
    for _ in range(20):
        chain.health.note_first_token(first.id, 60_000.0)
    assert chain.patience_seconds(first) == pytest.approx(TURN / 3)


@pytest.mark.parametrize("script", [(SILENCE,), ("word ", *(Pause(5), "word ") * 40), (Stubborn(500),)], ids=["silent", "endless", "deaf"])
async def test_no_turn_exceeds_its_bound_even_if_hanging_up_hangs(script: tuple[Step, ...]):
    chain = make(FakeProvider(*script), FakeProvider(*script))
    with pytest.raises(AllLevelsFailed) as caught:
        await chain.complete(prompting())
    assert TURN <= loop_time() < TURN + 0.5
    assert {attempt.error for attempt in caught.value.attempts} <= {"ProviderUnavailable", ""}
    assert BreakerState.HALF_OPEN not in (state(chain), state(chain, 1))


async def test_who_was_hardly_asked_when_the_bound_struck_is_not_blamed():
    chain = make(FakeProvider(SILENCE), FakeProvider(SILENCE), hedge=2.0, turn=3.0)
    with pytest.raises(AllLevelsFailed):
        await chain.complete(prompting())
    assert chain.health.breaker(chain.rungs[0].id).outcomes == (False,)
    assert chain.health.breaker(chain.rungs[1].id).outcomes == ()


async def test_a_late_answer_may_be_given_more_time():
    chain = make(FakeProvider(Pause(TURN * 3), "at last"))
    assert (await chain.complete(prompting(), seconds=TURN * 4)).text == "at last"


async def test_what_the_listener_raises_ends_the_turn_and_no_call_is_left():
    provider = FakeProvider("one", SILENCE)
    with pytest.raises(ConnectionError):
        await make(provider).complete(prompting(), listener=FakeListener(breaks=ConnectionError("nobody there")))
    assert provider.hung_up == 1
    assert await no_calls_run()


async def test_a_timeout_of_the_listener_is_not_taken_for_the_turns():
    with pytest.raises(TimeoutError):
        await make(FakeProvider("one")).complete(prompting(), listener=FakeListener(breaks=TimeoutError()))


async def test_the_winners_connection_is_let_go_when_the_answer_is_there():
    class Lingering(FakeProvider):
        async def stream(self, prompt):
            try:
                async for piece in super().stream(prompt):
                    yield piece
            finally:
                await asyncio.sleep(0.02)
                self.is_closed = True

    provider = Lingering("done")
    await make(provider).complete(prompting())
    assert provider.is_closed


WELL = ("a whole ", "answer")
FAULTS = [script for script, _ in FAILURES]
SCRIPTS = [*FAULTS, WELL, ("\n", *WELL), (SILENCE,), (Pause(2), *WELL), (Pause(2), DOWN)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=5))
def test_any_mix_of_faults_ends_in_one_clean_answer_or_an_honest_failure(scripts: list[tuple[Step, ...]]):
    async def turn() -> None:
        listener = FakeListener()
        chain = make(*(FakeProvider(*script) for script in scripts), turn=200)
        try:
            done = await chain.complete(prompting(), listener=listener)
        except AllLevelsFailed:
            assert not any("a whole " in script for script in scripts)
        else:
            assert listener.shown == done.text == "a whole answer"
            assert sum(attempt.outcome is AttemptOutcome.ANSWERED for attempt in done.attempts) == 1
        assert BreakerState.HALF_OPEN not in {state(chain, level) for level in range(len(scripts))}
        assert await no_calls_run()

    with capture_logs(), asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(turn())


# Breakers inside turns


async def test_a_dead_level_costs_two_attempts_in_ten_turns_also_after_long_health():
    first = FakeProvider("well")
    chain = make(first, FakeProvider("b speaks"))
    for _ in range(25):
        await chain.complete(prompting())
    first.asked.clear()
    first.will(DOWN)
    for _ in range(10):
        assert (await chain.complete(prompting())).text == "b speaks"
    assert len(first.asked) == 2


@pytest.mark.parametrize("ending", ["silent", "dead", "well"])
async def test_ten_turns_at_a_half_open_breaker_make_one_probe(clock: FakeClock, ending: str):
    first = FakeProvider(DOWN)
    chain = make(first, FakeProvider("b speaks"), clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    clock.advance(seconds=30)
    first.asked.clear()
    first.will(*{"silent": (SILENCE,), "dead": (Pause(0.01), DOWN), "well": (Pause(0.01), "a speaks")}[ending])
    done = await asyncio.gather(*(chain.complete(prompting()) for _ in range(10)))
    assert len(first.asked) == 1
    assert sorted(one.text for one in done) == (["a speaks"] if ending == "well" else ["b speaks"]) + ["b speaks"] * 9
    assert state(chain) is (BreakerState.CLOSED if ending == "well" else BreakerState.OPEN)


async def test_a_level_that_rests_is_passed_over_and_says_so(clock: FakeClock):
    chain = make(FakeProvider(DOWN), FakeProvider("b speaks"), clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    done = await chain.complete(prompting())
    assert outcomes(done) == [("a", "skipped"), ("b", "answered")]
    assert done.why == "b answered, a was passed over"


async def test_when_nobody_else_answers_a_resting_level_is_tried_before_its_time(clock: FakeClock):
    first, second = FakeProvider(DOWN), FakeProvider("b speaks")
    chain = make(first, second, clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    first.will("a is back")
    second.will(DOWN)
    done = await chain.complete(prompting())
    assert done.text == "a is back"
    assert done.why == "a answered, b could not be reached"
    assert state(chain) is BreakerState.CLOSED


@pytest.mark.parametrize("names", ["ab", "ba"], ids=["resting first", "resting last"])
async def test_a_resting_level_is_left_alone_while_another_answers_slowly(clock: FakeClock, names: str):
    resting, slow = FakeProvider(DOWN), FakeProvider(DOWN)
    levels = {"a": resting, "b": slow}
    chain = make(*(levels[name] for name in names), clock=clock)
    for _ in range(2):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    permit = chain.health.breaker(chain.rungs[names.index("b")].id).permit_as_last_resort()
    assert permit is not None
    permit.succeeded()
    slow.will(Pause(HEDGE * 2), "b speaks slowly")
    assert (await chain.complete(prompting())).text == "b speaks slowly"
    assert len(resting.asked) == 2


async def test_a_resting_level_is_tried_when_the_only_other_one_is_dead_silent(clock: FakeClock):
    first, second = FakeProvider(DOWN), FakeProvider("b speaks")
    chain = make(first, second, clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    first.will("a is back")
    second.will(SILENCE)
    began = loop_time()
    assert (await chain.complete(prompting())).text == "a is back"
    assert loop_time() - began == pytest.approx(STALL)


async def test_a_total_outage_is_asked_about_every_few_seconds_not_every_turn(clock: FakeClock):
    first, second = FakeProvider(DOWN), FakeProvider(RateLimited("429", retry_after=60))
    chain = make(first, second, clock=clock)
    for _ in range(10):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    assert (len(first.asked), len(second.asked)) == (2 + 1, 1)
    clock.advance(seconds=5)
    first.will("back")
    assert (await chain.complete(prompting())).text == "back"


@pytest.mark.parametrize("ends", ["called off", "out of time", "broken off", "overtaken", "refused", "rejected"])
async def test_however_a_probe_ends_the_breaker_is_not_half_open_for_ever(clock: FakeClock, ends: str):
    first = FakeProvider(DOWN)
    chain = make(first, FakeProvider(DOWN).then(DOWN).then(Pause(HEDGE), "b speaks"), clock=clock)
    for _ in range(2):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    clock.advance(seconds=30)
    first.will(*{"broken off": ("hal", CUT), "refused": (DOWN,), "rejected": (RequestRejected("400"),)}.get(ends, (SILENCE,)))
    turn = asyncio.create_task(chain.complete(prompting(), seconds=1.0 if ends == "out of time" else None))
    await asyncio.sleep(0.01)
    if ends == "called off":
        turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    assert state(chain) is BreakerState.OPEN
    clock.advance(seconds=600)
    first.will("a is back")
    assert (await chain.complete(prompting())).text == "a is back"


@pytest.mark.parametrize("script", [(SILENCE,), ("one ", Pause(0.01), "two"), (DOWN,), ("hal", CUT)], ids=["silent", "well", "down", "cut"])
async def test_a_turn_called_off_at_any_moment_leaves_no_call_and_no_half_open_breaker(clock: FakeClock, script: tuple[Step, ...]):
    for moment in range(40):
        first = FakeProvider(DOWN)
        chain = make(first, FakeProvider(*script), clock=clock, hedge=0.01)
        for permit in (chain.health.breaker(chain.rungs[0].id).permit(), chain.health.breaker(chain.rungs[0].id).permit()):
            assert permit is not None
            permit.failed(DOWN)
        clock.advance(seconds=30)
        first.will(*script)
        turn = asyncio.create_task(chain.complete(prompting(), listener=FakeListener()))
        for _ in range(moment):
            await asyncio.sleep(0.002 if moment > 20 else 0)
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        assert state(chain) is not BreakerState.HALF_OPEN
        assert await no_calls_run()


async def test_a_level_on_several_nodes_is_asked_node_by_node():
    nodes = [rung("llama", FakeProvider(DOWN), "n1"), rung("llama", FakeProvider("from the second"), "n2")]
    chain = FallbackChain(
        rungs=nodes,
        health=HealthBoard(database=None, clock=FakeClock(), monotonic=loop_time),
        budget=None,
        turn_seconds=TURN,
        hedge_seconds=HEDGE,
        stall_seconds=STALL,
    )
    done = await chain.complete(prompting())
    assert (done.level, done.text) == ("llama", "from the second")
    assert chain.rungs[0].id != chain.rungs[1].id


async def test_each_level_gets_the_prompt_fitted_to_its_window():
    small = FakeProvider("short")
    chain = make(FakeProvider(DOWN), small)
    await chain.complete(prompting("word " * 20_000))
    assert small.asked[0].tokens() + small.asked[0].max_output_tokens <= 4096


async def test_no_levels_at_all_is_told_at_once():
    with pytest.raises(AllLevelsFailed):
        await make().complete(prompting())


# What a failure costs in time: nothing is waited for (`make bench` has the milliseconds)


@pytest.mark.parametrize("error", [DOWN, RateLimited("429"), ProviderUnavailable("500")], ids=["refused", "429", "500"])
async def test_a_failing_first_level_keeps_nobody_waiting(error: ProviderError):
    began = loop_time()
    assert (await make(FakeProvider(error), FakeProvider("b speaks")).complete(prompting())).level == "b"
    assert loop_time() == began


async def test_an_open_breaker_keeps_nobody_waiting(clock: FakeClock):
    first = FakeProvider(DOWN)
    chain = make(first, FakeProvider("b speaks"), clock=clock)
    for _ in range(2):
        await chain.complete(prompting())
    began = loop_time()
    await chain.complete(prompting())
    assert (loop_time(), len(first.asked)) == (began, 2)


def test_attempts_say_what_happened():
    attempt = Attempt(level="gpt", provider="openai", model="m", outcome=AttemptOutcome.FAILED, detail="HTTP 500")
    assert str(attempt) == "gpt failed: HTTP 500"
    assert "gpt failed: HTTP 500" in str(AllLevelsFailed([attempt]))


def nodes_of(*providers: FakeProvider) -> FallbackChain:
    """A chain of one level on several nodes that hold its model; nobody looks at them here."""
    rungs = [rung("a", provider, node=f"n{number}") for number, provider in enumerate(providers, 1)]
    health = HealthBoard(database=None, clock=FakeClock(), monotonic=loop_time)
    mesh = Mesh(
        config=MeshConfig(nodes=tuple(NodeConfig(name=each.node, url="http://nobody") for each in rungs)), rungs=rungs, health=health
    )
    for each in rungs:
        mesh._states[each.node] = replace(mesh._states[each.node], is_up=True, resident={each.provider.model: 0})
    return FallbackChain(rungs=rungs, health=health, budget=None, turn_seconds=TURN, hedge_seconds=HEDGE, stall_seconds=STALL, mesh=mesh)


async def test_a_node_that_is_silent_for_twice_its_usual_is_joined_by_another_without_being_called_broken():
    first, second = FakeProvider(Pause(0.1), "one"), FakeProvider("two")
    chain = nodes_of(first, second)
    for _ in range(10):
        assert (await chain.complete(prompting(), levels=["a"])).text == "one"
    first.will(SILENCE)
    began = loop_time()
    done = await chain.complete(prompting())
    assert (done.text, round(loop_time() - began, 3)) == ("two", 0.2)
    assert chain.health.breaker(chain.rungs[0].id).outcomes == (True,) * 10
    assert (await chain.complete(prompting())).attempts[0].outcome is AttemptOutcome.ANSWERED, "the silent one is asked last now"


async def test_turns_that_lose_their_node_in_the_middle_go_on_where_there_is_least_to_do():
    """Of three nodes the first breaks off while it answers four: they are spread over the others, and each is answered once, cleanly."""
    broken = FakeProvider("half an ", Pause(1.0), StreamBroken("reset"))
    others = [FakeProvider("whole", Pause(1.0)), FakeProvider("whole", Pause(1.0))]
    chain = nodes_of(broken, *others)
    chain.mesh._states["n1"] = replace(chain.mesh._states["n1"], speed=400.0)
    listeners = [FakeListener() for _ in range(4)]
    done = await asyncio.gather(*(chain.complete(prompting(), listener=listener) for listener in listeners))
    assert [each.text for each in done] == ["whole"] * 4
    assert [listener.shown for listener in listeners] == ["whole"] * 4
    assert [len(other.asked) for other in (broken, *others)] == [4, 2, 2]
    assert all(state.in_flight == 0 for state in chain.mesh.states)


async def test_a_level_is_as_risky_as_its_nodes_that_can_be_asked():
    """Who is dead or drained shows no sign of trouble, and is no comfort."""
    chain = nodes_of(FakeProvider("one"), FakeProvider("two"), FakeProvider("three"))
    breaker = chain.health.breaker(chain.rungs[0].id)
    for is_failure in (False, False, False, True, False, True):
        permit = breaker.permit()
        assert permit
        permit.failed(DOWN) if is_failure else permit.succeeded()
    states = chain.mesh._states
    assert chain.risk("a") == 0.0
    states |= {"n2": replace(states["n2"], is_up=False), "n3": replace(states["n3"], is_drained=True)}
    assert chain.risk("a") > 0.5
