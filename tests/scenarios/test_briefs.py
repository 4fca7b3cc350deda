"""Briefs come once: by the clock, whatever dies, wherever their person is; what was missed is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.briefs import simulate
from bot.brain.chain import Rung
from bot.briefs.delivery import Delivery
from bot.config import IdentityConfig, PersonConfig
from storage.models.manners import StoredBrief
from tests.clock import FakeClock
from tests.fakes import FakeProvider, Pause
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either

BERLIN_MORNING = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)


@asynccontextmanager
async def briefed(url: str, folder: Path, clock: FakeClock, **more: Any) -> AsyncIterator[House]:
    """Allan's house in Berlin, from Sunday noon on; he has one task a day to be told of, so that there is something to say."""
    async with open_house(url, folder, clock=clock, **more) as house:
        await look(house, clock, datetime(2026, 11, 22, 20, tzinfo=UTC))
        where, now = await a_conversation(house), clock.now()
        about = {"kind": "reply", "user_id": house.owner.id, "title": "Mail from Bob", "text": "Yes.", "details": {}, "event_id": None}
        async with house.app.database.unit_of_work() as work:
            until = now + timedelta(days=99)
            await work.proposals.add_once(**about, code="ABCD", conversation_id=where.id, created_at=now, expires_at=until)
        yield house


async def a_conversation(house: House) -> Any:
    async with house.app.database.unit_of_work() as work:
        where = {"channel": "web", "key": f"{house.owner.id}/main", "session_type": "private"}
        return await work.conversations.ensure(**where, user_id=house.owner.id, now=house.app.clock.now())


async def look(house: House, clock: FakeClock, at: datetime) -> None:
    """What the timekeeper does at a moment, until nothing is to be done any more."""
    clock.moment = max(clock.moment, at)
    for _ in range(6):
        await house.app.rooms.briefs.look(clock.now())


async def rows(house: House, *, since: date = date(2026, 11, 23)) -> list[StoredBrief]:
    async with house.app.database.reading() as work:
        return [row for row in reversed(await work.briefs.latest(house.owner.id, limit=50)) if row.day >= since]


def told(found: list[StoredBrief]) -> list[tuple[str, int, str]]:
    return [(row.slot, row.day.day, row.state) for row in found]


@pytest.mark.parametrize(
    "start", [pytest.param(datetime(2027, 3, 27, 12, tzinfo=UTC), marks=pytest.mark.both), datetime(2027, 10, 28, 6, tzinfo=UTC)]
)
async def test_three_hubs_that_die_at_random_bring_each_brief_once(database_url: str, start: datetime):
    """Six zones around nights in which clocks change, in Beirut or Cairo at midnight. The whole year is in `benchmarks`."""
    outcome = await simulate(database_url, start=start, days=2, seed=start.month)
    assert (outcome.missing, outcome.twice, outcome.unexpected) == (0, 0, 0)
    assert outcome.expected >= 30
    assert outcome.deaths.total() >= 3


async def test_the_brief_comes_where_its_person_was_heard_last_and_is_not_repeated(database_url: str, tmp_path: Path, clock: FakeClock):
    async with briefed(database_url, tmp_path, clock) as house:
        await house.asks("hello")
        for minutes in (0, 0, 1, 30):
            await look(house, clock, BERLIN_MORNING + timedelta(minutes=minutes))
        assert told(await rows(house)) == [("morning", 23, "sent")]
        async with house.app.database.reading() as work:
            message = await work.messages.find_by_id((await rows(house))[0].message_id)
        assert message.text.startswith("# Morning brief, Monday 23 November 2026\n\nGood morning. 1 thing needs you today.")
        assert message.details["buttons"][0] == ["Approve: Mail from Bob", "/approve ABCD"]
        await until(lambda: len(house.push.took) == 2)
        assert house.push.texts == ["re: hello", message.text]


@pytest.mark.parametrize(
    ("missed", "states", "says"),
    [
        ("run", ["skipped", "sent"], "This one is late: it was due at 13:00 on Monday 23 November 2026, and I was not running then"),
        ("short", ["skipped", "short"], "One brief did not come: that for the morning of Monday 23 November 2026."),
        ("skip", ["skipped", "skipped"], ""),
    ],
)
async def test_what_was_missed_is_treated_as_config_says_and_said(
    database_url: str, tmp_path: Path, clock: FakeClock, missed: str, states: list[str], says: str
):
    async with briefed(database_url, tmp_path, clock, briefs={"missed": missed}) as house:
        await look(house, clock, BERLIN_MORNING + timedelta(hours=8))
        found = await rows(house)
        assert [row.state for row in found] == states
        assert says in found[-1].text
        await look(house, clock, BERLIN_MORNING + timedelta(hours=11))
        assert ("2 briefs did not come, from the morning of Monday 23" in (await rows(house))[-1].text) == (missed == "skip")


@pytest.mark.parametrize("quiet", ["line", "silent"])
async def test_nothing_to_say_is_one_line_or_silence(database_url: str, tmp_path: Path, clock: FakeClock, quiet: str):
    async with open_house(database_url, tmp_path, clock=clock, briefs={"quiet": quiet}) as house:
        await look(house, clock, datetime(2026, 11, 22, 20, tzinfo=UTC))
        await look(house, clock, BERLIN_MORNING)
        found = await rows(house)
        assert told(found) == [("morning", 23, "quiet")]
        assert (found[0].text.splitlines(), found[0].message_id is not None) == (
            (["Good morning. Nothing needs you just now."], True) if quiet == "line" else ([], False)
        )


async def test_quiet_until_wednesday_and_not_a_brief_longer(database_url: str, tmp_path: Path, clock: FakeClock):
    async with briefed(database_url, tmp_path, clock) as house:
        assert "No briefs until Wednesday 25 November 2026 at 00:00." in (await house.asks("Quiet until Wednesday, please")).text
        for hours in range(0, 49, 2):
            await look(house, clock, BERLIN_MORNING + timedelta(hours=hours))
        assert [row.state for row in await rows(house)] == ["quiet"] * 6 + ["sent"]


async def test_a_journey_outlasts_a_restart_and_ends_by_itself(database_url: str, tmp_path: Path, clock: FakeClock):
    async def zones(house: House) -> tuple[str, str]:
        await look(house, clock, clock.now())
        async with house.app.database.reading() as work:
            user = await work.people.find_user_by_id(house.owner.id)
        return user.timezone, user.home_timezone

    async with briefed(database_url, tmp_path, clock) as house:
        assert (await house.asks("I’m in Tokyo until Friday.")).text.startswith(
            "You are in Asia/Tokyo until Friday 27 November 2026 at 23:59"
        )
        assert await zones(house) == ("Asia/Tokyo", "Europe/Berlin")
    async with open_house(database_url, tmp_path, clock=clock) as house:
        assert (house.owner.timezone, await zones(house)) == ("Asia/Tokyo", ("Asia/Tokyo", "Europe/Berlin"))
        clock.moment = datetime(2026, 11, 27, 15, tzinfo=UTC)  # Saturday in Tokyo
        assert await zones(house) == ("Europe/Berlin", "Europe/Berlin")


async def test_a_change_of_config_ends_a_journey_and_undo_takes_one_back(database_url: str, tmp_path: Path, clock: FakeClock):
    async with briefed(database_url, tmp_path, clock) as house:
        await house.asks("/zone Lisbon")
        await house.asks("/undo")
        await look(house, clock, clock.now())
        assert (await house.app.directory.owner()).timezone == "Europe/Berlin"
        await house.asks("/zone Lisbon")
    people = [PersonConfig(name="Allan", role="owner", timezone="America/Denver")]
    async with open_house(database_url, tmp_path, clock=clock, people=people) as house:
        await look(house, clock, clock.now())
        assert (await house.app.directory.owner()).timezone == "America/Denver"


async def test_a_flight_brings_no_local_day_twice_and_says_what_it_leapt_over(database_url: str, tmp_path: Path, clock: FakeClock):
    async with briefed(database_url, tmp_path, clock) as house:
        await look(house, clock, BERLIN_MORNING)
        clock.moment = BERLIN_MORNING + timedelta(hours=4)  # 11:30 in Berlin is 19:30 in Tokyo
        await house.asks("/zone Tokyo")
        await look(house, clock, clock.now())
        assert set(told(await rows(house))) == {("morning", 23, "sent"), ("afternoon", 23, "skipped"), ("evening", 23, "sent")}
        await house.asks("/zone home")
        for hours in range(4, 20):
            await look(house, clock, BERLIN_MORNING + timedelta(hours=hours))
        assert len(await rows(house)) == 3
        await look(house, clock, BERLIN_MORNING + timedelta(hours=24))
        assert told(await rows(house))[-1] == ("morning", 24, "sent")


async def test_by_mail_each_brief_begins_a_thread_in_which_its_choices_can_be_answered(database_url: str, tmp_path: Path, clock: FakeClock):
    mail = FakeDoor("email", answers_strangers=False)
    allan = PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="email", id="allan@example.com"),))
    async with briefed(database_url, tmp_path, clock, doors=[mail], people=[allan], briefs={"channel": "email"}) as house:
        await look(house, clock, BERLIN_MORNING)
        async with house.app.database.reading() as work:
            message = await work.messages.find_by_id((await rows(house))[-1].message_id)
            conversation = await work.conversations.find_by_id(message.conversation_id)
        assert conversation.key == "allan@example.com/<brief 2026-11-23 morning>"
        answer = mail.says("2", account="allan@example.com", conversation=conversation.key)
        await house.app.front.receive(answer)
        async with house.app.database.reading() as work:
            event = await work.inbox.find(channel="email", account="allan@example.com", external_id=answer.external_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(said := await house.said(event.conversation_id)) < 2:
                await asyncio.sleep(0.01)
        assert "Left unsent: Mail from Bob." in said


async def test_a_channel_on_which_somebody_was_never_heard_is_told_of_once(database_url: str, tmp_path: Path, clock: FakeClock):
    async with briefed(database_url, tmp_path, clock, briefs={"channel": "telegram"}) as house:
        for days in range(3):
            await look(house, clock, BERLIN_MORNING + timedelta(days=days))
        assert (await house.incidents()).count("brief_channel") == 1
        assert sum(row.message_id is not None for row in await rows(house)) == 3


@pytest.mark.parametrize("channel", ["auto", "slack"])
async def test_briefs_and_reminders_do_not_wait_on_a_channel_that_is_switched_off(
    database_url: str, tmp_path: Path, clock: FakeClock, channel: str
):
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id="allan"),))]
    async with open_house(database_url, tmp_path, clock=clock, doors=[FakeDoor("slack")], people=people) as house:
        (door,) = house.app.doors
        assert isinstance(door, FakeDoor)
        await house.app.front.receive(door.says("/remind me to call Bob tomorrow at 7:30", account="allan"))
        await until(lambda: len(door.took) == 1)
    async with briefed(database_url, tmp_path, clock, people=people, briefs={"channel": channel}) as house:
        clock.moment = BERLIN_MORNING
        for each in house.app.rooms.rounds[:3]:
            await each.look(clock.now())
        where = await a_conversation(house)
        async with house.app.database.reading() as work:
            said = [message.text.partition(",")[0] for message in await work.messages.latest(where.id, limit=5)]
        assert sorted(said) == ["# Morning brief", "Reminder: **call Bob**"]


async def test_members_get_briefs_by_a_word_and_nothing_of_the_owner_s(database_url: str, tmp_path: Path, clock: FakeClock):
    chat = FakeDoor("slack")
    grace = PersonConfig(name="Grace", timezone="Europe/Berlin", identities=(IdentityConfig(platform="slack", id="grace"),))
    async with briefed(database_url, tmp_path, clock, doors=[chat], people=[grace]) as house:
        person = await house.app.directory.by_name("Grace")
        await house.app.front.receive(chat.says("/brief on", account="grace"))
        await house.app.front.receive(chat.says("/brief", account="grace", conversation="team", shared=True))
        await until(lambda: len(chat.took) == 2)
        assert {text.split(".")[0] for text in chat.texts} == {
            "Your briefs come: the next is the morning one, Monday 23 November 2026 at 07:30",
            "That is between you and me",
        }
        await look(house, clock, BERLIN_MORNING)
        async with house.app.database.reading() as work:
            (row,) = await work.briefs.latest(person.id, limit=5)
        assert (row.state, "Bob" in row.text, "$" in row.text) == ("quiet", False, False)


@pytest.mark.both
async def test_of_three_hubs_one_pays_a_model_for_the_opening(database_url: str, tmp_path: Path, clock: FakeClock):
    model = FakeProvider(Pause(0.05), "Bob waits for you.", provider="openai")
    rungs = [Rung(level="first", provider=model, context=8000, max_output_tokens=200)]
    async with briefed(database_url, tmp_path, clock, rungs=rungs) as house:
        clock.moment = BERLIN_MORNING
        app = house.app
        more = {"database": app.database, "composer": app.rooms.briefs.composer, "config": app.config.briefs, "clock": clock}
        hubs = [app.rooms.briefs, *(Delivery(**more, owner=f"elsewhere:1:{number}") for number in range(2))]
        await asyncio.gather(*(hub.look(clock.now()) for hub in hubs))
        (row,) = await rows(house)
        assert (row.state, "Bob waits for you." in row.text, len(model.asked)) == ("sent", True, 1)
