"""The mesh: watches the Ollama nodes beside the road, keeps account of what is asked of each, and has models loaded before their need."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import structlog

from bot.brain.call import Rung
from bot.brain.health import HealthBoard
from bot.brain.nodes import NodeState, order, rebalance
from bot.brain.providers.ollama import list_models, load_model
from bot.config import MeshConfig
from bot.domain.errors import ModelNotServed, NotAllowed, ProviderError, ProviderUnavailable, StreamBroken
from bot.domain.thought import Attempt, AttemptOutcome
from storage.database import Database

log = structlog.get_logger(__name__)

IN_USE_SECONDS, IDLE_TIMES = 600.0, 12
"""So long after the last question looks become so many times rarer, and nothing is loaded any more."""
STRUCK_SECONDS, DOUBT_SECONDS = 600.0, 15.0
WARM_AHEAD = timedelta(minutes=3)
"""Before a brief: longer than any load that was reported, and than two looks of an idle hub."""
DRAINED = "mesh.drained"
"""The row that holds the names of the drained nodes, a line each."""


class Mesh:
    """All nodes. A context manager that watches them, and a `Round` that heeds what the owner drained and loads what is wanted.

    On the road it reads what is known and counts: nothing there waits for a node.
    """

    name = "mesh"

    def __init__(
        self,
        *,
        config: MeshConfig,
        rungs: Sequence[Rung],
        health: HealthBoard,
        database: Database | None = None,
        brief_at: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._nodes = {node.name: node.url for node in config.nodes}
        self._rungs = [rung for rung in rungs if rung.node in self._nodes]
        self._likely = rungs[0].level if rungs else ""
        self._health = health
        self._database = database
        self._watch_seconds = config.watch_seconds
        self._brief_at = brief_at
        self._states = {name: NodeState(name=name) for name in self._nodes}
        self._news = {name: asyncio.Event() for name in self._nodes}
        self._used_at = -math.inf
        self._loading: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []

    @property
    def states(self) -> tuple[NodeState, ...]:
        """Every node, as it is known at this moment."""
        return tuple(self._states.values())

    @property
    def is_in_use(self) -> bool:
        """Whether somebody wrote lately."""
        return self._health.monotonic() - self._used_at < IN_USE_SECONDS

    def arrange(self, rungs: Sequence[Rung]) -> list[Rung]:
        """The rungs in the order in which they are to be asked now: see `order`."""
        return order(self._states, rungs, now=self._health.monotonic()) if self._nodes else list(rungs)

    def patience_seconds(self, rung: Rung, follower: Rung) -> float:
        """Seconds of silence after which a node that holds the same model is asked; without end where the other does not."""
        state, other = self._states.get(rung.node), self._states.get(follower.node)
        is_same = other and rung.level == follower.level and other.holds(follower.provider.model)
        return state.patience_seconds if state and is_same else math.inf

    def serves(self, rung: Rung) -> bool:
        """Whether it may be asked, as far as is known: its node is neither dead nor drained."""
        state = self._states.get(rung.node)
        return state is None or (not state.is_drained and state.serves(rung.provider.model, self._health.monotonic()))

    def troubles(self, zone: str) -> Sequence[str]:
        """What is to be said of nodes that are lost, with the time in *zone*."""
        lost = [(each.name, each.since) for each in self.states if each.is_up is False and each.since and not each.is_drained]
        return [
            f"The node {name} does not answer since {at.astimezone(ZoneInfo(zone)):%H:%M}; I look for it all the time." for name, at in lost
        ]

    def asked(self, rung: Rung) -> None:
        """A question is on its way there. What a drill puts in a rung's place is none of a node's."""
        if rung in self._rungs:
            state, self._likely = self._states[rung.node], rung.level
            self._states[rung.node] = replace(state, in_flight=state.in_flight + 1)

    def ended(self, rung: Rung, attempt: Attempt) -> None:
        """What became of that question. It is believed before what a node says of itself, which is asked again at once after a failure."""
        if rung not in self._rungs:
            return
        state, now = self._states[rung.node], self._health.monotonic()
        state = replace(state, in_flight=state.in_flight - 1)
        if attempt.first_token_ms is not None:
            state = state.measured(attempt)
        is_mute = attempt.outcome is AttemptOutcome.OVERTAKEN and attempt.first_token_ms is None
        is_silent = is_mute and attempt.latency_ms >= 1000 * state.patience_seconds
        if attempt.error == ModelNotServed.__name__:
            state = replace(state, struck={**state.struck, rung.provider.model: now + STRUCK_SECONDS})
        elif is_silent or attempt.error in (ProviderUnavailable.__name__, StreamBroken.__name__):
            state = replace(state, doubted_until=now + DOUBT_SECONDS)
            self._news[rung.node].set()
        self._states[rung.node] = state

    def wake(self) -> None:
        """Somebody writes, or is about to be written to: after a pause nodes are looked at now, and the likely model is loaded."""
        was_idle, self._used_at = not self.is_in_use, self._health.monotonic()
        for news in self._news.values() if was_idle else ():
            news.set()

    async def examine(self, name: str) -> None:
        """Have a node say how it is; what comes of it, or does not, is in its state."""
        url, now, why = self._nodes[name], self._health.clock.now(), ""
        try:
            resident = await list_models(url, "/api/ps")
            models: Collection[str] | None = await list_models(url, "/api/tags")
        except (StreamBroken, ModelNotServed) as error:  # it lives, and tells nothing of use: a call will show what it is worth
            why, resident, models = str(error), {}, None
        except Exception as error:  # noqa: BLE001  whatever one node does, it is watched on
            state, why = self._states[name], str(error) if isinstance(error, ProviderError) else type(error).__name__
            if state.is_up is not False:
                log.warning("node.fell", node=name, error=why)
                state = replace(state, is_up=False, since=now, resident={})
            self._states[name] = replace(state, why=why)
            return
        state = self._states[name]
        if not state.is_up:
            log.info("node.rose", node=name)
            for rung in self._rungs:
                if rung.node == name and state.is_up is False:
                    self._health.breaker(rung.id).retry_at = None  # what it rested for is over
            state = replace(state, is_up=True, since=now, struck={}, doubted_until=0.0)
        self._states[name] = replace(state, why=why, seen_at=now, models=models, resident=resident)

    async def look(self, now: datetime) -> datetime | None:
        """Take up which nodes are drained; load what is wanted in more memories, one model at a time. Raises StorageUnavailable."""
        await self.read_drained()
        brief_at = self._brief_at()
        if brief_at is not None and now <= brief_at <= now + WARM_AHEAD:
            self.wake()
        if self.is_in_use and self._watches and (self._loading is None or self._loading.done()):
            rung = rebalance(self._states, self._rungs, likely=self._likely, now=self._health.monotonic())
            self._loading = asyncio.create_task(self.preload(rung), name=f"load {rung.id}") if rung else None
        return None

    async def preload(self, rung: Rung) -> None:
        """Have a rung's model loaded on its node; one that cannot is not asked for it first for a while."""
        model = rung.provider.model
        log.info("mesh.loading", node=rung.node, model=model)
        try:
            await load_model(self._nodes[rung.node], model, context=rung.context)
        except ProviderError as error:
            log.warning("mesh.not_loaded", node=rung.node, model=model, error=str(error))
            state = self._states[rung.node]
            self._states[rung.node] = replace(state, struck={**state.struck, model: self._health.monotonic() + STRUCK_SECONDS})
        self._news[rung.node].set()

    async def drain(self, node: str, *, is_drained: bool) -> None:
        """Begin nothing new on a node, or do again; kept, and heeded by every hub within seconds. Raises NotAllowed, StorageUnavailable."""
        if node not in self._nodes or self._database is None:
            raise NotAllowed(f"no node is called {node}; [[mesh.nodes]] of config.toml names {', '.join(self._nodes) or 'none'}")
        async with self._database.unit_of_work() as work:
            names = {*(await work.housekeeping.cursor(DRAINED) or "").split("\n"), node} - {"", *(() if is_drained else (node,))}
            await work.housekeeping.set_cursor(DRAINED, "\n".join(sorted(names)))

    async def read_drained(self) -> None:
        """Take up which nodes the owner drained. Raises StorageUnavailable."""
        if self._database is not None and self._nodes:
            async with self._database.reading() as work:
                names = (await work.housekeeping.cursor(DRAINED) or "").split("\n")
            self._states = {name: replace(state, is_drained=name in names) for name, state in self._states.items()}

    async def __aenter__(self) -> Self:
        self._watches = [asyncio.create_task(self._watch(node), name=f"watch {node}") for node in self._nodes]
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._watches, *([self._loading] if self._loading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, node: str) -> None:
        """Look at a node again and again: soon while Robbie is in use, at once where a call failed."""
        news = self._news[node]
        while True:
            news.clear()
            await self.examine(node)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._watch_seconds * (1 if self.is_in_use else IDLE_TIMES)):
                    await news.wait()
