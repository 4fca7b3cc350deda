"""`kill -9` a hundred times under load, and what is lost or repeated; the harness is that of tests/kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, progress
from tests.kill.harness import STATES, judge, kill_at, kill_at_random, nursery
from tests.kill.victim import Plan

KILLS = 100


async def random_kills(folder: Path) -> AsyncIterator[Figure]:
    """First at every state of a turn, then at random moments."""
    with nursery() as hubs:
        verdicts = []
        for state in STATES:
            progress(f"kill -9 at {state}")
            (place := folder / state).mkdir()
            plan = Plan(url=f"sqlite+aiosqlite:///{place}/robbie.db", folder=place, conversations=4, messages=5)
            await asyncio.to_thread(partial(kill_at, hubs, plan, state, number=6))
            verdicts.append(await judge(plan))
        good = sum(verdict.is_good for verdict in verdicts)
        yield Figure(name="kill_states_survived", value=good, unit="states", bar=f"{len(STATES)}", ok=good == len(STATES))
        plan = Plan(url=f"sqlite+aiosqlite:///{folder}/robbie.db", folder=folder, conversations=8, messages=6 * KILLS, delay_seconds=0.04)
        await asyncio.to_thread(partial(kill_at_random, hubs, plan, kills=KILLS, seed=2026, progress=_count))
        verdict = await judge(plan)
    under = {"kills": verdict.kills, "acknowledged": verdict.acknowledged, "conversations": plan.conversations}
    for name, value in (
        ("lost", verdict.lost),
        ("answered_twice", verdict.answered_twice),
        ("unmarked_repeats", verdict.unmarked),
        ("out_of_order", verdict.out_of_order),
    ):
        yield Figure(name=f"kill_random_{name}", value=value, unit="messages", bar="0", ok=value == 0, yardstick=under)
    most = verdict.most_repeats_per_kill_and_conversation
    under |= {"repeats_in_all": verdict.repeats}
    yield Figure(name="kill_random_repeats", value=most, unit="per conversation and kill", bar="<= 1", ok=most <= 1, yardstick=under)


def _count(done: int) -> None:
    if done % 10 == 0:
        progress(f"  {done} of {KILLS} random kills")
