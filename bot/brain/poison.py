"""What single questions do to single rungs: who refused which, and over which one breaks off again and again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from bot.domain.clock import Clock
from bot.domain.errors import ContextTooLong, ProviderError, RequestRejected, StreamBroken

BREAKS_ALLOWED = 3
FIRST_REST_SECONDS = 600.0
LONGEST_REST_SECONDS = 21_600.0
QUESTIONS_KEPT = 1000
"""Asked again late, once a minute for as long as another level is away, such a question would be paid for each time."""


@dataclass(kw_only=True, slots=True)
class _Fault:
    """Of one question at one rung. `breaks` are its own: before each, the rung answered another. In a `streak` it answered nobody."""

    is_refused: bool = False
    breaks: int = 0
    streak: int = 0
    answers_before: int = -1
    broke_at: datetime


class PoisonRegister:
    """Remembers, for as long as the process lives, which questions a rung is to be spared."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[UUID, dict[str, _Fault]] = {}
        self._answers: Counter[str] = Counter()

    def note_answer(self, rung: str) -> None:
        """It answered a question."""
        self._answers[rung] += 1

    def note_failure(self, rung: str, question: UUID | None, error: ProviderError) -> bool:
        """It did not answer this one. Says whether that tells anything of the rung: not if it has answered others since it broke first."""
        if question is None or not isinstance(error, RequestRejected | ContextTooLong | StreamBroken):
            return True
        fault = self._faults.setdefault(question, {}).setdefault(rung, _Fault(broke_at=self._clock.now()))
        if len(self._faults) > QUESTIONS_KEPT:
            del self._faults[next(iter(self._faults))]
        if not isinstance(error, StreamBroken):
            fault.is_refused = True
            return True
        is_own = self._answers[rung] > fault.answers_before
        is_news = not is_own or not fault.breaks
        fault.breaks, fault.streak = fault.breaks + is_own, 1 if is_own else fault.streak + 1
        fault.answers_before, fault.broke_at = self._answers[rung], self._clock.now()
        return is_news

    def verdict(self, rung: str, question: UUID | None) -> type[ProviderError] | None:
        """Why the rung is not to be asked this now: it refused it, or broke off over it too often; None where it may be."""
        fault = self._faults.get(question, {}).get(rung) if question is not None else None
        if fault is None:
            return None
        if fault.is_refused:
            return RequestRejected
        return StreamBroken if fault.breaks >= BREAKS_ALLOWED or self._rests(rung, fault) else None

    def _rests(self, rung: str, fault: _Fault) -> bool:
        """Whether, after a streak, it is too early for another try; as soon as the rung has answered anybody it is not."""
        if fault.streak < BREAKS_ALLOWED or self._answers[rung] > fault.answers_before:
            return False
        seconds = min(FIRST_REST_SECONDS * 2.0 ** min(fault.streak - BREAKS_ALLOWED, 16), LONGEST_REST_SECONDS)
        return fault.broke_at <= self._clock.now() < fault.broke_at + timedelta(seconds=seconds)
