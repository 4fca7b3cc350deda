"""What Robbie himself tells in a brief, to whom, and what he keeps from everybody else."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from bot.brain.budget import Budget
from bot.brain.health import HealthBoard
from bot.brain.pricing import Prices
from bot.briefs.sources import AnswersOwed, HowIAm, WhatHappened
from bot.domain.address import Person
from bot.domain.brief import BriefSource, Day, Slot
from storage.models.messaging import InboxState
from storage.repositories.affairs import new_activity
from tests.stage import Stage


async def told(stage: Stage, source: BriefSource, *, who: str = "Allan", slot: Slot = Slot.EVENING) -> dict[str, list[str]]:
    user = stage.allan if who == "Allan" else stage.grace
    now = stage.clock.now().astimezone(ZoneInfo("UTC"))
    day = Day(slot=slot, date=now.date(), now=now, since=now - timedelta(hours=5))
    person = Person(id=user.id, name=user.name, role=user.role, timezone="UTC")
    return {
        section.title: [item.text for item in section.items] for section in await source.sections(person, day, longest=5) if section.items
    }


async def test_answers_that_are_owed_are_told_to_whoever_asked(stage: Stage):
    event_id = await stage.receives("What did *Dana* say?")
    async with stage.database.unit_of_work() as work:
        await work.inbox.reopen(event_id, InboxState.QUEUED)
    source = AnswersOwed(database=stage.database)
    assert await told(stage, source) == {"I still owe you an answer to": ["“What did Dana say?”"]}
    assert await told(stage, source, who="Grace") == {}


async def test_what_robbie_did_is_news_and_what_the_person_did_is_the_evening_s(stage: Stage):
    async with stage.database.unit_of_work() as work:
        for actor, text, hours in (("robbie", "Wrote to Bob", 1), ("robbie", "Long ago", 6), ("person", "Done: milk", 2)):
            at = stage.clock.now() - timedelta(hours=hours)
            await work.activities.record(new_activity("default", user_id=stage.allan.id, actor=actor, kind="x.y", text=text, at=at))
    source = WhatHappened(database=stage.database)
    assert await told(stage, source) == {"Since the last brief": ["11:00 Wrote to Bob"], "Done today": ["10:00 Done: milk"]}
    assert await told(stage, source, slot=Slot.MORNING) == {"Since the last brief": ["11:00 Wrote to Bob"]}
    assert await told(stage, source, who="Grace") == {}


async def test_health_and_cost_are_the_owner_s(stage: Stage):
    budget = Budget(database=stage.database, pricing=Prices.load(), daily_usd=5.0, timezone="UTC", clock=stage.clock)
    health = HealthBoard(database=stage.database, clock=stage.clock)
    channels = ["Slack is out of reach since 10:00."]
    source = HowIAm(
        health=health, rungs=[("r", "claude")], budget=budget, daily_usd=5.0, database=stage.database, troubles=lambda zone: channels
    )
    assert await told(stage, source) == {"Not well with me": channels, "Cost": ["Models cost $0.00 today, of $5.00"]}
    assert await told(stage, source, who="Grace") == {}
