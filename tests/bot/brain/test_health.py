"""Breakers: when they open, how long they rest, who probes, and what a restart remembers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.brain.health import LAST_RESORT_SECONDS, BreakerState, CircuitBreaker, HealthBoard, Permit
from bot.domain.errors import (
    ContextTooLong,
    CredentialsRejected,
    ModelNotServed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from storage.database import Database
from tests.fakes import FakeClock

DOWN = ProviderUnavailable("refused")


def granted(breaker: CircuitBreaker) -> Permit:
    permit = breaker.permit()
    assert permit is not None
    return permit


def fail(breaker: CircuitBreaker, error: ProviderError = DOWN, times: int = 1) -> None:
    for _ in range(times):
        granted(breaker).failed(error)


def test_two_failures_in_a_row_open_it_however_well_it_was_before(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    for _ in range(50):
        granted(breaker).succeeded()
    fail(breaker)
    assert breaker.state is BreakerState.CLOSED
    fail(breaker)
    assert breaker.state is BreakerState.OPEN
    assert breaker.permit() is None


def test_clock_that_is_set_back_keeps_nobody_resting(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    clock.advance(seconds=-3600)
    granted(breaker).failed(DOWN)
    assert breaker.permit() is None
    clock.advance(seconds=-3600)
    granted(breaker).succeeded()


def test_last_resort_of_a_clock_that_was_ahead_is_no_hindrance(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    for ahead in (0, 3600):
        clock.advance(seconds=-ahead)
        permit = breaker.permit_as_last_resort()
        assert permit is not None
        permit.failed(DOWN)


def test_a_single_failure_now_and_then_never_opens_it(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    for _ in range(20):
        for _ in range(3):
            granted(breaker).succeeded()
        fail(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_half_of_the_outcomes_failing_opens_it(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker)
    granted(breaker).succeeded()
    fail(breaker)
    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize("error", [RequestRejected("bad"), ContextTooLong("long")])
def test_a_bad_request_cools_nothing(clock: FakeClock, error: ProviderError):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, error, times=10)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.outcomes == ()


@pytest.mark.parametrize("error", [CredentialsRejected("key"), ModelNotServed("gone"), RateLimited("429", retry_after=7)])
def test_one_failure_that_is_certain_to_repeat_is_enough(clock: FakeClock, error: ProviderError):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, error)
    assert breaker.state is BreakerState.OPEN


def test_retry_after_is_obeyed_to_the_second_even_as_the_last_resort(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, RateLimited("429", retry_after=90))
    clock.advance(seconds=89.9)
    assert breaker.permit() is None
    assert breaker.permit_as_last_resort() is None
    clock.advance(seconds=0.1)
    assert granted(breaker).is_probe


def test_the_longest_retry_after_of_turns_at_once_holds_and_a_success_begun_before_does_not_lift_it(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    first, second, third, fourth = (granted(breaker) for _ in range(4))
    first.failed(RateLimited("429", retry_after=10))
    second.failed(RateLimited("429", retry_after=30))
    third.failed(RateLimited("429", retry_after=20))
    fourth.succeeded()
    clock.advance(seconds=29)
    assert breaker.permit() is None
    clock.advance(seconds=1)
    assert breaker.permit() is not None


def test_a_rest_doubles_with_each_failed_probe_up_to_ten_minutes(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    rests = []
    for _ in range(7):
        assert breaker.retry_at is not None
        rests.append((breaker.retry_at - clock.now()).total_seconds())
        clock.moment = breaker.retry_at
        fail(breaker)
    assert rests == [30, 60, 120, 240, 480, 600, 600]


def test_an_outage_of_weeks_breaks_nothing(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    for _ in range(2000):  # a failed probe every ten minutes, for a fortnight
        clock.advance(seconds=600)
        fail(breaker)
    assert breaker.retry_at == clock.now() + timedelta(seconds=600)


def test_turns_that_fail_at_once_open_it_once(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    for permit in [granted(breaker) for _ in range(64)]:
        permit.failed(DOWN)
    assert breaker.openings == 1
    assert breaker.retry_at == clock.now() + timedelta(seconds=30)


def test_half_open_lets_a_single_probe_through_whose_success_closes_it(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    clock.advance(seconds=30)
    permits = [breaker.permit() for _ in range(10)]
    assert [permit is not None for permit in permits] == [True] + [False] * 9
    assert permits[0] is not None
    permits[0].succeeded()
    assert breaker.standing == ("closed", None)
    assert breaker.outcomes == (True,)


@pytest.mark.parametrize("ending", ["let_off", "rejected"])
def test_a_probe_that_told_nothing_is_followed_by_another_at_once(clock: FakeClock, ending: str):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    clock.advance(seconds=30)
    probe = granted(breaker)
    probe.let_off() if ending == "let_off" else probe.failed(RequestRejected("bad"))
    assert granted(breaker).is_probe


def test_what_a_call_from_before_the_opening_says_does_not_decide_for_the_probe(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    early, other = granted(breaker), granted(breaker)
    fail(breaker, times=2)
    clock.advance(seconds=30)
    probe = granted(breaker)
    early.failed(DOWN)
    other.let_off()
    assert breaker.state is BreakerState.HALF_OPEN
    probe.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_only_the_first_word_on_a_permit_counts(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    permit = granted(breaker)
    permit.succeeded()
    for _ in range(5):
        permit.failed(DOWN)
    permit.let_off()
    assert breaker.outcomes == (True,)


def test_the_last_resort_is_tried_every_few_seconds_by_one_at_a_time(clock: FakeClock):
    breaker = CircuitBreaker(clock=clock)
    fail(breaker, times=2)
    tried = breaker.permit_as_last_resort()
    assert tried is not None
    assert breaker.permit_as_last_resort() is None
    tried.failed(DOWN)
    assert breaker.permit_as_last_resort() is None
    clock.advance(seconds=LAST_RESORT_SECONDS)
    assert breaker.permit_as_last_resort() is not None


async def restarted(database: Database, clock: FakeClock, rung: str = "a") -> HealthBoard:
    board = HealthBoard(database=database, clock=clock)
    await board.load({rung: rung})
    return board


async def test_a_restart_forgets_neither_the_rest_nor_that_the_vendor_asked_for_it(database: Database, clock: FakeClock):
    board = HealthBoard(database=database, clock=clock)
    fail(board.breaker("a"), RateLimited("429", retry_after=50))
    await board.save_changes()
    breaker = (await restarted(database, clock)).breaker("a")
    assert breaker.permit() is None
    assert breaker.permit_as_last_resort() is None
    clock.advance(seconds=50)
    assert granted(breaker).is_probe


async def test_a_probe_that_died_with_its_process_is_forgotten(database: Database, clock: FakeClock):
    board = HealthBoard(database=database, clock=clock)
    fail(board.breaker("a"), times=2)
    clock.advance(seconds=30)
    granted(board.breaker("a"))
    await board.save_changes()
    assert granted((await restarted(database, clock)).breaker("a")).is_probe


async def test_a_recovery_is_remembered_too_and_unchanged_breakers_are_not_written(database: Database, clock: FakeClock):
    board = HealthBoard(database=database, clock=clock)
    fail(board.breaker("a"), times=2)
    granted(board.breaker("b")).succeeded()
    await board.save_changes()
    clock.advance(seconds=30)
    granted(board.breaker("a")).succeeded()
    await board.save_changes()
    async with database.reading() as work:
        rows = await work.health.all()
    assert [(row.rung, row.state) for row in rows] == [("a", "closed")]
    assert (await restarted(database, clock)).breaker("a").permit() is not None


def test_a_copy_knows_the_same_and_changes_nothing(clock: FakeClock):
    board = HealthBoard(database=None, clock=clock)
    fail(board.breaker("a"), times=2)
    for _ in range(10):
        board.note_first_token("a", 300.0)
    twin = board.copy()
    assert twin.breaker("a").standing == board.breaker("a").standing != HealthBoard(database=None, clock=clock).breaker("a").standing
    assert twin.first_token_p95_ms("a") == board.first_token_p95_ms("a") == 300.0
    clock.advance(seconds=30)
    granted(twin.breaker("a")).succeeded()
    assert board.breaker("a").state is BreakerState.OPEN


def test_in_a_copy_rested_rungs_may_be_asked_and_are_still_known_by_their_pace(clock: FakeClock):
    board = HealthBoard(database=None, clock=clock)
    for rung in ("a", "b"):
        fail(board.breaker(rung), RateLimited("429", retry_after=90))
    for _ in range(10):
        board.note_first_token("a", 300.0)
    twin = board.copy(rested={"a"})
    assert (twin.breaker("a").permit() is not None, twin.breaker("b").permit()) == (True, None)
    assert twin.first_token_p95_ms("a") == 300.0


def test_the_95th_percentile_is_learned_from_a_few_samples_on(clock: FakeClock):
    board = HealthBoard(database=None, clock=clock)
    for milliseconds in (100, 200, 300, 400):
        board.note_first_token("a", milliseconds)
    assert board.first_token_p95_ms("a") is None
    for milliseconds in range(500, 2100, 100):
        board.note_first_token("a", milliseconds)
    assert board.first_token_p95_ms("a") == 1900


async def test_latencies_survive_a_restart_and_new_ones_push_out_the_oldest(database: Database, clock: FakeClock):
    async with database.unit_of_work() as work:
        for milliseconds in range(1, 201):
            await work.usage.add(
                at=clock.now(), level="a", provider="p", model="m", outcome="answered", first_token_ms=float(milliseconds), latency_ms=1.0
            )
    board = await restarted(database, clock)
    assert board.first_token_p95_ms("a") == 190
    for _ in range(20):
        board.note_first_token("a", 0.0)
    assert board.first_token_p95_ms("a") == 190  # the twenty oldest went, not the twenty newest
