"""What Robbie himself has to tell in a brief: decisions that wait, answers owed, what he did, what was done, how he is, what he cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.brain.budget import Budget
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.domain.message import Button
from bot.services.notices import bare_line
from storage.database import Database

LONGEST_LINE = 120
MOST_ACTIVITIES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionsWaiting:
    """What waits for the person's yes."""

    database: Database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self.database.reading() as work:
            waiting = await work.proposals.waiting(person.id, day.now)
        choices = [[Button(label=verb, command=f"/{verb.lower()} {each.code}") for verb in ("Approve", "Reject")] for each in waiting]
        items = [Item(text=bare_line(each.title, LONGEST_LINE), buttons=tuple(both)) for each, both in zip(waiting, choices, strict=True)]
        return [_section("decisions", "Waiting for your decision", items, 70, longest)]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswersOwed:
    """Questions that only got a makeshift reply so far."""

    database: Database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self.database.reading() as work:
            owed = await work.inbox.queued_of(person.id)
        items = [Item(text=f"“{bare_line(text, LONGEST_LINE)}”") for text in owed]
        return [_section("owed", "I still owe you an answer to", items, 40, longest)]


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatHappened:
    """What Robbie did since the last brief and what came in; in the evening, what was done today."""

    database: Database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        midnight = day.now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        async with self.database.reading() as work:
            lines = [line for line in await work.activities.latest(person.id, limit=MOST_ACTIVITIES) if line.undone_at is None]
            mails = await work.inbox.strangers_since("email", day.since) if person.is_owner else 0
        told = [(line, Item(text=f"{line.at.astimezone(day.now.tzinfo):%H:%M} {one_line(line.text, LONGEST_LINE)}")) for line in lines]
        came = [Item(text=f"{mails} mail{'s' * (mails > 1)} from people I do not know")] if mails else []
        mine = [item for line, item in told if line.actor == "robbie" and line.at > day.since]
        done = [item for line, item in told if line.actor != "robbie" and line.at >= midnight and day.slot is Slot.EVENING]
        return [_section("changed", "Since the last brief", [*came, *mine], 30, longest), _section("done", "Done today", done, 20, longest)]


@dataclass(frozen=True, kw_only=True, slots=True)
class HowIAm:
    """For the owner: models (`rungs`: id and level) and channels that are not well, and what today's models cost of the allowance."""

    health: HealthBoard
    rungs: Sequence[tuple[str, str]]
    budget: Budget
    daily_usd: float
    database: Database
    troubles: Callable[[str], Sequence[str]]

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        if not person.is_owner:
            return []
        async with self.database.reading() as work:
            spent = await work.usage.spent_since(self.budget.day_began())
        silent = [level for rung, level in self.rungs if self.health.breaker(rung).state is BreakerState.OPEN]
        wrong = [Item(text=trouble) for trouble in self.troubles(person.timezone)]
        if silent:
            wrong.append(Item(text=f"{', '.join(silent)} did not answer lately ({len(silent)} of {len(self.rungs)} ways to think)"))
        cost = Item(text=f"Models cost ${spent:.2f} today, of ${self.daily_usd:.2f}")
        return [_section("trouble", "Not well with me", wrong, 60, longest), _section("cost", "Cost", [cost], 5, longest)]


def _section(key: str, title: str, items: Sequence[Item], weight: float, longest: int) -> Section:
    """A section of the first *longest* items, which knows how many there are more."""
    return Section(key=key, title=title, items=items[:longest], weight=weight, more=max(len(items) - longest, 0))
