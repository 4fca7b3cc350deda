"""The ledger: what a durable turn costs, and how many a second SQLite sustains with synchronous=FULL."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bot.domain.address import Person
from bot.hub.hub import Hub

from benchmarks.figure import Figure, progress
from benchmarks.rig import CommitCount, InstantPush, message, raw_commits_per_second, robbie, unit_of_work_ms

TURNS = 300
CONVERSATIONS = 50
SUSTAINED = 10_000


async def durable_turn() -> AsyncIterator[Figure]:
    """Received, thought about at 0 ms, recorded, delivered: commits and milliseconds, by kind of door."""
    for door, channel in (("pull", "web"), ("pull, watched while it grows", "web"), ("push", "push")):
        with tempfile.TemporaryDirectory() as folder:
            push = InstantPush()
            async with robbie(Path(folder), adapters=(push,)) as (app, owner):
                commits = CommitCount(app.database)
                bare = await unit_of_work_ms(app.database)
                before = commits.count
                took = await _turns(app.hub, owner, channel, watched="watched" in door, push=push)
                per_turn = (commits.count - before) / TURNS
                bare = (bare + await unit_of_work_ms(app.database)) / 2
        p50 = statistics.median(took)
        yield Figure(name=f"commits of a durable turn ({door})", value=round(per_turn, 2), unit="commits", bar="<= 6", ok=per_turn <= 6.01)
        ratio = p50 / (bare * per_turn)
        yield Figure(
            name=f"durable turn p50, in bare units of work for each of its commits ({door})",
            value=round(ratio, 2),
            unit="ratio",
            bar="<= 3",
            ok=ratio <= 3,
            yardstick={"turn_p50_ms": round(p50, 3), "bare_unit_of_work_ms": round(bare, 3), "commits": round(per_turn, 2)},
        )


async def sustained() -> AsyncIterator[Figure]:
    """Ten thousand turns in fifty conversations, all open at once."""
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_commits_per_second(Path(folder))
        async with robbie(Path(folder)) as (app, owner):
            began = time.perf_counter()
            await asyncio.gather(*(_conversation(app.hub, owner, f"{owner.id}/c{number}") for number in range(CONVERSATIONS)))
            rate = SUSTAINED / (time.perf_counter() - began)
            async with app.database.reading() as work:
                inbox, outbox = await work.inbox.counts(), await work.outbox.counts()
        raw = (raw + raw_commits_per_second(Path(folder))) / 2
    lost, twice = SUSTAINED - inbox.get("answered", 0), outbox.get("sent", 0) - SUSTAINED
    yield Figure(name="sustained turns lost", value=lost, unit="turns", bar="0", ok=lost == 0)
    yield Figure(name="sustained turns answered twice", value=twice, unit="turns", bar="0", ok=twice == 0)
    yield Figure(
        name="sustained turns a second, of raw FULL commits a second",
        value=round(rate / raw, 4),
        unit="ratio",
        bar=">= 1/30 (0.0333)",
        ok=rate / raw >= 1 / 30,
        yardstick={"turns_per_second": round(rate, 1), "raw_commits_per_second": round(raw, 1)},
    )


async def _turns(hub: Hub, owner: Person, channel: str, *, watched: bool, push: InstantPush) -> list[float]:
    """One turn after another; milliseconds from receiving until it is delivered."""
    took = []
    address = f"{owner.id}/main"
    for _ in range(TURNS):
        inbound = message(owner, channel=channel, conversation=address)
        sent = len(push.took)
        began = time.perf_counter()
        receipt = await hub.receive(inbound, owner)
        if watched:
            with hub.feed.subscribe(receipt.conversation_id):
                await hub.wait_for_reply(receipt.event_id, seconds=10)
        else:
            await hub.wait_for_reply(receipt.event_id, seconds=10)
        while channel == "push" and len(push.took) == sent:
            await asyncio.sleep(0)
        took.append((time.perf_counter() - began) * 1000)
    return took


async def _conversation(hub: Hub, owner: Person, name: str) -> None:
    for number in range(SUSTAINED // CONVERSATIONS):
        receipt = await hub.receive(message(owner, conversation=name, text=f"Is it so, the {number}th time?"), owner)
        await hub.wait_for_reply(receipt.event_id, seconds=60)
        if number % 50 == 0 and name.endswith("c0"):
            progress(f"sustained: {number * CONVERSATIONS} of {SUSTAINED} turns")
