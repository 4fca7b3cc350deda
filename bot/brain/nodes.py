"""What is known of the machines that run Ollama, and what follows from it: whom to ask first, which model to load where. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bot.brain.call import Rung
from bot.domain.thought import Attempt, AttemptOutcome

SAMPLES, ENOUGH_SAMPLES, LATELY, ENOUGH_TOKENS = 64, 8, 4, 4
COLD_SECONDS = 30.0
"""What it costs to ask for a model that is not in memory: up to so long a queue is borne before another node has to load it."""
ANSWER_TOKENS = 200.0
USUAL_SPEED = 20.0
"""Tokens a second of a node that was not measured yet."""
STREAMS = 2
"""Answers at once for which one copy of a model is enough."""
SHORTEST_PATIENCE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeState:
    """One node. `is_up` is None before the first look; `models` are those on its disk, `resident`
    those in memory, with their bytes. `speed` is in tokens a second; `struck` models and `doubted_until` are moments of the
    monotonic clock until which what it says of itself is not believed, since a call contradicted it.
    """

    name: str
    is_up: bool | None = None
    is_drained: bool = False
    why: str = ""
    since: datetime | None = None
    seen_at: datetime | None = None
    models: Collection[str] | None = None
    resident: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0
    first_ms: Sequence[float] = ()
    speed: float = 0.0
    struck: Mapping[str, float] = field(default_factory=dict)
    doubted_until: float = 0.0

    def serves(self, model: str, now: float) -> bool:
        """Whether it may be asked for a model, as far as is known; of what nobody knows yet the best is hoped."""
        is_there = self.models is None or _named(model, self.models)
        return self.is_up is not False and is_there and self.struck.get(model, 0.0) <= now

    def holds(self, model: str) -> bool:
        """Whether the model is in its memory."""
        return _named(model, self.resident)

    def wait_seconds(self, model: str) -> float:
        """How long an answer will take, in comparison: those that are under way and itself, at its speed, and the loading.

        A first token that comes later than it used to is how a machine shows that it is short of memory: it counts as so much slower.
        """
        lately = (
            statistics.median(self.first_ms[-LATELY:]) / statistics.median(self.first_ms) if len(self.first_ms) >= ENOUGH_SAMPLES else 1.0
        )
        answer = ANSWER_TOKENS / (self.speed or USUAL_SPEED) * max(lately, 1.0)
        return (self.in_flight + 1) * answer + (0.0 if self.holds(model) else COLD_SECONDS)

    def first_token_ms(self, share: float) -> float | None:
        """The time within which such a share of its first tokens came; None where too few were seen."""
        samples = sorted(self.first_ms)
        return round(samples[math.ceil(share * len(samples)) - 1], 1) if len(samples) >= ENOUGH_SAMPLES else None

    @property
    def patience_seconds(self) -> float:
        """Seconds of silence that are more than being slow: twice what 95 of 100 first tokens took; without end where too few were seen."""
        usual_ms = self.first_token_ms(0.95)
        return max(2 * usual_ms / 1000, SHORTEST_PATIENCE_SECONDS) if usual_ms else math.inf

    def measured(self, attempt: Attempt) -> NodeState:
        """With the pace of this call: its first token, and its speed, smoothed (three parts as it was, one as this answer came)."""
        seconds, tokens = (attempt.latency_ms - (attempt.first_token_ms or 0.0)) / 1000, attempt.usage.output_tokens
        is_telling = attempt.outcome is AttemptOutcome.ANSWERED and tokens >= ENOUGH_TOKENS and seconds > 0
        speed = 0.75 * (self.speed or tokens / seconds) + 0.25 * tokens / seconds if is_telling else self.speed
        return replace(self, speed=speed, first_ms=(*self.first_ms, max(attempt.first_token_ms or 0.0, 1.0))[-SAMPLES:])

    def told(self) -> dict[str, Any]:
        """As the API and `robbie mesh --json` tell it."""
        word = "drained" if self.is_drained else {True: "up", False: "down", None: "unknown"}[self.is_up]
        moments = {name: at and at.isoformat(timespec="seconds") for name, at in (("since", self.since), ("seen_at", self.seen_at))}
        resident = [{"model": model, "gb": round(size / 1e9, 1)} for model, size in self.resident.items()]
        paces = {f"first_token_p{part}_ms": self.first_token_ms(part / 100) for part in (50, 95)}
        now = {"resident": resident, "in_flight": self.in_flight, "tokens_per_second": round(self.speed, 1), **paces}
        return {"node": self.name, "state": word, "why": self.why, **moments, **now}


def order(states: Mapping[str, NodeState], rungs: Sequence[Rung], *, now: float) -> list[Rung]:
    """The rungs as they are to be asked: levels as they stand, within one the node that will have answered first; none that is drained.

    What is known to be dead comes after all else, other levels too: there it costs nothing, and is tried before all is given up.
    """
    places: dict[str, int] = {}

    def rank(rung: Rung) -> tuple[bool, int, bool, float]:
        state, place = states.get(rung.node), places.setdefault(rung.level, len(places))
        if state is None:
            return False, place, False, 0.0
        model = rung.provider.model
        return not state.serves(model, now), place, now < state.doubted_until, state.wait_seconds(model)

    return sorted((rung for rung in rungs if rung.node not in states or not states[rung.node].is_drained), key=rank)


def rebalance(states: Mapping[str, NodeState], rungs: Sequence[Rung], *, likely: str, now: float) -> Rung | None:
    """What to load next: the rung, on the node with the least to do, of a level that is in too few memories.

    The *likely* level is to be in one at least, one that is much asked in more. Only an empty memory is used: nothing is driven out.
    """
    for level in dict.fromkeys(rung.level for rung in rungs):
        at = {rung: states[rung.node] for rung in rungs if rung.level == level}
        copies = max(sum(state.in_flight for state in at.values()) // STREAMS, level == likely)
        able = {
            rung: state for rung, state in at.items() if state.is_up and not state.is_drained and state.serves(rung.provider.model, now)
        }
        cold = {rung: state for rung, state in able.items() if not state.holds(rung.provider.model)}
        free = [rung for rung, state in cold.items() if not state.resident]
        if free and len(able) - len(cold) < copies:
            return min(free, key=lambda rung: at[rung].wait_seconds(rung.provider.model))
    return None


def _named(model: str, names: Collection[str]) -> bool:
    """Whether a list names the model; Ollama adds `:latest` to a bare name."""
    return model in names or f"{model}:latest" in names
