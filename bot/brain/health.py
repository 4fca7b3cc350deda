"""Who is well enough to be asked: a circuit breaker per rung, and how long each takes to its first token."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from bot.domain.clock import Clock
from bot.domain.errors import (
    BudgetExhausted,
    ContextTooLong,
    CredentialsRejected,
    ModelNotServed,
    RateLimited,
    RequestRejected,
)
from storage.database import Database

log = structlog.get_logger(__name__)

WINDOW = 20
"""Outcomes that a breaker remembers."""
MINIMUM_FAILURES = 2
"""Failures before the rate counts: one may be chance, and a dead level may cost two attempts, no more."""
FAILURE_RATE = 0.5
FIRST_COOLDOWN_SECONDS = 30.0
LONGEST_COOLDOWN_SECONDS = 600.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
REPAIR_COOLDOWN_SECONDS = 900.0
"""For a wrong key or a model that is gone: nothing but a person's repair will help, but the person may come soon."""
LAST_RESORT_SECONDS = 5.0
"""When nobody is well, an open rung may be tried this often: an outage must not outlive its cause by a cooldown."""
SAMPLES = 200
MINIMUM_SAMPLES = 10


class BreakerState(StrEnum):
    """closed asks freely, open does not ask, half_open lets a single probe through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def cools(error: Exception) -> bool:
    """Whether an error says something about the level, and not about this one request."""
    return not isinstance(error, RequestRejected | ContextTooLong | BudgetExhausted)


class CircuitBreaker:
    """One rung's: opens at a failure rate over a window, probes once when its cooldown is over, doubles it when the probe fails."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.state = BreakerState.CLOSED
        self.retry_at: datetime | None = None
        self.openings = 0
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._told_when = False
        self._last_resort_at: datetime | None = None

    @property
    def outcomes(self) -> tuple[bool, ...]:
        """The last outcomes, oldest first."""
        return tuple(self._outcomes)

    @property
    def standing(self) -> tuple[bool, datetime | None]:
        """What must survive a restart: whether it is closed, and when it may be probed."""
        return self.state is BreakerState.CLOSED, self.retry_at

    def restore(self, *, state: str, outcomes: Sequence[bool], openings: int, retry_at: datetime | None) -> None:
        """Take up what a former process knew; its probe died with it."""
        self.state = BreakerState.CLOSED if state == BreakerState.CLOSED else BreakerState.OPEN
        self._outcomes.extend(outcomes)
        self.openings, self.retry_at = openings, retry_at

    def permit(self) -> bool:
        """Whether this rung may be asked now. A yes from an open breaker makes the asker its one probe."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN and self.retry_at is not None and self._clock.now() >= self.retry_at:
            self.state = BreakerState.HALF_OPEN
            return True
        return False

    def permit_as_last_resort(self) -> bool:
        """As `permit`, before the cooldown is over, for when nobody else can answer; a vendor's own Retry-After is still obeyed."""
        now = self._clock.now()
        tried_lately = self._last_resort_at is not None and now - self._last_resort_at < timedelta(seconds=LAST_RESORT_SECONDS)
        if self.state is not BreakerState.OPEN or self._told_when or tried_lately:
            return False
        self._last_resort_at = now
        self.state = BreakerState.HALF_OPEN
        return True

    def succeeded(self) -> None:
        """The rung answered."""
        if self.state is not BreakerState.CLOSED:
            self._outcomes.clear()
        self._outcomes.append(True)
        self.state, self.retry_at, self.openings, self._told_when = BreakerState.CLOSED, None, 0, False

    def failed(self, error: Exception) -> None:
        """The rung failed in a way that is its own fault."""
        self._outcomes.append(False)
        failures = self._outcomes.count(False)
        is_bad = failures >= MINIMUM_FAILURES and failures >= FAILURE_RATE * len(self._outcomes)
        told = isinstance(error, RateLimited) and error.retry_after is not None
        hopeless = isinstance(error, CredentialsRejected | ModelNotServed)
        if is_bad or told or hopeless or self.state is BreakerState.HALF_OPEN:
            self._open(error)

    def let_off(self, was_probe: bool) -> None:
        """The call ended without telling anything about the rung (it was called off): a probe may be tried again."""
        if was_probe and self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

    def _open(self, error: Exception) -> None:
        self.openings += 1
        self.state = BreakerState.OPEN
        self._told_when = isinstance(error, RateLimited) and error.retry_after is not None
        self.retry_at = self._clock.now() + timedelta(seconds=_cooldown(error, self.openings))


def _cooldown(error: Exception, openings: int) -> float:
    """Seconds until the next probe."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return min(max(error.retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)
    if isinstance(error, CredentialsRejected | ModelNotServed):
        return REPAIR_COOLDOWN_SECONDS
    return min(FIRST_COOLDOWN_SECONDS * 2.0 ** (openings - 1), LONGEST_COOLDOWN_SECONDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class RungHealth:
    """What is known of a rung, for `doctor`, the status line and metrics."""

    state: BreakerState
    retry_at: datetime | None
    first_token_p95_ms: float | None


class HealthBoard:
    """The breakers and latencies of every rung; a change of state is written down, so that a restart forgets nothing."""

    def __init__(self, *, database: Database | None, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self.clock = clock
        self.monotonic = monotonic
        self._breakers: dict[str, CircuitBreaker] = {}
        self._first_tokens: dict[str, deque[float]] = {}
        self._saved: dict[str, tuple[bool, datetime | None]] = {}

    async def load(self, rungs: Mapping[str, str]) -> None:
        """Take up the state of these rungs (by id, with the name of their level) from the database. Raises StorageUnavailable."""
        if self._database is None:
            return
        async with self._database.reading() as work:
            rows = {row.rung: row for row in await work.health.all()}
            for rung, level in rungs.items():
                self._latencies(rung).extend(await work.usage.first_token_ms(level, limit=SAMPLES))
        for rung, row in rows.items():
            self.breaker(rung).restore(state=row.state, outcomes=row.outcomes, openings=row.openings, retry_at=row.retry_at)
            self._saved[rung] = self.breaker(rung).standing

    def breaker(self, rung: str) -> CircuitBreaker:
        """The rung's breaker."""
        return self._breakers.setdefault(rung, CircuitBreaker(clock=self.clock))

    def note_first_token(self, rung: str, milliseconds: float) -> None:
        """How long a rung took to its first token, or at least how long it had been silent when it was overtaken."""
        self._latencies(rung).append(milliseconds)

    def first_token_p95_ms(self, rung: str) -> float | None:
        """The learned 95th percentile of the time to the first token, None before MINIMUM_SAMPLES."""
        samples: list[float] = sorted(self._latencies(rung))
        return samples[math.ceil(0.95 * len(samples)) - 1] if len(samples) >= MINIMUM_SAMPLES else None

    def rung(self, rung: str) -> RungHealth:
        """What is known of a rung."""
        breaker = self.breaker(rung)
        return RungHealth(state=breaker.state, retry_at=breaker.retry_at, first_token_p95_ms=self.first_token_p95_ms(rung))

    async def save_changes(self) -> None:
        """Write down the breakers whose state changed since the last time. Raises StorageUnavailable."""
        changed = [rung for rung, breaker in self._breakers.items() if self._saved.get(rung, (True, None)) != breaker.standing]
        if not changed or self._database is None:
            return
        async with self._database.unit_of_work() as work:
            await work.health.save([self._row(rung) for rung in changed])
        for rung in changed:
            was_well, _ = self._saved.get(rung, (True, None))
            self._saved[rung] = self._breakers[rung].standing
            if was_well != self._saved[rung][0]:
                log.info("level.fell" if was_well else "level.rose", rung=rung)

    def _latencies(self, rung: str) -> deque[float]:
        return self._first_tokens.setdefault(rung, deque[float](maxlen=SAMPLES))

    def _row(self, rung: str) -> dict[str, object]:
        breaker = self._breakers[rung]
        return {
            "rung": rung,
            "state": BreakerState.CLOSED if breaker.state is BreakerState.CLOSED else BreakerState.OPEN,
            "outcomes": list(breaker.outcomes),
            "openings": breaker.openings,
            "retry_at": breaker.retry_at,
            "updated_at": self.clock.now(),
        }
