"""The mesh under fire: the real chain, mesh, provider and HTTP over four FAKE nodes, each a process, of which one is killed at a time."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from benchmarks.fake_ollama import MODEL
from benchmarks.figure import Figure, p50, progress
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import HealthBoard
from bot.brain.mesh import Mesh
from bot.brain.providers.ollama import OllamaProvider
from bot.config import MeshConfig, NodeConfig
from bot.domain.clock import SystemClock
from bot.domain.errors import AllLevelsFailed
from bot.domain.thought import Line, Prompt, Role
from bot.hub.timekeeper import Timekeeper

ROOT = Path(__file__).parents[1]
NODES = ("iceland", "snowball", "wallet", "maverick")
PROMPT = Prompt(system="You are Robbie.", brief_system="You are Robbie.", lines=(Line(role=Role.USER, text="hello"),))
A_SECOND = 20
HEALTHY_SECONDS = 10.0
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 4.0
LONG, SHORT = 24, 2
"""Tokens of an answer."""
PAIRS = 40


@dataclass
class FakeMachine:
    """FAKE: a node's process, which can be killed and started again at the same address."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.fake_ollama", str(self.port)], cwd=ROOT)
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.url}/api/version"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)

    def kill(self) -> None:
        """As a power cut does."""
        if self.process:
            self.process.kill()
            self.process.wait()


@dataclass
class Turns:
    """When turns began and ended; how many got no answer; how often more than one node was asked."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0
    more_asked: int = 0

    async def take(self, chain: FallbackChain) -> None:
        """One turn."""
        began = time.perf_counter()
        try:
            completion = await chain.complete(PROMPT)
            self.more_asked += len(completion.attempts) - 1
        except AllLevelsFailed:
            self.failed += 1
        self.spans.append((began, time.perf_counter()))

    async def run(self, chain: FallbackChain, seconds: float) -> None:
        """So many a second, whatever becomes of those before."""
        async with asyncio.TaskGroup() as group:
            for _ in range(round(seconds * A_SECOND)):
                group.create_task(self.take(chain))
                await asyncio.sleep(1 / A_SECOND)

    def milliseconds(self, *, across: float | None = None, after: float = -math.inf) -> list[float]:
        """How long they took: those in flight at a moment, or begun after one."""
        chosen = [(a, b) for a, b in self.spans if a > after and (across is None or a <= across < b)]
        return [(b - a) * 1000 for a, b in chosen]


async def nodes(_: Path) -> AsyncIterator[Figure]:
    """One node after another is killed under load, and comes back; then what a dead one costs a turn."""
    async with _machines() as machines, _robbie(machines) as (chain, mesh):
        async for figure in _killing(chain, mesh, machines):
            yield figure
        machines[0].kill()
        await _until(lambda: mesh.states[0].is_up is False)
        yield await _cost_of_a_dead_node(chain, machines)


async def _killing(chain: FallbackChain, mesh: Mesh, machines: Sequence[FakeMachine]) -> AsyncIterator[Figure]:
    progress(f"mesh: {A_SECOND} turns a second over {len(NODES)} nodes, {HEALTHY_SECONDS:g} s")
    await _until_all_hold(mesh, chain)
    healthy = Turns()
    await healthy.run(chain, HEALTHY_SECONDS)
    median, p99 = p50(healthy.milliseconds()), _p99(healthy.milliseconds())
    at_kill, later, failed, returns = [], [], healthy.failed, []
    for number, node in enumerate(NODES):
        progress(f"mesh: {node} is killed under load")
        turns = Turns()
        running = asyncio.create_task(turns.run(chain, BEFORE_SECONDS + AFTER_SECONDS))
        await asyncio.sleep(BEFORE_SECONDS + number * 0.013)
        machines[number].kill()
        killed = time.perf_counter()
        await running
        at_kill += turns.milliseconds(across=killed)
        later += turns.milliseconds(after=killed)
        failed += turns.failed
        returns.append(await _returned(chain, mesh, machines[number], node))
    stick = {"healthy_p50_ms": median, "healthy_p99_ms": p99, "kills": len(NODES), "healthy_second_asks": healthy.more_asked}
    yield Figure(name="mesh_failed_turns", value=failed, unit="turns", bar="0", ok=failed == 0, yardstick=stick)
    for what, taken in (("in_flight", at_kill), ("after", later)):
        ratio, bar = _p99(taken) / median, "<= 2 x the healthy median"
        more = stick | {"turns": len(taken), "p50_ms": p50(taken)}
        yield Figure(name=f"mesh_p99_{what}", value=_p99(taken), unit="ms", bar=bar, ok=ratio <= 2, yardstick=more, ratio=ratio)
    slowest = max(returns)
    yield Figure(name="mesh_node_returns", value=slowest, unit="s", bar="by itself, <= 15", ok=slowest <= 15, yardstick=stick)


async def _cost_of_a_dead_node(chain: FallbackChain, machines: Sequence[FakeMachine]) -> Figure:
    """Turns with a node that is known to be dead, and without it, alternating: the median of the differences."""
    progress("mesh: turns beside a dead node, and without it")
    with_dead, without = Turns(), Turns()
    async with _robbie(machines[1:], tokens=SHORT) as (smaller, mesh):
        short = _chain([replace(rung, max_output_tokens=SHORT) for rung in chain.rungs], chain.health, chain.mesh)
        await _until(lambda: all(state.is_up for state in mesh.states))
        for _ in range(PAIRS):
            await with_dead.take(short)
            await without.take(smaller)
    pairs = zip(with_dead.milliseconds(), without.milliseconds(), strict=True)
    added, bare = p50([ours - theirs for ours, theirs in pairs]), p50(without.milliseconds())
    stick = {"without_it_ms": bare, "times_it_was_asked": with_dead.more_asked}
    is_free = added <= 2 and not with_dead.more_asked
    return Figure(name="mesh_dead_node_added", value=added, unit="ms", bar="0 (<= 2, never asked)", ok=is_free, yardstick=stick)


async def _returned(chain: FallbackChain, mesh: Mesh, machine: FakeMachine, node: str) -> float:
    """Start a machine again, under load; seconds from its first breath until it works on a turn."""
    await machine.start()
    began = time.perf_counter()
    load = asyncio.create_task(Turns().run(chain, 20))
    await _until(lambda: any(state.name == node and state.in_flight for state in mesh.states))
    took = time.perf_counter() - began
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)
    return took


async def _until_all_hold(mesh: Mesh, chain: FallbackChain) -> None:
    for rung in chain.rungs:
        await mesh.preload(rung)
    await _until(lambda: all(state.holds(MODEL) for state in mesh.states))
    await Turns().run(chain, 3)


async def _until(is_so: object, seconds: float = 30) -> None:
    assert callable(is_so)
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _machines() -> AsyncIterator[list[FakeMachine]]:
    machines = [FakeMachine(port=_free_port()) for _ in NODES]
    try:
        await asyncio.gather(*(machine.start() for machine in machines))
        yield machines
    finally:
        for machine in machines:
            machine.kill()


@asynccontextmanager
async def _robbie(machines: Sequence[FakeMachine], *, tokens: int = LONG) -> AsyncIterator[tuple[FallbackChain, Mesh]]:
    """The chain and the mesh as the hub runs them, looked after by its timekeeper."""
    names = dict(zip(NODES[-len(machines) :], machines, strict=True))
    rungs = [
        Rung(
            level="llama", provider=OllamaProvider(model=MODEL, url=m.url, context=8192), context=8192, max_output_tokens=tokens, node=name
        )
        for name, m in names.items()
    ]
    clock = SystemClock()
    health = HealthBoard(database=None, clock=clock)
    mesh = Mesh(config=MeshConfig(nodes=tuple(NodeConfig(name=name, url=m.url) for name, m in names.items())), rungs=rungs, health=health)
    mesh.wake()
    try:
        async with mesh, Timekeeper(rounds=[mesh], clock=clock):
            yield _chain(rungs, health, mesh), mesh
    finally:
        await asyncio.gather(*(rung.provider.close() for rung in rungs))


def _chain(rungs: Sequence[Rung], health: HealthBoard, mesh: Mesh | None) -> FallbackChain:
    return FallbackChain(rungs=rungs, health=health, budget=None, turn_seconds=45, hedge_seconds=1.5, stall_seconds=10, mesh=mesh)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _p99(samples: Sequence[float]) -> float:
    return sorted(samples)[math.ceil(0.99 * len(samples)) - 1]
