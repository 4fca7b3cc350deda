"""The hard daily allowance: dollars are set aside before a call and settled after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.clock import Clock
from bot.domain.errors import BudgetExhausted
from bot.domain.thought import Attempt, AttemptOutcome, Prompt, Usage
from storage.database import Database, UnitOfWork

SETTLED = ("outcome", "error", "cost_usd", "first_token_ms", "latency_ms")
TOOL_BYTES = 2_000
"""What a vendor, or the text protocol, adds to a prompt with tools."""

ALLOWANCE_SPENT = "\n\n*Today's allowance did not cover a better model for this; until midnight I may think with those at home.*"


class Pricing(Protocol):
    """What a call costs."""

    def cost_usd(self, provider: str, model: str, usage: Usage, *, level: str) -> float:
        """Dollars for this usage; zero only for models that run at home, or that the owner pays nothing for."""


class Budget:
    """What may still be spent today, the owner's local day, over all processes that share the database."""

    def __init__(self, *, database: Database, pricing: Pricing, daily_usd: float, timezone: str, clock: Clock) -> None:
        self._database = database
        self._pricing = pricing
        self._daily_usd = daily_usd
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self.pretended: Collection[str] | None = None

    def rehearsing(self, pretended: Collection[str]) -> Budget:
        """The same allowance for a drill in which the calls of these levels are *pretended*; see `rehearsed`."""
        budget = copy(self)
        budget.pretended = pretended
        return budget

    def day_began(self) -> datetime:
        """The last midnight where the owner lives, in UTC; the earlier one on a day that has two."""
        local = self._clock.now().astimezone(self._zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)

    def cost_usd(self, level: str, provider: str, model: str, usage: Usage) -> float:
        """Dollars for this usage."""
        return self._pricing.cost_usd(provider, model, usage, level=level)

    def most_usd(self, level: str, provider: str, model: str, prompt: Prompt) -> float:
        """The most that asking this prompt can cost: byte-level tokenizers never make more tokens than there are bytes."""
        bytes_in = len(prompt.system.encode(errors="replace")) + sum(len(line.text.encode(errors="replace")) + 8 for line in prompt.lines)
        bytes_in += sum(len(tool.text.encode(errors="replace")) for tool in prompt.tools) + (TOOL_BYTES if prompt.tools else 0)
        bytes_in += sum(len((call.name + call.arguments).encode(errors="replace")) + 40 for line in prompt.lines for call in line.calls)
        return self.cost_usd(level, provider, model, Usage(input_tokens=bytes_in, output_tokens=prompt.max_output_tokens))

    async def reserve(self, *, level: str, provider: str, model: str, prompt: Prompt, event_id: UUID | None) -> UUID | None:
        """Set the most this call can cost aside; None where it costs nothing. Raises BudgetExhausted, StorageUnavailable."""
        most = self.most_usd(level, provider, model, prompt)
        if most <= 0:
            return None
        async with self._database.unit_of_work() as work:
            reservation = await work.usage.reserve(
                limit_usd=self._daily_usd,
                since=self.day_began(),
                cost_usd=most,
                at=self._clock.now(),
                level=level,
                provider=provider,
                model=model,
                event_id=event_id,
            )
        if reservation is None:
            raise BudgetExhausted(f"{level} may cost up to ${most:.4f}, which today's ${self._daily_usd:.2f} no longer covers")
        return reservation

    async def settle(self, attempts: Sequence[Attempt], *, event_id: UUID | None) -> None:
        """As `settle`, in a commit of its own, for a turn that was called off. Raises StorageUnavailable."""
        called = attempts if self.pretended is None else rehearsed(attempts, self.pretended)
        async with self._database.unit_of_work() as work:
            await settle(work, called, event_id=event_id, now=self._clock.now())


def rehearsed(attempts: Sequence[Attempt], pretended: Collection[str]) -> list[Attempt]:
    """What a drill leaves behind: real calls are paid for, of *pretended* levels' what was set aside comes back; no pace is learned."""
    paid = [
        replace(attempt, first_token_ms=None, usage=Usage(), cost_usd=0.0)
        if attempt.level in pretended
        else replace(attempt, first_token_ms=None)
        for attempt in attempts
    ]
    return [attempt for attempt in paid if attempt.level not in pretended or attempt.reservation is not None]


async def settle(work: UnitOfWork, attempts: Sequence[Attempt], *, event_id: UUID | None, now: datetime) -> None:
    """Record what each call used and cost; what was set aside for it and not needed is free again. Raises StorageUnavailable."""
    for attempt in attempts:
        if attempt.outcome is AttemptOutcome.SKIPPED:
            continue
        values: dict[str, Any] = {name: getattr(attempt, name) for name in SETTLED}
        values |= {"detail": attempt.detail[:500], **asdict(attempt.usage)}
        if attempt.reservation is not None:
            await work.usage.settle(attempt.reservation, **values)
        else:
            values |= {"level": attempt.level, "provider": attempt.provider, "model": attempt.model}
            await work.usage.add(at=now, event_id=event_id, **values)
