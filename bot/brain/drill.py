"""The fire drill: fails the chain's levels on purpose, one more each time, and measures what the person would have seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.brain.brain import Brain
from bot.brain.budget import rehearsed, settle
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errors import ProviderUnavailable, RateLimited, StreamBroken
from bot.domain.ports import Provider
from bot.domain.thought import Delta, Finish, Prompt, Question
from storage.database import Database

QUESTION = "Say hello to me in one short sentence."


class Fault(StrEnum):
    """The ways in which models fail."""

    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    SILENT = "silent"
    CUT = "cut"


class FailingProvider:
    """A level on which a fault is being practised: the real one is not asked."""

    def __init__(self, provider: Provider, fault: Fault) -> None:
        self.provider = provider.provider
        self.model = provider.model
        self._fault = fault

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        """Fail in the chosen way."""
        if self._fault is Fault.CUT:
            yield Delta(text="Hello, I was just ab")
            raise StreamBroken("drill: the stream is cut")
        if self._fault is Fault.SILENT:
            await asyncio.Event().wait()
        if self._fault is Fault.RATE_LIMITED:
            raise RateLimited("drill: too many requests", retry_after=60)
        raise ProviderUnavailable("drill: connection refused")

    async def models(self) -> tuple[str, ...]:
        """None: it is out of reach."""
        raise ProviderUnavailable("drill: connection refused")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """What came out with these levels out of action: what the person would have seen, from where, when its first and last word came."""

    failed: tuple[str, ...]
    level: str
    seen: str
    why: str
    first_token_ms: float
    latency_ms: float


class Drill:
    """Rehearses failures in the real chain as it stands, with its real models; nothing reaches the ledger.

    A fault is practised on a level even if it rests; those that are not out of action rest on, as they would in a real turn. However the
    drill ends, it has worked on copies: no real breaker was tripped or lifted by it, no pace learned from it.
    """

    def __init__(self, *, chain: FallbackChain, brain_over: Callable[[FallbackChain], Brain], database: Database, clock: Clock) -> None:
        self._chain = chain
        self._brain_over = brain_over
        self._database = database
        self._clock = clock

    async def rehearse(self, question: Question, fault: Fault) -> AsyncGenerator[Rehearsal]:
        """One rehearsal for each level from none failing to all failing. What the real models cost meanwhile is paid from the allowance."""
        levels = list(dict.fromkeys(rung.level for rung in self._chain.rungs))
        for count in range(len(levels) + 1):
            failed = tuple(levels[:count])
            brain = self._brain_over(self._chain.rehearsing([_broken(rung, fault, failed) for rung in self._chain.rungs]))
            watch = _Watch()
            turn = await brain.answer(question, watch)
            last = (time.monotonic() - watch.began) * 1000
            async with self._database.unit_of_work() as work:
                await settle(work, rehearsed(turn.attempts, failed), event_id=None, now=self._clock.now())
            first = last if watch.first_ms is None else watch.first_ms
            seen = {"level": turn.level, "seen": turn.text, "why": turn.why}
            yield Rehearsal(failed=failed, **seen, first_token_ms=round(first, 1), latency_ms=round(last, 1))


class _Watch:
    """Notes when the first word came of the text that stayed."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first_ms: float | None = None

    async def token(self, text: str) -> None:
        if self.first_ms is None:
            self.first_ms = (time.monotonic() - self.began) * 1000

    async def replace(self, text: str) -> None:
        self.first_ms = (time.monotonic() - self.began) * 1000


def drill_question(person: Person, clock: Clock) -> Question:
    """What is asked in a drill: by this person, in a conversation that does not exist."""
    return Question(id=new_id(), conversation_id=new_id(), person=person, text=QUESTION, asked_at=clock.now())


def _broken(rung: Rung, fault: Fault, failed: tuple[str, ...]) -> Rung:
    return replace(rung, provider=FailingProvider(rung.provider, fault)) if rung.level in failed else rung
