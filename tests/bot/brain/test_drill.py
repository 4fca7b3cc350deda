"""The fire drill: real models, pretended faults, and nothing left behind but what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bot.brain.brain import Brain
from bot.brain.budget import Budget
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.context import ContextBuilder
from bot.brain.drill import Drill, Fault, Rehearsal, drill_question
from bot.brain.health import HealthBoard
from bot.brain.providers.offline import OUT_OF_REACH, OfflineRung
from bot.brain.reactive import Reactive
from bot.domain.address import Person
from bot.domain.errors import CredentialsRejected, ProviderError, ProviderUnavailable, RateLimited
from bot.domain.thought import Usage
from tests.fakes import SILENCE, FakeClock, FakePrices, FakeProvider, Pause
from tests.stage import Stage

HEDGE = 0.05
Build = Callable[..., Drill]


@pytest.fixture
def health(stage: Stage, clock: FakeClock) -> HealthBoard:
    return HealthBoard(database=stage.database, clock=clock)


@pytest.fixture
def build(stage: Stage, clock: FakeClock, health: HealthBoard) -> Build:
    def drill_of(*levels: tuple[str, FakeProvider]) -> Drill:
        database = stage.database
        rungs = [
            Rung(level=name, provider=one, context=4096, max_output_tokens=10, node=str(place)) for place, (name, one) in enumerate(levels)
        ]
        reactive = Reactive(database=database, health=health, rungs=[], clock=clock)
        context, offline = ContextBuilder(database=database, owner="Allan", clock=clock), OfflineRung(database=database)
        budget = Budget(database=database, pricing=FakePrices(), daily_usd=5.0, timezone="UTC", clock=clock)
        chain = FallbackChain(rungs=rungs, health=health, budget=budget, turn_seconds=0.4, hedge_seconds=HEDGE, stall_seconds=0.1)
        return Drill(
            chain=chain,
            brain_over=lambda chain: Brain(reactive=reactive, context=context, chain=chain, offline=offline),
            database=database,
            clock=clock,
        )

    return drill_of


async def hold(drill: Drill, allan: Person, clock: FakeClock, fault: Fault = Fault.REFUSED) -> list[Rehearsal]:
    return [rehearsal async for rehearsal in drill.rehearse(drill_question(allan, clock), fault)]


async def spent(stage: Stage) -> float:
    async with stage.database.reading() as work:
        return await work.usage.spent_since(datetime(2000, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("fault", Fault)
async def test_every_rung_is_shown_from_the_first_to_the_honest_line(build: Build, allan: Person, clock: FakeClock, fault: Fault):
    held = await hold(build(("a", FakeProvider("from a")), ("b", FakeProvider("from b"))), allan, clock, fault)
    assert [(one.failed, one.level) for one in held] == [((), "a"), (("a",), "b"), (("a", "b"), "offline")]
    assert [one.seen for one in held[:2]] == ["from a", "from b"]
    assert held[2].seen in OUT_OF_REACH
    assert all(0 < one.first_token_ms <= one.latency_ms for one in held)


async def test_times_are_those_of_the_fault(build: Build, allan: Person, clock: FakeClock):
    drill = build(("a", FakeProvider("from a")), ("b", FakeProvider("slow", Pause(0.08), " end")))
    silent = await hold(drill, allan, clock, Fault.SILENT)
    assert silent[1].first_token_ms >= HEDGE * 1000
    assert silent[1].latency_ms >= silent[1].first_token_ms + 75
    assert silent[2].latency_ms >= 400
    refused = await hold(drill, allan, clock, Fault.REFUSED)
    assert refused[1].first_token_ms < silent[1].first_token_ms


async def test_the_first_word_is_that_of_the_text_that_stayed(build: Build, allan: Person, clock: FakeClock):
    held = await hold(build(("a", FakeProvider("x")), ("b", FakeProvider(Pause(0.03), "from b"))), allan, clock, Fault.CUT)
    assert held[1].seen == "from b"
    assert held[1].first_token_ms >= 30


async def test_no_real_breaker_is_tripped_and_no_real_level_is_asked_that_is_out_of_action(
    build: Build, allan: Person, clock: FakeClock, health: HealthBoard, stage: Stage
):
    first, second = FakeProvider("from a"), FakeProvider("from b")
    drill = build(("a", first), ("b", second))
    for fault in Fault:
        await hold(drill, allan, clock, fault)
    assert len(first.asked) == len(Fault)
    assert len(second.asked) == len(Fault)
    async with stage.database.reading() as work:
        assert await work.health.all() == []


async def test_levels_take_part_in_their_present_state(build: Build, allan: Person, clock: FakeClock, health: HealthBoard):
    first = FakeProvider("from a")
    drill = build(("a", first), ("b", FakeProvider("from b")))
    for _ in range(2):
        permit = health.breaker("a/local/m-1@0").permit()
        assert permit is not None
        permit.failed(ProviderUnavailable("really down"))
    held = await hold(drill, allan, clock)
    assert held[0].level == "b"
    assert not first.asked


@pytest.mark.parametrize("error", [ProviderUnavailable("really down"), CredentialsRejected("401"), RateLimited("429", retry_after=900)])
@pytest.mark.parametrize("fault", Fault)
async def test_a_fault_is_practised_on_a_level_that_rests_and_its_rest_goes_on(
    build: Build, allan: Person, clock: FakeClock, health: HealthBoard, stage: Stage, fault: Fault, error: ProviderError
):
    drill = build(("a", FakeProvider("from a")), ("b", FakeProvider("from b")))
    resting = health.breaker("a/local/m-1@0")
    while permit := resting.permit():
        permit.failed(error)
    before = resting.standing, health.first_token_p95_ms("a/local/m-1@0")
    held = await hold(drill, allan, clock, fault)
    assert [(one.failed, one.level) for one in held] == [((), "b"), (("a",), "b"), (("a", "b"), "offline")]
    assert "a was passed over" in held[0].why
    assert not any("passed over" in one.why for one in held[1:])
    assert (resting.standing, health.first_token_p95_ms("a/local/m-1@0")) == before
    assert resting.permit() is None


async def test_a_level_on_several_nodes_fails_as_one(build: Build, allan: Person, clock: FakeClock):
    nodes = FakeProvider("node one"), FakeProvider("node two")
    held = await hold(build(("llama", nodes[0]), ("llama", nodes[1]), ("b", FakeProvider("from b"))), allan, clock)
    assert [(one.failed, one.level) for one in held] == [((), "llama"), (("llama",), "b"), (("llama", "b"), "offline")]


@pytest.mark.parametrize("fault", Fault)
async def test_real_answers_are_paid_for_and_pretended_faults_are_not(
    build: Build, allan: Person, clock: FakeClock, stage: Stage, fault: Fault
):
    usage = Usage(input_tokens=10, output_tokens=1)
    drill = build(
        ("a", FakeProvider("from a", provider="openai", usage=usage)), ("b", FakeProvider("from b", provider="openai", usage=usage))
    )
    await hold(drill, allan, clock, fault)
    assert await spent(stage) == pytest.approx(2 * 0.02)


async def test_a_drill_broken_off_leaves_nothing_set_aside(build: Build, allan: Person, clock: FakeClock, stage: Stage):
    usage = Usage(input_tokens=10, output_tokens=1)
    rehearsals = build(("a", FakeProvider("from a", provider="openai", usage=usage))).rehearse(drill_question(allan, clock), Fault.SILENT)
    assert (await anext(rehearsals)).level == "a"
    await rehearsals.aclose()
    assert await spent(stage) == pytest.approx(0.02)


async def test_a_drill_called_off_in_the_middle_of_a_fault_pays_for_nothing_but_real_calls(
    build: Build, allan: Person, clock: FakeClock, stage: Stage, health: HealthBoard
):
    usage = Usage(input_tokens=10, output_tokens=1)
    second = FakeProvider(SILENCE)
    drill = build(("a", FakeProvider("from a", provider="openai", usage=usage)), ("b", second))
    rehearsals = drill.rehearse(drill_question(allan, clock), Fault.SILENT)
    await anext(rehearsals)
    rehearsing = asyncio.ensure_future(anext(rehearsals))
    while not second.asked:
        await asyncio.sleep(0.01)
    rehearsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rehearsing
    assert await spent(stage) == pytest.approx(0.02)
    assert health.breaker("a/openai/m-1@0").outcomes == ()


async def test_the_pace_of_a_drill_is_not_learned(build: Build, allan: Person, clock: FakeClock, stage: Stage):
    await hold(build(("a", FakeProvider("from a"))), allan, clock)
    async with stage.database.reading() as work:
        assert await work.usage.first_token_ms("a", limit=5) == []


async def test_nothing_reaches_the_ledger(build: Build, allan: Person, clock: FakeClock, stage: Stage):
    await hold(build(("a", FakeProvider("from a"))), allan, clock)
    async with stage.database.reading() as work:
        assert await work.messages.said_by(allan.id, limit=5) == []
        assert await work.inbox.counts() == {}
