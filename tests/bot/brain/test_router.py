"""Whom a question goes to first."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.cells import Cell
from bot.brain.reputation import Level
from bot.brain.router import EXPLORES_EVERY, Router
from bot.domain.thought import TaskType
from storage.database import Database
from tests.bot.brain.test_reputation import known

GPT, CLAUDE, LLAMA_70B, LLAMA_8B, TINY = (
    *("openai/gpt-6.1-sol", "anthropic/claude-sonnet-5-5", "ollama/llama3.3:70b", "ollama/llama3.1:8b"),
    "local/smollm2-135m-instruct",
)


def router(*, levels: Sequence[Level] = (), risk: Callable[[str], float] = lambda level: 0.0, seed: int = 1) -> Router:
    """The router over the levels of the shipped config; no database is looked at."""
    levels = levels or known(GPT, CLAUDE, LLAMA_70B, LLAMA_8B, TINY)
    return Router(database=cast("Database", None), levels=levels, risk=risk, chance=random.Random(seed))


@pytest.mark.parametrize(
    ("task_type", "order"),
    [
        (TaskType.QUICK, [LLAMA_8B, GPT, CLAUDE, LLAMA_70B, TINY]),
        (TaskType.COMPLEX, [GPT, CLAUDE, LLAMA_70B, LLAMA_8B, TINY]),
        (TaskType.CODE, [GPT, CLAUDE, LLAMA_70B, LLAMA_8B, TINY]),
        (TaskType.LONG_CONTEXT, [CLAUDE, GPT, LLAMA_70B, LLAMA_8B, TINY]),
        (TaskType.CREATIVE, [CLAUDE, GPT, LLAMA_70B, LLAMA_8B, TINY]),
    ],
)
def test_before_there_is_evidence_reputation_decides(task_type: TaskType, order: list[str]):
    route = router().choose(task_type, "x", {}, may_explore=True)
    assert list(route.levels) == order
    assert (route.why, route.expected) == (f"asked {order[0]}: {task_type}, by its reputation", None)


def test_levels_of_which_nothing_is_known_are_asked_in_configs_order():
    levels = known("local/b", "local/a", "local/c")
    assert router(levels=levels).choose(TaskType.CODE, "x", {}).levels == ("local/b", "local/a", "local/c")


def test_evidence_outweighs_reputation_and_is_told():
    cells = {
        CLAUDE: Cell(good=34, bad=7, answers=41, latency_ms=4000, cost_usd=0.004),
        GPT: Cell(good=10, bad=30, answers=40, latency_ms=4000, cost_usd=0.009),
    }
    route = router().choose(TaskType.CODE, "x", cells)
    assert route.levels == (CLAUDE, LLAMA_70B, LLAMA_8B, GPT, TINY)
    assert route.expected == pytest.approx((34 + 0.8 * 8) / 49)
    route = router(levels=known(GPT, CLAUDE)).choose(TaskType.CODE, "x", cells)
    assert route.why == f"asked {CLAUDE}: code, 0.82 over 41 answers, half the cost"


def test_a_level_below_the_floor_is_not_preferred_for_being_cheap():
    levels = known(GPT, LLAMA_8B)
    cells = {GPT: Cell(good=57, bad=43, answers=100, latency_ms=60_000, cost_usd=1.0), LLAMA_8B: Cell(good=53, bad=47, answers=100)}
    assert router(levels=levels).choose(TaskType.COMPLEX, "x", cells).levels == (GPT, LLAMA_8B)


def test_who_cannot_hold_the_question_comes_after_all_who_can():
    assert router(levels=[_level("small", 4000, 0.9), _level("large", 200_000, 0.6)]).choose(
        TaskType.LONG_CONTEXT, "x", {}, needs=20_000
    ).levels == ("large", "small")
    assert router(levels=[_level("small", 4000, 0.9), _level("large", 8000, 0.6)]).choose(
        TaskType.LONG_CONTEXT, "x", {}, needs=200_000
    ).levels == ("large", "small")


def test_a_level_that_is_likely_to_fail_is_asked_later():
    assert router(risk=lambda level: 0.5 * (level == GPT)).choose(TaskType.CODE, "x", {}).levels[0] == CLAUDE
    for nonsense in (math.nan, math.inf, -5.0):
        assert len(router(risk=lambda level, risk=nonsense: risk).choose(TaskType.CODE, "x", {}).levels) == 5


def test_it_explores_now_and_then_where_it_may_and_something_is_known():
    cells = {GPT: Cell(good=20, bad=20, answers=40), CLAUDE: Cell(good=1, bad=1, answers=2)}
    routing = router(levels=known(GPT, CLAUDE))
    seen = [routing.choose(TaskType.CODE, "x", cells, may_explore=True) for _ in range(300)]
    exploring = [place for place, route in enumerate(seen) if route.is_exploring]
    assert exploring
    assert all(place % EXPLORES_EVERY == EXPLORES_EVERY - 1 for place in exploring)
    assert {seen[place].why for place in exploring} == {f"asked {GPT} to learn how good it is: code, 0.56 over 40 answers, 21% of the cost"}
    assert not any(routing.choose(TaskType.CODE, "x", cells).is_exploring for _ in range(100))
    assert not any(routing.choose(TaskType.CODE, "x", {}, may_explore=True).is_exploring for _ in range(100))


def test_cells_of_levels_that_are_gone_are_no_trouble():
    assert router(levels=known(GPT, CLAUDE)).choose(TaskType.CODE, "x", {"gone": Cell(good=99, answers=99)}).levels == (GPT, CLAUDE)


COUNTS = st.floats(0, 1e7)
CELLS = st.builds(Cell, good=COUNTS, bad=COUNTS, answers=st.integers(0, 10**9), latency_ms=COUNTS, cost_usd=COUNTS)


@given(st.dictionaries(st.sampled_from([GPT, CLAUDE, TINY, "gone"]), CELLS), st.text(), st.integers(0, 10**6), st.booleans())
def test_every_level_is_named_once_whatever_is_believed(cells: dict[str, Cell], text: str, needs: int, may_explore: bool):
    route = router().choose(TaskType.COMPLEX, text, cells, needs=needs, may_explore=may_explore)
    assert sorted(route.levels) == sorted([GPT, CLAUDE, LLAMA_70B, LLAMA_8B, TINY])
    assert route.expected is None or 0 <= route.expected <= 1
    assert "\n" not in route.why


def _level(name: str, room: int, worth: float) -> Level:
    return Level(name=name, room=room, worth=dict.fromkeys(TaskType, worth))
