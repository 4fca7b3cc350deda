"""What doors do to one another and to order: mixed events with repeats, and a channel that refuses everything beside one that does not."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import Bench, InstantPush, running
from bot.domain.message import InboundKind

EVENTS = 1000
CONVERSATIONS = 10
REFUSES_SECONDS = 60.0
PER_SECOND = 10
QUIET_SECONDS = 10.0


async def mixed_events(folder: Path) -> AsyncIterator[Figure]:
    """Messages, commands, edits, deletions and reactions at two doors, every third told again: who is answered, how often, in order."""
    progress(f"mixed events: {EVENTS}, every third repeated")
    slack, telegram = InstantPush("slack"), InstantPush("telegram")
    dice = random.Random(7)
    asked: dict[str, list[str]] = defaultdict(list)
    async with running(folder, others=[slack, telegram]) as bench:
        for number in range(EVENTS):
            channel, key = dice.choice(["slack", "telegram"]), str(dice.randrange(CONVERSATIONS))
            earlier = asked[f"{channel}/{key}"]
            kind = dice.choice(["message", "message", "message", "command", "edit", "delete", "reaction"])
            event = {"channel": channel, "conversation": key, "external_id": f"e{number}", "text": f"q{number}"}
            if kind in ("message", "command"):
                earlier.append(f"e{number}")
                event |= {"kind": InboundKind(kind), "text": f"/note {number}" if kind == "command" else f"q{number}"}
            else:
                event |= {"kind": InboundKind(kind), "target": "nothing" if kind == "reaction" else "long ago"}
            for _ in range(2 if number % 3 == 0 else 1):
                await bench.bring(**event)
        await _quiet(bench)
    answered = defaultdict(list)
    for push in (slack, telegram):
        for _, outgoing in push.said:
            answered[f"{push.channel}/{outgoing.address.conversation}"].append(outgoing.reply_to)
    lost = sum(len(set(expected) - set(answered[key])) for key, expected in asked.items())
    twice = sum(len(said) - len(set(said)) for said in answered.values())
    disordered = sum(expected != answered[key] for key, expected in asked.items() if set(expected) == set(answered[key]))
    yield Figure(name="doors_mixed_lost", value=lost, unit="messages", bar="0", ok=lost == 0)
    yield Figure(name="doors_mixed_twice", value=twice, unit="replies", bar="0", ok=twice == 0)
    yield Figure(name="doors_mixed_out_of_order", value=disordered, unit="conversations", bar="0", ok=disordered == 0)


async def refusing_channel(folder: Path) -> AsyncIterator[Figure]:
    """One channel refuses every send for a minute; what that costs another, and when its own messages arrive."""
    progress(f"a channel refuses for {REFUSES_SECONDS:g} s beside one that does not")
    slack, telegram = InstantPush("slack"), InstantPush("telegram")
    async with running(folder, others=[slack, telegram]) as bench:
        before = await _turns(bench, telegram, QUIET_SECONDS, "before")
        slack.refuses = True
        for number in range(CONVERSATIONS):
            await bench.bring("held", channel="slack", conversation=str(number), external_id=f"held{number}")
        during = await _turns(bench, telegram, REFUSES_SECONDS, "during")
        slack.refuses, returned = False, asyncio.get_running_loop().time()
        while len(slack.said) < CONVERSATIONS and asyncio.get_running_loop().time() < returned + 120:
            await asyncio.sleep(0.05)
        late = max(at for at, _ in slack.said) - returned
    delay = max(during) - p50(before)
    yardstick = {"p50_before_ms": p50(before), "p50_during_ms": p50(during), "max_before_ms": max(before)}
    yield Figure(name="doors_refusing_delays_others", value=delay, unit="ms", bar="<= 100", ok=delay <= 100, yardstick=yardstick)
    yield Figure(name="doors_refused_arrive_after", value=late, unit="s", bar="all arrive", ok=len(slack.said) == CONVERSATIONS)


async def _turns(bench: Bench, push: InstantPush, seconds: float, name: str) -> list[float]:
    """How long each turn takes on a channel that is well, in ms, at a steady pace."""
    took = []
    for number in range(int(seconds * PER_SECOND)):
        began, external_id = asyncio.get_running_loop().time(), f"{name}{number}"
        await bench.bring("hi", channel=push.channel, conversation=str(number % CONVERSATIONS), external_id=external_id)
        await push.took.setdefault(external_id, asyncio.Event()).wait()
        took.append((asyncio.get_running_loop().time() - began) * 1000)
        await asyncio.sleep(max(0.0, began + 1 / PER_SECOND - asyncio.get_running_loop().time()))
    return took


async def _quiet(bench: Bench) -> None:
    """Everything is answered and sent."""
    open_states = {"received", "claimed", "ready", "sending", "unknown", "streaming"}
    async with asyncio.timeout(120):
        while True:
            async with bench.app.database.reading() as work:
                if not open_states & (set(await work.inbox.counts()) | set(await work.outbox.counts())):
                    return
            await asyncio.sleep(0.05)
