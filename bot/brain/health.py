"""Who is well enough to be asked: a circuit breaker per rung, and how long each takes to its first token."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from bot.brain.forecast import risk_of
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
FAILURES = 2
"""So many in a row open a breaker, however well the rung was before: a dead level may cost two attempts. One alone may be chance."""
FAILURE_RATE = 0.5
"""Over the window, opens the breaker of a rung that now answers and now fails."""
FIRST_COOLDOWN_SECONDS = 30.0
LONGEST_COOLDOWN_SECONDS = 600.0
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
REPAIR_COOLDOWN_SECONDS = 900.0
"""For a wrong key or a model that is gone: nothing but a person's repair will help, but the person may come soon."""
LAST_RESORT_SECONDS = 5.0
"""When nobody is well, an open rung may be tried this often: an outage must not outlive its cause by a cooldown."""
SAMPLES = 200
MINIMUM_SAMPLES = 5

_LIMITED = "limited"
"""How an open breaker is written down whose vendor named the moment of its return."""


class BreakerState(StrEnum):
    """closed asks freely, open does not ask, half_open lets a single probe through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def cools(error: Exception) -> bool:
    """Whether an error says something about the level, and not about this one request."""
    return not isinstance(error, RequestRejected | ContextTooLong | BudgetExhausted)


class Permit:
    """Leave to ask a rung once. Its holder says what came of it; only the first word counts, so that the last one may be said always."""

    def __init__(self, breaker: CircuitBreaker, *, is_probe: bool) -> None:
        self._breaker: CircuitBreaker | None = breaker
        self.is_probe = is_probe

    def succeeded(self) -> None:
        """The rung answered."""
        if breaker := self._used():
            breaker.note_success(was_probe=self.is_probe)

    def failed(self, error: Exception) -> None:
        """The rung failed; an error that is not its own fault lets it off."""
        if breaker := self._used():
            if cools(error):
                breaker.note_failure(error, was_probe=self.is_probe)
            else:
                breaker.let_off(was_probe=self.is_probe)

    def let_off(self) -> None:
        """The call ended without telling anything about the rung: a probe may be tried again."""
        if breaker := self._used():
            breaker.let_off(was_probe=self.is_probe)

    def _used(self) -> CircuitBreaker | None:
        breaker, self._breaker = self._breaker, None
        return breaker


class CircuitBreaker:
    """One rung's: opens when it fails too often, probes once when its cooldown is over, doubles it when the probe fails."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.state = BreakerState.CLOSED
        self.retry_at: datetime | None = None
        self.rests_since = self.heard_at = clock.now()
        self.openings = 0
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._is_limited = False
        self._last_resort_at: datetime | None = None

    @property
    def outcomes(self) -> tuple[bool, ...]:
        """The last outcomes, oldest first."""
        return tuple(self._outcomes)

    @property
    def standing(self) -> tuple[str, datetime | None]:
        """What must survive a restart: its state, of which a probe that died with its process is no part, and when it may be probed."""
        if self.state is BreakerState.CLOSED:
            return BreakerState.CLOSED, None
        return (_LIMITED if self._is_limited else BreakerState.OPEN), self.retry_at

    def restore(self, *, state: str, outcomes: Sequence[bool], openings: int, retry_at: datetime | None, since: datetime) -> None:
        """Take up what was written down of another breaker: its `standing`, outcomes and openings, and when that was."""
        self.state = BreakerState.CLOSED if state == BreakerState.CLOSED else BreakerState.OPEN
        self._is_limited = state == _LIMITED
        self._outcomes = deque(outcomes, maxlen=WINDOW)
        self.openings, self.retry_at, self.rests_since, self.heard_at = openings, retry_at, since, since

    def permit(self) -> Permit | None:
        """Leave to ask this rung now, if it may be. That of an open breaker whose rest is over makes the asker its one probe."""
        if self.state is BreakerState.CLOSED:
            return Permit(self, is_probe=False)
        return self._probe() if self.state is BreakerState.OPEN and not self._is_resting() else None

    def permit_as_last_resort(self) -> Permit | None:
        """As `permit`, but before its rest is over, for when nobody else can answer; a vendor's own Retry-After is still obeyed."""
        if permit := self.permit():
            return permit
        now = self._clock.now()
        last = self._last_resort_at
        tried_lately = last is not None and last <= now < last + timedelta(seconds=LAST_RESORT_SECONDS)
        if self.state is not BreakerState.OPEN or self._is_limited or tried_lately:
            return None
        self._last_resort_at = now
        return self._probe()

    def note_success(self, *, was_probe: bool) -> None:
        """An answer came. Only a probe's closes the breaker: another's was begun before it opened."""
        if was_probe:
            self._outcomes.clear()
            self.state, self.retry_at, self.openings, self._is_limited = BreakerState.CLOSED, None, 0, False
        self._outcomes.append(True)
        self.heard_at = self._clock.now()

    def note_failure(self, error: Exception, *, was_probe: bool) -> None:
        """No answer came. Turns that fail at the same moment open it once; the longest rest that a vendor asked for holds."""
        self._outcomes.append(False)
        self.heard_at = self._clock.now()
        if was_probe or (self.state is BreakerState.CLOSED and (self._is_bad() or _is_certain(error))):
            self.openings += 1
            self.state = BreakerState.OPEN
            self.retry_at = self._told(error)
            self._is_limited = _tells_when(error)
        elif self.state is BreakerState.OPEN and _tells_when(error):
            told = self._told(error)
            self.retry_at = max(told, self.retry_at or told)
            self._is_limited = True

    def let_off(self, *, was_probe: bool) -> None:
        """The call ended without telling anything about the rung: a probe may be tried again."""
        if was_probe:
            self.state = BreakerState.OPEN

    def _told(self, error: Exception) -> datetime:
        """When it may be probed after this failure."""
        self.rests_since = self._clock.now()
        return self.rests_since + timedelta(seconds=_cooldown(error, self.openings))

    def _is_resting(self) -> bool:
        """Whether its rest is not over; a moment before the rest began tells that the clock was set back, and nothing of the rest."""
        return self.retry_at is not None and self.rests_since <= self._clock.now() < self.retry_at

    def _probe(self) -> Permit:
        self.state = BreakerState.HALF_OPEN
        return Permit(self, is_probe=True)

    def _is_bad(self) -> bool:
        failures = self._outcomes.count(False)
        is_dead = not any(self.outcomes[-FAILURES:])
        return failures >= FAILURES and (is_dead or failures >= FAILURE_RATE * len(self._outcomes))


def _tells_when(error: Exception) -> bool:
    """Whether the vendor said when it may be asked again."""
    return isinstance(error, RateLimited) and error.retry_after is not None


def _is_certain(error: Exception) -> bool:
    """Whether one such failure is enough: the next call would end in the same way."""
    return _tells_when(error) or isinstance(error, CredentialsRejected | ModelNotServed)


def _cooldown(error: Exception, openings: int) -> float:
    """Seconds until the next probe."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return min(max(error.retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)
    if isinstance(error, CredentialsRejected | ModelNotServed):
        return REPAIR_COOLDOWN_SECONDS
    doublings = min(openings - 1, 16)  # after a week of failed probes 2.0 to their number is more than a float can be
    return min(FIRST_COOLDOWN_SECONDS * 2.0**doublings, LONGEST_COOLDOWN_SECONDS)


class HealthBoard:
    """The breakers and latencies of every rung; a change of state is written down, so that a restart forgets nothing."""

    def __init__(self, *, database: Database | None, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self.clock = clock
        self.monotonic = monotonic
        self._breakers: dict[str, CircuitBreaker] = {}
        self._first_tokens: dict[str, deque[float]] = {}
        self._saved: dict[str, tuple[str, datetime | None]] = {}
        self._saving = asyncio.Lock()

    async def load(self, rungs: Mapping[str, str]) -> None:
        """Take up the state of these rungs (by id, with the name of their level) from the database. Raises StorageUnavailable."""
        if self._database is None:
            return
        async with self._database.reading() as work:
            rows = [row for row in await work.health.all() if row.rung in rungs]
            for rung, level in rungs.items():
                self._latencies(rung).extend(reversed(await work.usage.first_token_ms(level, limit=SAMPLES)))
        for row in rows:
            self.breaker(row.rung).restore(
                state=row.state, outcomes=row.outcomes, openings=row.openings, retry_at=row.retry_at, since=row.updated_at
            )
            self._saved[row.rung] = self.breaker(row.rung).standing

    def copy(self, *, rested: Collection[str] = ()) -> HealthBoard:
        """A board that begins with what this one knows, and of which nothing is written down; *rested* rungs may be asked at once."""
        board = HealthBoard(database=None, clock=self.clock, monotonic=self.monotonic)
        for rung, breaker in self._breakers.items():
            if rung in rested:
                continue
            state, retry_at = breaker.standing
            board.breaker(rung).restore(
                state=state, outcomes=breaker.outcomes, openings=breaker.openings, retry_at=retry_at, since=breaker.rests_since
            )
        for rung, samples in self._first_tokens.items():
            board._latencies(rung).extend(samples)
        return board

    def breaker(self, rung: str) -> CircuitBreaker:
        """The rung's breaker."""
        return self._breakers.setdefault(rung, CircuitBreaker(clock=self.clock))

    def note_first_token(self, rung: str, milliseconds: float) -> None:
        """How long a rung took to its first token, or at least how long it had been silent when it was overtaken."""
        self._latencies(rung).append(milliseconds)

    def risk(self, rung: str) -> float | None:
        """How likely it is to fail soon, see `risk_of`. None where its breaker is open: it did fail, and is probed in its own time."""
        breaker, pace = self.breaker(rung), self._latencies(rung)
        age = self.clock.now() - breaker.heard_at
        return risk_of(breaker.outcomes, tuple(pace), age=age) if breaker.state is BreakerState.CLOSED else None

    def first_token_p95_ms(self, rung: str) -> float | None:
        """The learned 95th percentile of the time to the first token, None before MINIMUM_SAMPLES."""
        samples: list[float] = sorted(self._latencies(rung))
        return samples[math.ceil(0.95 * len(samples)) - 1] if len(samples) >= MINIMUM_SAMPLES else None

    async def save_changes(self) -> None:
        """Write down the breakers whose state changed since the last time. Raises StorageUnavailable."""
        async with self._saving:  # what is written last is what was seen last
            changed = {rung: breaker.standing for rung, breaker in self._breakers.items() if self._was(rung) != breaker.standing}
            if not changed or self._database is None:
                return
            async with self._database.unit_of_work() as work:
                await work.health.save([self._row(rung) for rung in changed])
            for rung, (state, retry_at) in changed.items():
                was, _ = self._was(rung)
                self._saved[rung] = state, retry_at
                if BreakerState.CLOSED in (was, state) and was != state:
                    log.info("level.rose" if state == BreakerState.CLOSED else "level.fell", rung=rung)

    def _was(self, rung: str) -> tuple[str, datetime | None]:
        """What was written down of a rung last."""
        return self._saved.get(rung, (BreakerState.CLOSED, None))

    def _latencies(self, rung: str) -> deque[float]:
        return self._first_tokens.setdefault(rung, deque[float](maxlen=SAMPLES))

    def _row(self, rung: str) -> dict[str, object]:
        breaker = self._breakers[rung]
        state, retry_at = breaker.standing
        seen = {"outcomes": list(breaker.outcomes), "openings": breaker.openings}
        return {"rung": rung, "state": state, **seen, "retry_at": retry_at, "updated_at": self.clock.now()}
