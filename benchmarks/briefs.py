"""A year of briefs: six zones, three hubs on one database, which die at random; and how long composing a long one takes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import perf_counter as time_now
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import running
from bot.briefs.composer import Brief, Composer
from bot.briefs.delivery import Delivery
from bot.config import BriefsConfig
from bot.domain.address import Person
from bot.domain.brief import Day, Item, Section, Slot
from bot.domain.clock import new_id
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Stage, Task
from storage.models.people import User
from storage.schema import upgrade

ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe")
TIMES = {Slot.MORNING: "00:30", Slot.AFTERNOON: "02:15", Slot.EVENING: "18:30"}
"""The first two are leapt over or repeated where clocks change."""
HUBS = 3
DEATH = 0.03
"""How likely a hub dies wherever it can."""
OUTAGE = 0.01
"""How likely none of them runs for some hours."""
ORGANIZATION = "default"
LONG_BRIEFS = 20


class Death(BaseException):
    """FAKE: the process is gone; nobody catches it, and nothing is tidied up."""


class Fate:
    """FAKE: decides where a hub dies, and counts it."""

    def __init__(self, seed: int, likely: float) -> None:
        self._random = random.Random(seed)
        self.likely = likely
        self.deaths: Counter[str] = Counter()

    def strike(self, where: str) -> None:
        """Perhaps die here."""
        if self._random.random() < self.likely:
            self.deaths[where] += 1
            raise Death(where)


class MortalDatabase(Database):
    """A real database; FAKE only in that its process may die just before or after a commit."""

    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url, organization=ORGANIZATION)
        self._fate = fate

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[UnitOfWork]:
        """See `Database.unit_of_work`."""
        async with super().unit_of_work(is_long=is_long) as work:
            yield work
            self._fate.strike("before a commit")
        self._fate.strike("after a commit")


class MortalComposer(Composer):
    """A real composer; FAKE only in that its process may die before or after composing."""

    def __init__(self, database: Database, fate: Fate) -> None:
        super().__init__(sources=(OneSource(),), database=database, chain=None, clock=_StillClock())
        self._fate = fate

    async def compose(
        self, person: Person, slot: Slot, *, now: datetime, since: datetime, on: date | None = None, channel: str = ""
    ) -> Brief:
        """See `Composer.compose`."""
        self._fate.strike("before composing")
        brief = await super().compose(person, slot, now=now, since=since, on=on, channel=channel)
        self._fate.strike("after composing")
        return brief


class OneSource:
    """FAKE: always has one thing to tell."""

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """See `BriefSource`."""
        return [Section(key="one", title="Today", items=[Item(text=f"{day.slot} of {day.date}")], weight=50)]


class _StillClock:
    """FAKE: the simulation tells the time by what it hands on."""

    def now(self) -> datetime:
        """A moment."""
        return datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a simulated time came to. `said` counts messages, `deaths` where hubs died."""

    expected: int
    missing: int
    twice: int
    unexpected: int
    said: int
    states: Counter[str]
    deaths: Counter[str]


async def simulate(url: str, *, start: datetime, days: int, seed: int = 1, zones: Sequence[str] = ZONES) -> Outcome:
    """So many days of hubs that look, sleep as they are told, die and are begun anew."""
    fate, chance = Fate(seed, DEATH), random.Random(seed)
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(Database(url, organization=ORGANIZATION))
        users = await _household(plain, zones, start)
        databases = [await stack.enter_async_context(MortalDatabase(url, fate)) for _ in range(HUBS)]
        hubs = [_hub(database, fate) for database in databases]
        now, end = start, start + timedelta(days=days)
        while now < end:
            looked = await asyncio.gather(*(hub.look(now) for hub in hubs), return_exceptions=True)
            hubs = [_hub(db, fate) if isinstance(told, Death) else hub for db, hub, told in zip(databases, hubs, looked, strict=True)]
            if strange := [told for told in looked if isinstance(told, BaseException) and not isinstance(told, Death)]:
                raise strange[0]
            times = [told for told in looked if isinstance(told, datetime)]
            is_calm = len(times) == HUBS
            now = max(min(times, default=now), now + timedelta(seconds=1)) if is_calm else now + timedelta(seconds=20)
            if chance.random() < OUTAGE:
                now += timedelta(hours=chance.uniform(0.5, 30))
        fate.likely = 0.0
        for _ in range(3):
            now = max(now, end) + timedelta(seconds=60)
            await _hub(databases[0], fate).look(now)
        return await _outcome(plain, users, since=start, until=now, deaths=fate.deaths)


def _hub(database: Database, fate: Fate) -> Delivery:
    """A process as it begins."""
    config = BriefsConfig(morning=TIMES[Slot.MORNING], afternoon=TIMES[Slot.AFTERNOON], evening=TIMES[Slot.EVENING], missed="short")
    return Delivery(
        database=database, composer=MortalComposer(database, fate), config=config, clock=_StillClock(), owner=f"hub:1:{new_id()}"
    )


async def _household(database: Database, zones: Sequence[str], now: datetime) -> list[User]:
    """Somebody in each zone who gets briefs."""
    async with database.unit_of_work() as work:
        await work.people.ensure_organization(now)
        users = []
        for number, zone in enumerate(zones):
            role = "member" if number else "owner"
            users.append(await work.people.ensure_user(name=zone, role=role, timezone=zone, now=now))
            await work.settings.add(user_id=users[-1].id, context="*", name="briefs", value="on", source="command", at=now)
    return users


async def long_brief(folder: Path) -> AsyncIterator[Figure]:
    """Composing a brief for 500 tasks, 200 contacts and 100 deals, by every source that the app has, and without a model."""
    async with running(folder) as bench:
        now, user = bench.app.clock.now(), bench.owner.id
        mine: dict[str, Any] = {"organization_id": ORGANIZATION, "user_id": user, "created_at": now}
        async with bench.app.database.unit_of_work() as work:
            for n in range(500):
                day = now.date() + timedelta(days=n % 40 - 20)
                await work.tasks.add(Task(**mine, id=new_id(), code=f"T{n}", title=f"Task number {n}", due_on=day, priority=n % 4))
            for n in range(200):
                heard = now - timedelta(days=n % 30)
                await work.contacts.add(Contact(**mine, id=new_id(), code=f"C{n}", name=f"Person {n}", last_heard_at=heard))
            for n, stage in enumerate(list(Stage) * 17):
                await work.deals.add(
                    Deal(**mine, id=new_id(), code=f"D{n}", title=f"Deal {n}", stage=stage, changed_at=now, value_cents=n * 10**5)
                )
        took = []
        for _ in range(LONG_BRIEFS):
            began = time_now()
            brief = await bench.app.rooms.briefs.composer.compose(bench.owner, Slot.MORNING, now=now, since=now - timedelta(days=1))
            took.append((time_now() - began) * 1000)
    parts = {section.key: len(section.items) + section.more for section in brief.sections}
    most = max(took)
    yield Figure(name="brief_compose_max", value=most, unit="ms", bar="<= 300", ok=most <= 300, yardstick={"p50": p50(took), **parts})


def expected(zone: str, since: datetime, until: datetime) -> set[tuple[str, date]]:
    """Which slots of which local days come in a time, by the zone database alone."""
    there = ZoneInfo(zone)
    days = [since.date() + timedelta(days=count) for count in range(-2, (until - since).days + 3)]
    return {
        (slot, day)
        for day in days
        for slot, at in TIMES.items()
        if since < datetime.combine(day, time.fromisoformat(at), there).astimezone(UTC) <= until
    }


async def _outcome(database: Database, users: Sequence[User], *, since: datetime, until: datetime, deaths: Counter[str]) -> Outcome:
    missing = twice = unexpected = said = total = 0
    states: Counter[str] = Counter()
    async with database.reading() as work:
        for user in users:
            wanted, rows = expected(user.timezone, since, until), await work.briefs.latest(user.id, limit=5000)
            keys = Counter((row.slot, row.day) for row in rows)
            conversation = await work.conversations.find(channel="web", key=f"{user.id}/main")
            told: list[UUID] = [] if conversation is None else [m.id for m in await work.messages.latest(conversation.id, limit=5000)]
            states.update(row.state for row in rows)
            total, said = total + len(wanted), said + len(told)
            missing += len(wanted - set(keys)) + len({row.message_id for row in rows if row.message_id} - set(told))
            unexpected += len(set(keys) - wanted)
            twice += sum(count - 1 for count in keys.values()) + len(set(told) - {row.message_id for row in rows})
    return Outcome(expected=total, missing=missing, twice=twice, unexpected=unexpected, said=said, states=states, deaths=deaths)


async def year(folder: Path) -> AsyncIterator[Figure]:
    """A year of three hubs that die at random: which briefs are missing, and which came twice."""
    url = f"sqlite+aiosqlite:///{folder / 'year.db'}"
    async with Database(url, organization=ORGANIZATION) as database:
        await upgrade(database)
    outcome = await simulate(url, start=datetime(2027, 1, 1, tzinfo=UTC), days=366)
    progress(f"a year of briefs: {outcome}")
    about = {"briefs": outcome.expected, "deaths": sum(outcome.deaths.values()), **outcome.states}
    yield Figure(name="briefs_missing", value=outcome.missing, unit="briefs", bar="0", ok=not outcome.missing, yardstick=about)
    yield Figure(
        name="briefs_twice", value=outcome.twice + outcome.unexpected, unit="briefs", bar="0", ok=not outcome.twice, yardstick=about
    )
