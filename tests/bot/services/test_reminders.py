"""A reminder is said once, when its time comes, however many hubs look; what recurs goes on at its next time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.clock import new_id
from bot.services.reminders import BATCH, Reminders
from bot.services.tasks import REMINDER, Tasks
from storage.database import Database, UnitOfWork
from storage.models.affairs import Task
from storage.models.people import User
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage


@pytest.fixture
def reminders(stage: Stage) -> Reminders:
    return Reminders(database=stage.database)


@pytest.fixture(autouse=True)
async def _in_berlin(stage: Stage) -> None:
    async with stage.database.unit_of_work() as work:
        await work.people.ensure_user(name="Allan", role="owner", timezone="Europe/Berlin", now=stage.clock.now())


@pytest.fixture
def tasks(stage: Stage) -> Tasks:
    return Tasks(database=stage.database, clock=stage.clock)


async def said(stage: Stage, user: User) -> list[str]:
    """What this person was told unasked."""
    async with stage.database.reading() as work:
        conversation = await work.conversations.last_private(user.id)
        conversation = conversation or await work.conversations.find(channel="web", key=f"{user.id}/main")
        rows = await work.messages.latest(conversation.id, limit=5000) if conversation else []
    return [row.text for row in rows if row.direction == "out"]


async def many(work: UnitOfWork, user: User, count: int, at: datetime) -> None:
    """So many reminders for a moment."""
    for number in range(count):
        ids = {"organization_id": work.organization, "id": new_id(), "user_id": user.id, "code": f"N{number}"}
        await work.tasks.add(Task(**ids, title=f"thing {number}", created_at=at, due_on=at.date(), due_at=at, remind_at=at))


async def test_it_is_said_once_and_not_before_its_time(stage: Stage, tasks: Tasks, reminders: Reminders):
    await tasks.take(errand_of(stage.allan), "call Dana today at 14:00", REMINDER)
    due = datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert await reminders.look(stage.clock.now()) == due
    stage.clock.moment = due
    assert await reminders.look(stage.clock.now()) is None
    await reminders.look(stage.clock.advance(seconds=60))
    assert await said(stage, stage.allan) == ["Reminder: **call Dana**"]


async def test_after_a_long_outage_one_late_reminder_comes_that_says_so_and_then_the_regular_one(
    stage: Stage, tasks: Tasks, reminders: Reminders
):
    await tasks.take(errand_of(stage.allan), "stretch every day at 9", REMINDER)
    stage.clock.advance(seconds=10 * 86400)  # 2 December, noon in UTC
    assert await reminders.look(stage.clock.now()) == datetime(2026, 12, 3, 8, tzinfo=UTC)
    assert await said(stage, stage.allan) == ["Reminder: **stretch** (I am late: it was for 09:00 on Monday 23 November.)"]
    stage.clock.moment = datetime(2026, 12, 3, 8, tzinfo=UTC)
    await reminders.look(stage.clock.now())
    assert (await said(stage, stage.allan))[1:] == ["Reminder: **stretch**"]


async def test_done_after_the_reminder_does_not_skip_the_next_one(stage: Stage, tasks: Tasks, reminders: Reminders):
    row, _ = await tasks.take(errand_of(stage.allan), "stretch every day at 9", REMINDER)
    stage.clock.moment = datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)
    await reminders.look(stage.clock.now())
    stage.clock.advance(seconds=600)
    assert "tomorrow at 09:00" in await tasks.done(errand_of(stage.allan), row, "2026-11-23")
    assert await reminders.look(stage.clock.now()) == datetime(2026, 11, 24, 8, tzinfo=UTC)


async def test_what_is_snoozed_comes_again_and_a_series_keeps_its_own_time(stage: Stage, tasks: Tasks, reminders: Reminders):
    row, _ = await tasks.take(errand_of(stage.allan), "stretch every day at 9", REMINDER)
    stage.clock.moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    await reminders.look(stage.clock.now())
    await tasks.snooze(errand_of(stage.allan), row, "today at 11:00")
    stage.clock.moment = datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert await reminders.look(stage.clock.now()) == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert await said(stage, stage.allan) == ["Reminder: **stretch**"] * 2


async def test_an_unreadable_rule_is_said_and_holds_up_no_other(stage: Stage, tasks: Tasks, reminders: Reminders):
    row, _ = await tasks.take(errand_of(stage.allan), "stretch every day at 9", REMINDER)
    async with stage.database.unit_of_work() as work:
        await work.tasks.change(row.id, rule="DTSTART:20261122T090000\nRRULE:FREQ=NONSENSE")
        await many(work, stage.grace, 1, datetime(2026, 11, 23, 8, tzinfo=UTC))
    stage.clock.moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    await reminders.look(stage.clock.now())
    assert (await said(stage, stage.allan), await said(stage, stage.grace)) == (["Reminder: **stretch**"], ["Reminder: **thing 0**"])


async def test_a_thousand_due_at_once_are_each_said_once_by_three_hubs(database_url: str, stage: Stage):
    at = stage.clock.now()
    async with stage.database.unit_of_work() as work:
        await many(work, stage.allan, 1000, at)
    hubs = [Database(database_url, organization=stage.database.organization) for _ in range(3)]
    try:
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(60):
            await asyncio.gather(*(Reminders(database=hub).look(at) for hub in hubs))
        seconds = asyncio.get_running_loop().time() - started
    finally:
        for hub in hubs:
            await hub.close()
    texts = await said(stage, stage.allan)
    assert sorted(texts) == sorted(f"Reminder: **thing {number}**" for number in range(1000))
    assert seconds < 10, "the bar is 5 s, which the benchmark holds; this machine may be busy"


async def test_a_hub_that_dies_in_the_middle_loses_and_doubles_none(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    at = stage.clock.now()
    async with stage.database.unit_of_work() as work:
        await many(work, stage.allan, BATCH + 50, at)
    dying = asyncio.create_task(Reminders(database=stage.database).look(at))
    while not await said(stage, stage.allan):
        await asyncio.sleep(0)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await Reminders(database=stage.database).look(at + timedelta(seconds=1))
    assert len(await said(stage, stage.allan)) == len(set(await said(stage, stage.allan))) == BATCH + 50
