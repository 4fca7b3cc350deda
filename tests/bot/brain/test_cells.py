"""How evidence is made of what became of answers."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.cells import HALF_LIFE, PER_DAY, cell_of, cells_from
from storage.models.learning import RoutingArm
from storage.repositories.decisions import Scored

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALLAN, GRACE = UUID(int=1), UUID(int=2)


def scored(
    level: str = "gpt", score: float = 1.0, *, who: UUID = ALLAN, days_ago: float = 0, said: bool = True, ms: float = 1000.0
) -> Scored:
    """What became of an answer."""
    at = NOON - timedelta(days=days_ago)
    return Scored(level=level, user_id=who, at=at, value=1.0 if said else None, score=score, latency_ms=ms, cost_usd=0.01)


def test_a_thousand_thumbs_of_a_day_count_as_a_few():
    flood = [scored(score=0.0) for _ in range(1000)]
    older = [scored(who=GRACE, days_ago=day) for day in range(1, 20)]
    cell = cells_from([*flood[:400], *older])["gpt"]
    assert cell.bad <= PER_DAY
    assert cell.good > 2 * PER_DAY  # who came before is not pushed out


def test_old_truth_fades_also_of_a_level_that_nobody_asks():
    newer = [scored("claude", days_ago=place / 4) for place in range(int(HALF_LIFE))]
    cells = cells_from([*newer, scored("gpt", days_ago=100)])
    assert cells["gpt"].good == pytest.approx(0.5, rel=0.02)


def test_a_word_weighs_more_than_silence():
    cell = cells_from([scored(score=0.0, said=True), *(scored(score=1.0, said=False, days_ago=1) for _ in range(3))])["gpt"]
    assert cell.bad > cell.good


def test_latency_and_cost_are_those_of_late():
    cell = cells_from([*(scored(ms=1000, days_ago=n) for n in range(60)), *(scored(ms=9000, days_ago=n) for n in range(60, 200))])["gpt"]
    assert 1000 < cell.latency_ms < 5000


SCORES = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(st.builds(scored, st.sampled_from(["gpt", "claude"]), SCORES, days_ago=st.floats(-1e4, 1e4), said=st.booleans(), ms=SCORES))
)
def test_whatever_was_written_down_evidence_is_finite_and_no_more_than_its_answers(outcomes: list[Scored]):
    for level, cell in cells_from(outcomes).items():
        told = [cell.good, cell.bad, cell.latency_ms, cell.cost_usd]
        assert all(math.isfinite(each) and each >= 0 for each in told)
        assert cell.good + cell.bad <= cell.answers <= sum(each.level == level for each in outcomes)


def test_a_row_that_holds_nonsense_is_a_cell_all_the_same():
    nonsense = {"good": math.nan, "bad": -1.0, "answers": -3, "latency_ms": math.inf, "cost_usd": math.nan}
    cell = cell_of(RoutingArm(organization_id="default", task_type="code", level="gpt", updated_at=NOON, **nonsense))
    assert (cell.good, cell.bad, cell.answers, cell.latency_ms, cell.cost_usd) == (0, 0, 0, 0, 0)
