"""What Prometheus is told: of turns how many, by which level, how long, at what cost; of nodes whether they are up, and at how much."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.brain.mesh import Mesh
from bot.brain.nodes import NodeState
from bot.domain.thought import AttemptOutcome, Turn

SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 45)


class TurnMetrics:
    """Counts turns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter("robbie_turns", "Answered messages", ["tier", "level", "kind"], registry=registry)
        self._seconds = Histogram("robbie_turn_seconds", "Thinking time", ["level"], buckets=SECONDS, registry=registry)
        self._attempts = Counter("robbie_level_attempts", "Levels asked", ["level", "outcome"], registry=registry)
        self._dollars = Counter("robbie_cost_usd", "Dollars spent on models", registry=registry)

    def count(self, turn: Turn) -> None:
        """Take one recorded turn into account."""
        self._turns.labels(turn.tier, turn.level, turn.kind).inc()
        self._seconds.labels(turn.level).observe(turn.latency_ms / 1000)
        self._dollars.inc(turn.cost_usd)
        for attempt in turn.attempts:
            if attempt.outcome is not AttemptOutcome.SKIPPED:
                self._attempts.labels(attempt.level, attempt.outcome).inc()


def gauge_nodes(mesh: Mesh, registry: CollectorRegistry) -> None:
    """Tell how the nodes are, as the mesh knows them whenever somebody asks."""

    def tell(name: str, help_text: str, value: Callable[[NodeState], float]) -> None:
        gauge = Gauge(name, help_text, ["node"], registry=registry)
        for place, state in enumerate(mesh.states):
            gauge.labels(state.name).set_function(partial(lambda place: float(value(mesh.states[place])), place))

    tell("robbie_node_up", "Whether a node answers", lambda state: state.is_up is True)
    tell("robbie_node_in_flight", "Questions under way to a node", lambda state: state.in_flight)
