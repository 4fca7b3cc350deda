"""What failing levels cost: real HTTP on loopback, the real OpenAI provider and chain; the servers are FAKES that fail as told."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from benchmarks.figure import Figure, p50, progress
from bot.brain.chain import FallbackChain, Rung
from bot.brain.health import HealthBoard
from bot.brain.providers.openai import OpenAIProvider
from bot.domain.errors import AllLevelsFailed
from bot.domain.thought import Line, Prompt, Role

PROMPT = Prompt(system="You are Robbie.", brief_system="You are Robbie.", lines=(Line(role=Role.USER, text="hello"),))
ROUNDS = 40
HEDGE_SECONDS = 0.5
TURN_SECONDS = 3.0


class StillClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment."""
        return self.moment


@dataclass
class FakeServer:
    """FAKE: speaks the OpenAI wire; answers "hello", or fails: a status, or "silent"."""

    url: str = ""
    fault: int | str = 0
    asked_at: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One chat completion."""
        await request.read()
        self.asked_at.append(time.perf_counter())
        if isinstance(self.fault, int) and self.fault:
            return web.json_response({"error": {"message": "FAKE", "type": "fake"}}, status=self.fault)
        if self.fault == "silent":
            await asyncio.sleep(60)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta, reason in (({"content": "hello"}, None), ({}, "stop")):
            frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            frame["choices"] = [{"index": 0, "delta": delta, "finish_reason": reason}]
            await response.write(b"data: " + json.dumps(frame).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


class FirstToken:
    """Notes when something was first shown."""

    def __init__(self) -> None:
        self.at = 0.0

    async def token(self, text: str) -> None:
        """See `Listener.token`."""
        self.at = self.at or time.perf_counter()

    async def replace(self, text: str) -> None:
        """See `Listener.replace`."""


@dataclass
class Levels:
    """Two levels behind two servers, and a chain over them."""

    first: FakeServer
    second: FakeServer
    rungs: list[Rung]
    clock: StillClock

    def chain(self, rungs: list[Rung] | None = None) -> FallbackChain:
        """A chain that has seen nothing yet."""
        return FallbackChain(
            rungs=self.rungs if rungs is None else rungs,
            health=HealthBoard(database=None, clock=self.clock),
            budget=None,
            turn_seconds=TURN_SECONDS,
            hedge_seconds=HEDGE_SECONDS,
            stall_seconds=2.0,
        )


async def failing_level(_: Path) -> AsyncIterator[Figure]:
    """The time until the next level is asked, beyond the time until it is asked when it is the first."""
    async with _levels() as levels:
        for name, fault in (("429", 429), ("500", 500), ("refused", "refused")):
            progress(f"chain: the first level answers {name}")
            levels.first.fault = fault
            rungs = [_refusing(levels.rungs[0]), levels.rungs[1]] if fault == "refused" else levels.rungs
            added, direct = await _added(levels, rungs)
            floor = {"asked_directly_ms": direct}
            yield Figure(name=f"chain_{name}_added", value=added, unit="ms", bar="<= 20", ok=added <= 20, yardstick=floor)
        levels.first.fault = 500
        chain, before = levels.chain(), len(levels.first.asked_at)
        for _ in range(10):
            await chain.complete(PROMPT)
        dead = len(levels.first.asked_at) - before
        yield Figure(name="chain_dead_attempts", value=dead, unit="in 10 turns", bar="<= 2", ok=dead <= 2)
        added, direct = await _added(levels, levels.rungs, opened=chain)
        floor = {"asked_directly_ms": direct}
        yield Figure(name="chain_open_breaker_added", value=added, unit="ms", bar="<= 2", ok=added <= 2, yardstick=floor)


async def _added(levels: Levels, rungs: list[Rung], opened: FallbackChain | None = None) -> tuple[float, float]:
    """Medians, alternating: milliseconds until the second level is asked behind the first, less those when it stands alone; the latter."""
    behind, alone = [], []
    for _ in range(ROUNDS):
        behind.append(await _until_asked(opened or levels.chain(rungs), levels.second))
        alone.append(await _until_asked(levels.chain(rungs[1:]), levels.second))
    return p50(behind) - p50(alone), p50(alone)


async def _until_asked(chain: FallbackChain, server: FakeServer) -> float:
    began = time.perf_counter()
    await chain.complete(PROMPT)
    return (server.asked_at[-1] - began) * 1000


async def silent_level(_: Path) -> AsyncIterator[Figure]:
    """The first level takes the question and says nothing."""
    async with _levels() as levels:
        levels.first.fault = "silent"
        progress("chain: the first level is silent")
        hedges, shown = [], []
        for _ in range(5):
            watch, began = FirstToken(), time.perf_counter()
            await levels.chain().complete(PROMPT, listener=watch)
            hedges.append(levels.second.asked_at[-1] - began)
            shown.append(watch.at - began)
        hedge = {"hedge_seconds": HEDGE_SECONDS}
        late = p50(hedges) - HEDGE_SECONDS
        yield Figure(name="silent_next_asked", value=p50(hedges), unit="s", bar="at the hedge delay", ok=abs(late) < 0.1, yardstick=hedge)
        is_prompt = p50(shown) - HEDGE_SECONDS < 0.2
        yield Figure(name="silent_first_token", value=p50(shown), unit="s", bar="the next level's own", ok=is_prompt, yardstick=hedge)
        chain, before = levels.chain(), len(levels.first.asked_at)
        for _ in range(4):
            await chain.complete(PROMPT)
        asked = len(levels.first.asked_at) - before
        yield Figure(name="silent_level_counts_as_failed", value=asked, unit="asked in 4 turns", bar="<= 2", ok=asked <= 2)
        levels.second.fault = "silent"
        began = time.perf_counter()
        with suppress(AllLevelsFailed):
            await levels.chain().complete(PROMPT)
        took = time.perf_counter() - began
        bound = {"turn_seconds": TURN_SECONDS}
        yield Figure(name="silent_turn", value=took, unit="s", bar="<= turn_seconds + 1", ok=took <= TURN_SECONDS + 1, yardstick=bound)


async def half_open(_: Path) -> AsyncIterator[Figure]:
    """Ten turns at once meet a breaker whose cooldown is over."""
    async with _levels() as levels:
        levels.first.fault = 500
        chain = levels.chain()
        for _ in range(3):
            await chain.complete(PROMPT)
        levels.clock.moment += timedelta(hours=1)
        before = len(levels.first.asked_at)
        await asyncio.gather(*(chain.complete(PROMPT) for _ in range(10)))
        probes = len(levels.first.asked_at) - before
        yield Figure(name="half_open_probes", value=probes, unit="of 10 turns at once", bar="1", ok=probes == 1)


@asynccontextmanager
async def _levels() -> AsyncIterator[Levels]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_served(FakeServer())) for _ in range(2)]
        rungs = [_rung(f"level{n}", server.url) for n, server in enumerate(servers)]
        for rung in rungs:
            stack.push_async_callback(rung.provider.close)
        yield Levels(first=servers[0], second=servers[1], rungs=rungs, clock=StillClock())


@asynccontextmanager
async def _served(server: FakeServer) -> AsyncIterator[FakeServer]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


def _rung(level: str, url: str) -> Rung:
    return Rung(level=level, provider=OpenAIProvider(model="fake", api_key="k", base_url=url), context=8000, max_output_tokens=100)


def _refusing(rung: Rung) -> Rung:
    """The same level at an address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return _rung(rung.level, f"http://127.0.0.1:{free.getsockname()[1]}/v1")
