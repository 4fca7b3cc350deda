"""The daily allowance: checked before every call, settled after it, begun anew at the owner's midnight."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from bot.brain.budget import Budget
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.providers.faults import from_event
from bot.domain.clock import new_id
from bot.domain.errors import AllLevelsFailed, BudgetExhausted, ProviderUnavailable, RequestRejected, StorageUnavailable
from bot.domain.thought import Finish, Line, Prompt, Role, Usage
from storage.database import Database
from tests.fakes import CUT, SILENCE, FakeClock, FakeListener, FakePrices, FakeProvider, Pause, Step, prompting

HEDGE = 0.03


def make_budget(database: Database, clock: FakeClock, daily_usd: float = 5.0, timezone: str = "America/New_York") -> Budget:
    return Budget(database=database, pricing=FakePrices(), daily_usd=daily_usd, timezone=timezone, clock=clock)


def make_chain(
    database: Database, clock: FakeClock, *providers: FakeProvider, daily_usd: float = 5.0, turn: float = 2.0, hedge: float = HEDGE
) -> FallbackChain:
    return FallbackChain(
        rungs=[Rung(level=name, provider=one, context=4096, max_output_tokens=10) for name, one in zip("abcd", providers, strict=False)],
        health=HealthBoard(database=database, clock=clock),
        budget=make_budget(database, clock, daily_usd),
        turn_seconds=turn,
        hedge_seconds=hedge,
        stall_seconds=0.1,
    )


def paid(*script: Step, usage: Usage | None = None) -> FakeProvider:
    return FakeProvider(*script, provider="openai", usage=usage)


async def reserve(budget: Budget, prompt: Prompt | None = None) -> object:
    return await budget.reserve(level="a", provider="openai", model="m", prompt=prompt or prompting(), event_id=None)


async def spent(database: Database) -> float:
    async with database.reading() as work:
        return await work.usage.spent_since(datetime(2000, 1, 1, tzinfo=UTC))


async def test_what_costs_nothing_is_not_set_aside(database: Database, clock: FakeClock):
    budget = make_budget(database, clock, daily_usd=0)
    assert await budget.reserve(level="e", provider="local", model="m", prompt=prompting(), event_id=None) is None


async def test_the_most_a_call_can_cost_is_set_aside_before_it(database: Database, clock: FakeClock):
    prompt = Prompt(system="abc", brief_system="", lines=(Line(role=Role.USER, text="déjà"),), max_output_tokens=10)
    assert await reserve(make_budget(database, clock), prompt) is not None
    assert await spent(database) == pytest.approx((3 + 6 + 8) * 0.001 + 10 * 0.01)


async def test_beyond_the_allowance_nothing_is_set_aside(database: Database, clock: FakeClock):
    budget = make_budget(database, clock, daily_usd=0.05)
    await reserve(budget)
    with pytest.raises(BudgetExhausted):
        await reserve(budget)


async def test_calls_at_the_same_moment_never_pass_the_allowance_together(database: Database, clock: FakeClock):
    one = make_budget(database, clock).most_usd("a", "openai", "m", prompting())
    budget = make_budget(database, clock, daily_usd=one * 3.5)
    done = await asyncio.gather(*(reserve(budget) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExhausted) for result in done) == 7
    assert await spent(database) <= one * 3.5


@pytest.mark.parametrize(
    ("now", "timezone", "midnight"),
    [
        ("2026-11-22T12:00", "America/New_York", "2026-11-22T05:00"),
        ("2026-11-22T04:59", "America/New_York", "2026-11-21T05:00"),
        ("2026-03-08T12:00", "America/New_York", "2026-03-08T05:00"),  # clocks go forward at two
        ("2026-11-01T12:00", "America/New_York", "2026-11-01T04:00"),  # and back
        ("2026-11-02T04:30", "America/New_York", "2026-11-01T04:00"),  # a day of 25 hours
        ("2026-11-01T05:30", "America/Havana", "2026-11-01T04:00"),  # half past midnight for the second time
        ("2026-03-08T05:30", "America/Havana", "2026-03-08T05:00"),  # a day without a midnight
        ("2026-11-22T12:00", "Asia/Kathmandu", "2026-11-21T18:15"),
    ],
)
def test_the_day_begins_at_the_owners_midnight(clock: FakeClock, now: str, timezone: str, midnight: str):
    clock.moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    unused = Database("sqlite+aiosqlite:///unused.db", organization="default")
    assert make_budget(unused, clock, timezone=timezone).day_began() == datetime.fromisoformat(midnight).replace(tzinfo=UTC)


async def test_a_new_day_brings_a_new_allowance(database: Database, clock: FakeClock):
    budget = make_budget(database, clock, daily_usd=0.05)
    await reserve(budget)
    clock.moment = datetime(2026, 11, 23, 4, 59, tzinfo=UTC)
    with pytest.raises(BudgetExhausted):
        await reserve(budget)
    clock.advance(seconds=60)
    await reserve(budget)


# In the chain


async def test_what_was_not_needed_is_free_again(database: Database, clock: FakeClock):
    chain = make_chain(database, clock, paid("hello", usage=Usage(input_tokens=7, output_tokens=2)))
    done = await chain.complete(prompting())
    assert done.cost_usd == pytest.approx(7 * 0.001 + 2 * 0.01)
    await make_budget(database, clock).settle(done.attempts, event_id=None)
    assert await spent(database) == pytest.approx(done.cost_usd)


@pytest.mark.parametrize(
    ("script", "is_charged"),
    [
        ((ProviderUnavailable("refused"),), False),
        ((RequestRejected("400"),), False),
        ((CUT,), True),
        (("half an ans", CUT), True),
        ((SILENCE,), True),
        (("half", SILENCE), True),
    ],
    ids=["away", "refused", "cut before a word", "cut", "silent", "stalled"],
)
async def test_every_ending_of_a_call_is_settled(database: Database, clock: FakeClock, script: tuple[Step, ...], is_charged: bool):
    done = await make_chain(database, clock, paid(*script), FakeProvider("free")).complete(prompting())
    await make_budget(database, clock).settle(done.attempts, event_id=None)
    assert (await spent(database) > 0) is is_charged
    assert await spent(database) == pytest.approx(done.cost_usd)


@pytest.mark.parametrize(
    "script",
    [
        (CUT,),
        ("half an ans", CUT),
        (SILENCE,),
        ("half", SILENCE),
        (Pause(HEDGE * 3), "late"),
        (Finish(reason="refusal"),),
        (from_event("x", codes=("overloaded_error",)),),
    ],
)
async def test_what_nobody_counted_stays_spent_to_the_last_cent_of_what_was_set_aside(
    database: Database, clock: FakeClock, script: tuple[Step, ...]
):
    """A model that thinks before it speaks is paid for what it thought, also where it was hung up on."""
    most = make_budget(database, clock).most_usd("a", "openai", "m-1", prompting().fitted(context=4096, output=10))
    done = await make_chain(database, clock, paid(*script), FakeProvider("free")).complete(prompting())
    await make_budget(database, clock).settle(done.attempts, event_id=None)
    assert await spent(database) == pytest.approx(most)


@pytest.mark.parametrize("reason", ["length", "refusal"])
async def test_what_a_vendor_counted_is_paid_though_it_was_no_answer(database: Database, clock: FakeClock, reason: str):
    used = Usage(input_tokens=7, output_tokens=10)
    done = await make_chain(database, clock, paid(Finish(usage=used, reason=reason)), FakeProvider("free")).complete(prompting())
    assert done.cost_usd == pytest.approx(7 * 0.001 + 10 * 0.01)


async def test_a_vendor_who_does_not_count_is_reckoned(database: Database, clock: FakeClock):
    done = await make_chain(database, clock, paid("hello there")).complete(prompting())
    assert done.attempts[0].usage.input_tokens == prompting().tokens()
    assert done.attempts[0].usage.output_tokens > 0


@pytest.mark.parametrize("ends", ["called off", "listener", "called off early"])
async def test_a_turn_that_nobody_will_hear_of_settles_itself(database: Database, clock: FakeClock, ends: str):
    provider = paid("word", SILENCE)
    chain = make_chain(database, clock, provider)
    turn = asyncio.create_task(chain.complete(prompting(), listener=FakeListener(breaks=OSError() if ends == "listener" else None)))
    while not provider.asked and not turn.done():
        await asyncio.sleep(0)
    if ends == "called off":
        await asyncio.sleep(0.01)
    if ends != "listener":
        turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    most = make_budget(database, clock).most_usd("a", "openai", "m-1", prompting().fitted(context=4096, output=10))
    assert await spent(database) == pytest.approx(most)


async def test_over_the_allowance_a_free_level_answers_and_it_is_said(database: Database, clock: FakeClock):
    first = paid("dear")
    done = await make_chain(database, clock, first, FakeProvider("free"), daily_usd=0.01).complete(prompting())
    assert (done.text, done.over_budget) == ("free", True)
    assert done.why == "b answered, a would have passed today's allowance"
    assert not first.asked


async def test_a_second_call_that_the_allowance_rules_out_is_no_reason_to_say_so(database: Database, clock: FakeClock):
    most = make_budget(database, clock).most_usd("a", "openai", "m-1", prompting().fitted(context=4096, output=10))
    chain = make_chain(database, clock, paid(Pause(HEDGE * 2), "dear"), paid("dear too"), daily_usd=most * 1.5)
    done = await chain.complete(prompting())
    assert (done.text, done.over_budget) == ("dear", False)


async def test_a_probe_that_the_allowance_rules_out_does_not_block_the_next(database: Database, clock: FakeClock):
    first = paid(ProviderUnavailable("down"))
    chain = make_chain(database, clock, first, daily_usd=5.0)
    for _ in range(2):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    clock.advance(seconds=30)
    thrifty = make_chain(database, clock, first, daily_usd=0.0)
    thrifty.health = chain.health
    with pytest.raises(AllLevelsFailed):
        await thrifty.complete(prompting())
    assert chain.health.breaker(chain.rungs[0].id).state is BreakerState.OPEN
    first.will("back")
    assert (await chain.complete(prompting())).text == "back"


async def test_storage_that_fails_while_a_probe_is_set_aside_does_not_block_the_next(database: Database, clock: FakeClock):
    first = paid(ProviderUnavailable("down"))
    chain = make_chain(database, clock, first)
    for _ in range(2):
        with pytest.raises(AllLevelsFailed):
            await chain.complete(prompting())
    clock.advance(seconds=30)
    away = make_chain(Database("sqlite+aiosqlite:////nowhere/at/all.db", organization="default"), clock, first)
    away.health = chain.health
    with pytest.raises(StorageUnavailable):
        await away.complete(prompting())
    assert chain.health.breaker(chain.rungs[0].id).state is BreakerState.OPEN


async def test_an_answer_is_worth_more_than_a_note_about_its_author(clock: FakeClock):
    nowhere = Database("sqlite+aiosqlite:////nowhere/at/all.db", organization="default")
    chain = make_chain(nowhere, clock, FakeProvider(ProviderUnavailable("down")), FakeProvider("free"))
    for _ in range(2):
        assert (await chain.complete(prompting())).text == "free"


async def test_usage_is_recorded_for_the_message_it_was_for(database: Database, clock: FakeClock):
    event = new_id()
    done = await make_chain(database, clock, paid(ProviderUnavailable("x")), FakeProvider("free")).complete(prompting(), event_id=event)
    await make_budget(database, clock).settle(done.attempts, event_id=event)
    async with database.reading() as work:
        assert await work.usage.first_token_ms("b", limit=5)
        assert not await work.usage.first_token_ms("a", limit=5)
