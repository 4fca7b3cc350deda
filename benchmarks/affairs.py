"""What a person's affairs cost: a thousand reminders at once, the round trip of a task command, and what they tell a brief."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import Bench, running
from bot.domain.brief import Day, Slot
from bot.domain.clock import SystemClock, new_id
from bot.hub.timekeeper import Timekeeper
from bot.services.affair_news import AffairNews
from bot.services.books import Books
from bot.services.reminders import Reminders
from storage.database import Database
from storage.models.affairs import Contact, Deal, Task
from storage.schema import upgrade
from tests.postgres import running_postgres, why_missing

REMINDERS = 1000
AHEAD = timedelta(seconds=4)
TASKS, CONTACTS, DEALS = 500, 200, 100
COMMANDS = 200


async def reminders(folder: Path) -> AsyncIterator[Figure]:
    """A thousand reminders of one moment: how late the last is in the outbox, and whether each is there once."""
    progress(f"reminders: {REMINDERS} at once, SQLite")
    async with running(folder) as bench:
        yield await _late("sqlite", [bench.app.database])
        yield await _each_once("sqlite", bench.app.database)
    if reason := why_missing():
        progress(f"reminders: PostgreSQL was not measured: {reason}")
        return
    progress(f"reminders: {REMINDERS} at once, three hubs on PostgreSQL")
    with running_postgres() as server:
        url = server.url(server.create())
        async with AsyncExitStack() as stack:
            hubs = [await stack.enter_async_context(Database(url, organization="bench")) for _ in range(3)]
            await upgrade(hubs[0])
            async with hubs[0].unit_of_work() as work:
                now = SystemClock().now()
                await work.people.ensure_organization(now)
                await work.people.ensure_user(name="Allan", role="owner", timezone="Europe/Berlin", now=now)
            yield await _late("postgresql_three_hubs", hubs)
            yield await _each_once("postgresql_three_hubs", hubs[0])


async def _late(name: str, hubs: list[Database]) -> Figure:
    due = SystemClock().now() + AHEAD
    async with hubs[0].unit_of_work() as work:
        owner = await work.people.owner()
        for number in range(REMINDERS):
            ids = {"organization_id": work.organization, "id": new_id(), "user_id": owner.id, "code": f"N{number}"}
            await work.tasks.add(Task(**ids, title=f"thing {number}", created_at=due, due_on=due.date(), due_at=due, remind_at=due))
    async with AsyncExitStack() as stack:
        for hub in hubs:
            await stack.enter_async_context(Timekeeper(rounds=(Reminders(database=hub),), clock=SystemClock()))
        async with asyncio.timeout(60):
            while sum((await _counts(hubs[0])).values()) < REMINDERS:
                await asyncio.sleep(0.05)
        late = (SystemClock().now() - due).total_seconds()
    return Figure(name=f"reminders_late_seconds_{name}", value=late, unit="s", bar="<= 5", ok=late <= 5, yardstick={"reminders": REMINDERS})


async def _counts(database: Database) -> dict[str, int]:
    async with database.reading() as work:
        return dict(await work.outbox.counts())


async def _each_once(name: str, database: Database) -> Figure:
    async with database.reading() as work:
        owner = await work.people.owner()
        place = await work.conversations.find(channel="web", key=f"{owner.id}/main")
        assert place is not None
        texts = [message.text for message in await work.messages.latest(place.id, limit=10 * REMINDERS)]
    wrong = abs(len(texts) - REMINDERS) + len(texts) - len(set(texts))
    return Figure(name=f"reminders_lost_or_twice_{name}", value=wrong, unit="reminders", bar="0", ok=wrong == 0)


async def commands(folder: Path) -> AsyncIterator[Figure]:
    """The round trip of a task command through the hub, and what tasks, people and deals tell a brief, among many of each."""
    async with running(folder) as bench:
        await _fill(bench)
        usual = 0.0
        for words in ("hello", "/task write chapter {n} tomorrow at 3", "/task done write chapter {n}", "/tasks"):
            times = []
            for n in range(COMMANDS):
                began = time.perf_counter()
                await bench.turn(words.format(n=n), conversation=f"tasks{n // 20}")
                times.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.002)
            took, most = p50(times), sorted(times)[int(COMMANDS * 0.99) - 1]
            if not usual:
                usual = took
                continue
            name, beside = words.split()[0][1:] + ("_done" * ("done" in words)), {"p99_ms": most, "any_turn_p50_ms": usual}
            bar = "<= 100"
            yield Figure(name=f"command_{name}_p50", value=took, unit="ms", bar=bar, ok=took <= 100, yardstick=beside, ratio=took / usual)
        now = bench.app.clock.now().astimezone(ZoneInfo(bench.owner.timezone))
        day, news = Day(slot=Slot.MORNING, date=now.date(), now=now, since=now - timedelta(days=1)), AffairNews(_books(bench))
        times = []
        for _ in range(30):
            began = time.perf_counter()
            await news.sections(bench.owner, day, longest=8)
            times.append((time.perf_counter() - began) * 1000)
        of = {"tasks": TASKS, "contacts": CONTACTS, "deals": DEALS}
        yield Figure(name="brief_affairs_p50", value=p50(times), unit="ms", bar="<= 150", ok=p50(times) <= 150, yardstick=of)


def _books(bench: Bench) -> Books:
    return Books.over(bench.app.database, bench.app.clock)


async def _fill(bench: Bench) -> None:
    now = bench.app.clock.now()

    def ids(number: int) -> dict[str, object]:
        return {"organization_id": "", "id": new_id(), "user_id": bench.owner.id, "code": f"N{number}", "created_at": now}

    async with bench.app.database.unit_of_work() as work:
        for n in range(TASKS):
            await work.tasks.add(Task(**ids(n), title=f"thing {n}", due_on=_day(now, n % 40 - 20)))  # type: ignore[arg-type]
        for n in range(CONTACTS):
            heard = now - timedelta(days=n % 9) if n % 3 else None
            await work.contacts.add(Contact(**ids(n), name=f"Person {n}", last_heard_at=heard))  # type: ignore[arg-type]
        for n in range(DEALS):
            stage = ("lead", "qualified", "proposal", "negotiation", "won")[n % 5]
            await work.deals.add(Deal(**ids(n), title=f"Deal {n}", changed_at=now, stage=stage, value_cents=n * 1000_00))  # type: ignore[arg-type]


def _day(now: datetime, days: int) -> object:
    return (now + timedelta(days=days)).date()
