"""What single questions do to single rungs: who refused which, and over which one breaks off while it answers others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from bot.domain.errors import ContextTooLong, ProviderError, RequestRejected, StreamBroken

BREAKS_ALLOWED = 3
QUESTIONS_KEPT = 1000
"""Asked again late, once a minute for as long as another level is away, a refused question would be paid for each time."""


@dataclass(kw_only=True, slots=True)
class _Fault:
    """`breaks` are those between which the rung answered another question: in an outage it breaks over any."""

    is_refused: bool = False
    breaks: int = 0
    answers_before: int = -1


class PoisonRegister:
    """Remembers, for as long as the process lives, which questions a rung is to be spared."""

    def __init__(self) -> None:
        self._faults: dict[UUID, dict[str, _Fault]] = {}
        self._answers: Counter[str] = Counter()

    def note_answer(self, rung: str) -> None:
        """It answered a question."""
        self._answers[rung] += 1

    def note_failure(self, rung: str, question: UUID | None, error: ProviderError) -> bool:
        """It did not answer this one. Says whether that tells anything of the rung: what broke over the same question before does not."""
        if question is None or not isinstance(error, RequestRejected | ContextTooLong | StreamBroken):
            return True
        fault = self._faults.setdefault(question, {}).setdefault(rung, _Fault())
        if len(self._faults) > QUESTIONS_KEPT:
            del self._faults[next(iter(self._faults))]
        if not isinstance(error, StreamBroken):
            fault.is_refused = True
            return True
        is_first = fault.breaks == 0
        if self._answers[rung] > fault.answers_before:
            fault.breaks, fault.answers_before = fault.breaks + 1, self._answers[rung]
        return is_first

    def verdict(self, rung: str, question: UUID | None) -> type[ProviderError] | None:
        """Why the rung is not to be asked this again: it refused it, or broke off over it again and again; None where it may be."""
        fault = self._faults.get(question, {}).get(rung) if question is not None else None
        if fault is None:
            return None
        return RequestRejected if fault.is_refused else StreamBroken if fault.breaks >= BREAKS_ALLOWED else None
