"""What durability costs: one turn against bare units of work, and many turns against the raw commits of the same disk."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import PULL, PUSH, Bench, running

TURNS = 300
WARM_UP = 30
TURNS_PER_CONVERSATION = 20
CONVERSATIONS, EACH = 50, 200


async def durable_turn(folder: Path) -> AsyncIterator[Figure]:
    """One turn at a time, model at 0 ms, each beside as many bare units of work as it commits."""
    async with running(folder) as bench:
        for name, channel, watched in (("pull", PULL, False), ("watched", PULL, True), ("push", PUSH, False)):
            progress(f"durable turn, {name}: {TURNS} turns")
            with ExitStack() as watching:
                commits, turn_ms, unit_ms = await _measure(bench, name, channel, watching if watched else None)
            yardstick = {"bare_unit_of_work_ms": unit_ms, "commits": commits}
            yield Figure(name=f"turn_{name}_commits", value=commits, unit="commits", bar="<= 6", ok=commits <= 6)
            ratio = turn_ms / (commits * unit_ms)
            bar = "<= 3 x as many bare units of work"
            yield Figure(name=f"turn_{name}_p50", value=turn_ms, unit="ms", bar=bar, ok=ratio <= 3, yardstick=yardstick, ratio=ratio)


async def _measure(bench: Bench, name: str, channel: str, watching: ExitStack | None) -> tuple[float, float, float]:
    """Commits per turn, and the medians of a turn and of a bare unit of work, in ms."""
    turns, units, commits = [], [], []
    for n in range(WARM_UP + TURNS):
        conversation = f"{name}{n // TURNS_PER_CONVERSATION}"
        if watching is not None and n % TURNS_PER_CONVERSATION == 0:
            receipt, _ = await bench.hear("first", conversation=conversation, channel=channel)
            await bench.app.hub.wait_for_reply(receipt, seconds=60)
            watching.enter_context(bench.app.hub.feed.subscribe(receipt.conversation_id))
        elif n % TURNS_PER_CONVERSATION == 0:
            await bench.turn("first", conversation=conversation, channel=channel)
        await asyncio.sleep(0.005)
        before, began = bench.commits(), time.perf_counter()
        await bench.turn(f"question {n}", conversation=conversation, channel=channel)
        turns.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.01)
        commits.append(bench.commits() - before)
        units.append(await _bare_unit(bench, f"{name}{n}"))
    return sum(commits[WARM_UP:]) / TURNS, p50(turns[WARM_UP:]), p50(units[WARM_UP:])


async def _bare_unit(bench: Bench, key: str) -> float:
    """Milliseconds of a unit of work with one insert."""
    began = time.perf_counter()
    async with bench.app.database.unit_of_work() as work:
        await work.incidents.add_once(kind="bench", key=key, detail="", now=datetime.now(UTC))
    return (time.perf_counter() - began) * 1000


async def sustained(folder: Path) -> AsyncIterator[Figure]:
    """Conversations side by side, each asking its next question when the last one is answered."""
    progress(f"sustained: {CONVERSATIONS} conversations x {EACH} turns")
    before = raw_commits_per_second()
    async with running(folder) as bench:

        async def converse(number: int) -> None:
            for n in range(EACH):
                await bench.turn(f"question {n}", conversation=f"c{number}")
                if number == 0 and n % 20 == 19:
                    progress(f"  {n + 1} of {EACH} in the first conversation")

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(CONVERSATIONS):
                group.create_task(converse(number))
        per_second = CONVERSATIONS * EACH / (time.perf_counter() - began)
        lost, twice = await _count(bench)
    raw = (before + raw_commits_per_second()) / 2
    yield Figure(name="sustained_lost", value=lost, unit="messages", bar="0", ok=lost == 0)
    yield Figure(name="sustained_twice", value=twice, unit="messages", bar="0", ok=twice == 0)
    yield Figure(
        name="sustained_turns",
        value=per_second,
        unit="turns/s",
        bar=">= 1/30 of the raw FULL commits/s",
        ok=per_second * 30 >= raw,
        yardstick={"raw_full_commits_per_second": raw},
        ratio=raw / per_second,
    )


async def _count(bench: Bench) -> tuple[int, int]:
    """Questions that were never answered, and those answered more than once."""
    asked, answers = set(), Counter[object]()
    async with bench.app.database.reading() as work:
        for number in range(CONVERSATIONS):
            conversation = await work.conversations.find(channel=PULL, key=f"c{number}")
            assert conversation is not None
            for message in await work.messages.latest(conversation.id, limit=10 * EACH):
                if message.direction == "in":
                    asked.add(message.id)
                else:
                    answers[message.reply_to] += 1
    return CONVERSATIONS * EACH - len(asked & answers.keys()), sum(count > 1 for count in answers.values())


def raw_commits_per_second(commits: int = 1500) -> float:
    """How often this disk can commit one row: SQLite alone, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
        began = time.perf_counter()
        for n in range(commits):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t (text) VALUES (?)", (f"row {n}",))
            connection.execute("COMMIT")
        per_second = commits / (time.perf_counter() - began)
        connection.close()
    return per_second
