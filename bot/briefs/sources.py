"""What Robbie himself has to tell in a brief: decisions that wait, answers owed, what he did, what was done, how he is, what he cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from bot.brain.budget import Budget
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.domain.message import Button
from bot.services.notices import bare_line
from storage.database import Database
from storage.models.affairs import Activity

LONGEST_LINE = 120
MOST_ACTIVITIES = 200


class DecisionsWaiting:
    """What waits for the person's yes."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self._database.reading() as work:
            waiting = await work.proposals.waiting(person.id, day.now)
        items = [
            Item(
                text=bare_line(each.title, LONGEST_LINE),
                buttons=(Button(label="Approve", command=f"/approve {each.code}"), Button(label="Reject", command=f"/reject {each.code}")),
            )
            for each in waiting
        ]
        return [section("decisions", "Waiting for your decision", items, 70, longest)]


class AnswersOwed:
    """Questions that only got a makeshift reply so far."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        async with self._database.reading() as work:
            owed = await work.inbox.queued_of(person.id)
        items = [Item(text=f"“{bare_line(text, LONGEST_LINE)}”") for text in owed]
        return [section("owed", "I still owe you an answer to", items, 40, longest)]


class WhatHappened:
    """What Robbie did since the last brief and what came in; in the evening, what was done today."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        midnight = day.now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        async with self._database.reading() as work:
            lines = [line for line in await work.activities.latest(person.id, limit=MOST_ACTIVITIES) if line.undone_at is None]
            mails = await work.inbox.strangers_since("email", day.since) if person.is_owner else 0
        mine = [_told(line, day.now) for line in lines if line.actor == "robbie" and line.at > day.since]
        came = [Item(text=f"{mails} mail{'s' * (mails > 1)} from people I do not know")] if mails else []
        found = [section("changed", "Since the last brief", [*came, *mine], 30, longest)]
        if day.slot is Slot.EVENING:
            done = [_told(line, day.now) for line in lines if line.actor != "robbie" and line.at >= midnight]
            found.append(section("done", "Done today", done, 20, longest))
        return found


class HowIAm:
    """For the owner: models and channels that are not well, and what today's models cost of the allowance."""

    def __init__(
        self,
        *,
        health: HealthBoard,
        rungs: Sequence[tuple[str, str]],
        budget: Budget,
        daily_usd: float,
        database: Database,
        troubles: Callable[[str], Sequence[str]],
    ) -> None:
        self._health = health
        self._rungs = rungs
        self._budget = budget
        self._daily_usd = daily_usd
        self._database = database
        self._troubles = troubles

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        if not person.is_owner:
            return []
        async with self._database.reading() as work:
            spent = await work.usage.spent_since(self._budget.day_began())
        silent = [level for rung, level in self._rungs if self._health.rung(rung).state is BreakerState.OPEN]
        wrong = [Item(text=trouble) for trouble in self._troubles(person.timezone)]
        if silent:
            wrong.append(
                Item(text=f"{', '.join(silent)} did not answer lately ({len(self._rungs) - len(silent)} of {len(self._rungs)} well)")
            )
        cost = Item(text=f"Models cost ${spent:.2f} today, of ${self._daily_usd:.2f}")
        return [section("trouble", "Not well with me", wrong, 60, longest), section("cost", "Cost", [cost], 5, longest)]


def section(key: str, title: str, items: Sequence[Item], weight: float, longest: int) -> Section:
    """A section of the first *longest* items, which knows how many there are more."""
    return Section(key=key, title=title, items=items[:longest], weight=weight, more=max(len(items) - longest, 0))


def _told(line: Activity, now: datetime) -> Item:
    return Item(text=f"{line.at.astimezone(now.tzinfo):%H:%M} {one_line(line.text, LONGEST_LINE)}")
