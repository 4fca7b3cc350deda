"""What is foretold of a rung, and what predictions come to afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.brain.forecast import ALARM, HORIZON, Score, risk_of, scored
from bot.brain.health import HealthBoard
from bot.domain.errors import ProviderUnavailable
from tests.clock import FakeClock

WELL = [True] * 12
STEADY = [400.0, 450.0, 380.0, 410.0, 390.0, 440.0, 420.0, 400.0] * 3
NOON = datetime.fromisoformat("2026-11-22T12:00+00:00")


@pytest.mark.parametrize(
    ("outcomes", "first_tokens", "is_feared"),
    [
        ([], [], False),
        ([], [*STEADY, 4000.0, 4000.0, 4000.0, 4000.0], False),
        ([False], [], False),
        ([True], [9000.0], False),
        ([False, True, False], [], True),
        ([*WELL, False], STEADY, False),
        ([*WELL, False, True, True, False], STEADY, True),
        ([*WELL, False, *WELL], STEADY, False),
        (WELL, STEADY, False),
        (WELL, [*STEADY, 90_000.0], False),
        (WELL, [0.1, *STEADY, 800.0, 1000.0, 1300.0, 1700.0], True),
        (WELL, [*STEADY, 800.0, 1000.0, 1300.0, 1700.0], True),
        (WELL, [30.0, 3000.0, 100.0, 900.0] * 6, False),
        (WELL, [math.nan, math.inf, -1.0, 0.0] * 20, False),
    ],
)
def test_what_is_feared(outcomes: Sequence[bool], first_tokens: Sequence[float], is_feared: bool):
    assert (risk_of(outcomes, first_tokens) >= ALARM) is is_feared


@given(some.lists(some.booleans(), max_size=30), some.lists(some.floats(), max_size=60), some.timedeltas())
def test_a_risk_is_a_probability_whatever_was_seen(outcomes: list[bool], first_tokens: list[float], age: timedelta):
    assert 0.0 <= risk_of(outcomes, first_tokens, age=age) <= 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_old_frightens_less_also_where_the_clock_was_set_back(sign: int):
    outcomes = [*WELL, False, True, False]
    assert risk_of(outcomes, [], age=sign * HORIZON) == pytest.approx(risk_of(outcomes, []) / 2)
    assert risk_of(outcomes, [], age=sign * timedelta(days=3650)) < 1e-9


def test_a_rung_that_is_known_to_have_failed_is_not_foretold(clock: FakeClock):
    """The chain passes it over and probes it in its own time: a rank lowered as well would keep the probe away."""
    health = HealthBoard(database=None, clock=clock)
    for _ in range(2):
        permit = health.breaker("a").permit()
        assert permit
        permit.failed(ProviderUnavailable("gone"))
    assert health.risk("a") is None


def at(minutes: float, level: str = "a") -> tuple[str, datetime]:
    return level, NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("predictions", "failures", "score"),
    [
        ([], [], Score(0, 0, 0, 0)),
        ([at(0)], [at(5), at(6)], Score(1, 1, 1, 1)),
        ([at(0)], [at(11), at(12)], Score(1, 0, 1, 0)),
        ([at(0)], [at(5)], Score(1, 1, 0, 0)),
        ([at(0)], [at(5, "b"), at(6, "b")], Score(1, 0, 1, 0)),
        ([at(5)], [at(4), at(6)], Score(1, 1, 1, 0)),
        ([at(0)], [at(9), at(2), at(16), at(60), at(61)], Score(1, 1, 2, 1)),
    ],
)
def test_what_predictions_come_to(predictions: Sequence[tuple[str, datetime]], failures: Sequence[tuple[str, datetime]], score: Score):
    assert scored(predictions, failures) == score
