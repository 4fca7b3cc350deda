"""Commands and plain words about briefs: what they mean, what is asked back, and what is left to a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.hub.brief_commands import BriefCommands
from tests.clock import FakeClock
from tests.scenarios.house import open_house

MEANT = {
    "Give me my morning brief, please": "/brief morning",
    "brief me": "/brief",
    "Robbie, show me the evening briefing": "/brief evening",
    "quiet until Monday": "/quiet until Monday",
    "Please be quiet for 3 days": "/quiet for 3 days",
    "no more briefs this week": "/quiet this week",
    "You can talk again.": "/quiet off",
    "I'm in Lisbon": "/zone Lisbon",
    "I’m in New York now": "/zone New York",
    "I am in Tokyo until Friday.": "/zone Tokyo until Friday",
    "I'm back home": "/zone home",
    # and what is no order, or not surely one
    "I'm in trouble": "",
    "I am in a meeting until 3": "",
    "I'm in love with Paris": "",
    "quiet": "",
    "Write a brief for the lawyers": "",
    "why was the brief late?": "",
}
SAID = {
    "/brief moring": "I know no brief “moring”. Did you mean `/brief morning`?",
    "/brief times 7:00 13h 7pm": "Your briefs: morning 07:00, afternoon 13:00, evening 19:00: the next is the afternoon one, ",
    "/brief times 7:00": "Three times, for morning, afternoon and evening",
    "/brief times 25:00 13 13pm": "“25:00” is no time of day. Write it so: `/brief times 7:00 13:00 off`.",
    "/brief times off off off": "Your briefs: morning off, afternoon off, evening off. None is switched on.",
    "/brief off": "No more briefs, until you write `/brief on`.",
    "/quiet": "Until when? `/quiet until Monday`",
    "/quiet until the cows come home": "Until when?",
    "/quiet until 3 March 2020": "That is over already",
    "/quiet until Monday unless Dana calls": "Until when?",
    "/quiet today": "No briefs until Sunday 22 November 2026 at 23:59.",
    "/quiet for 3 days": "No briefs until Wednesday 25 November 2026 at 00:00.",
    "/quiet for the weekend": "No briefs until Sunday 22 November 2026 at 23:59.",
    "/quiet for 2 hours": "No briefs until Sunday 22 November 2026 at 1",
    "/zone": "You are in Europe/Berlin.",
    "/zone Lisbonn": "I do not know where “Lisbonn” is. Did you mean `/zone Lisbon`?",
    "/zone europe/lisbon": "You are in Europe/Lisbon: it is 11:00 there.",
    "/zone Lisbon until whenever": "I understood Europe/Lisbon, and not “until whenever”.",
}


@pytest.fixture(params=["sqlite"])
def database_url(sqlite_file: Path) -> str:
    """What is said does not depend on the database."""
    return f"sqlite+aiosqlite:///{sqlite_file}"


async def test_plain_words_mean_a_command_or_nothing(database_url: str, tmp_path: Path, clock: FakeClock):
    async with open_house(database_url, tmp_path, clock=clock) as house:
        app = house.app
        words = BriefCommands(database=app.database, delivery=app.rooms.briefs, clock=clock)
    assert {text: words.plain(text) for text in MEANT} == MEANT


async def test_commands_echo_what_they_understood_or_ask(database_url: str, tmp_path: Path, clock: FakeClock):
    async with open_house(database_url, tmp_path, clock=clock) as house:
        clock.advance(seconds=-3600)
        said = {text: (await house.asks(text)).text for text in SAID}
    assert {text: answer[: len(SAID[text])] for text, answer in said.items()} == SAID


async def test_undo_takes_all_times_back_at_once(database_url: str, tmp_path: Path, clock: FakeClock):
    async with open_house(database_url, tmp_path, clock=clock) as house:
        await house.asks("/brief times 6 off off")
        assert (await house.asks("/undo")).text == "Taken back: Your briefs: morning 06:00, afternoon off, evening off"
        async with house.app.database.reading() as work:
            assert [row.name for row in await work.settings.holding(house.owner.id, clock.now())] == []
