"""`kill -9` at every state of a turn, and at random moments under load: nothing is lost, and what may be a repeat says so.

The whole of it, 100 random kills, is run by `make bench`, or by `ROBBIE_KILLS=100 make test ARGS="-k random"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import sqlite_url
from tests.kill.harness import STATES, Nursery, judge, kill_at, kill_at_random, nursery
from tests.kill.victim import Plan

KILLS = int(os.environ.get("ROBBIE_KILLS", "6"))


@pytest.fixture(scope="module")
def hubs() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
async def test_killed_at_each_state_of_a_turn(state: str, database_url: str, tmp_path: Path, hubs: Nursery) -> None:
    plan = Plan(url=database_url, folder=tmp_path, conversations=4, messages=5)
    kill_at(hubs, plan, state, number=6)
    verdict = await judge(plan)
    assert verdict.is_good, verdict
    assert (verdict.acknowledged, verdict.kills) == (20, 1)
    assert verdict.repeats >= (1 if state == "sent" else 0), verdict


@pytest.mark.slow
@pytest.mark.either
@pytest.mark.parametrize("state", ["shown", "completed", "recorded", "sending", "sent"])
async def test_killed_while_or_after_an_answer_is_seen_growing(state: str, database_url: str, tmp_path: Path, hubs: Nursery) -> None:
    plan = Plan(url=database_url, folder=tmp_path, conversations=4, messages=5, delay_seconds=0.1, shows=True)
    kill_at(hubs, plan, state, number=3)
    verdict = await judge(plan)
    assert verdict.is_good, verdict
    assert (verdict.acknowledged, verdict.kills) == (20, 1)


@pytest.mark.slow
@pytest.mark.parametrize("shows", [False, True])
async def test_killed_at_random_moments_under_load(shows: bool, sqlite_file: Path, tmp_path: Path, hubs: Nursery) -> None:
    plan = Plan(url=sqlite_url(sqlite_file), folder=tmp_path, conversations=6, messages=20 + 4 * KILLS, delay_seconds=0.04, shows=shows)
    kill_at_random(hubs, plan, kills=KILLS, seed=2026)
    verdict = await judge(plan)
    assert verdict.is_good, verdict
    assert verdict.kills == KILLS
