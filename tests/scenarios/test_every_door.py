"""The same commands at every door: one day of Allan's, told and answered alike in Slack, Telegram, mail, web and console."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.config import IdentityConfig, PersonConfig
from tests.clock import FakeClock
from tests.scenarios.house import FakeDoor, House, open_house, until

DOORS = ("slack", "telegram", "email", "web", "console")
DAY = {
    "/gandhi 3": "Gandhi",
    "/gandhi 11": "10",
    "/mood angryy": "/mood",
    "/mentor churchil": "/mentor churchill",
    "/mentor": "**Einstein**",
    "/task call Dana tomorrow at 15:00": "call Dana",
    "/task pay the rent on 30 February": "28 February",
    "/tasks": "call Dana",
    "/remind me in 2 hours to stretch": "stretch",
    "/note Dana likes tulips": "Noted",
    "/contact Dana, dana@example.com": "Dana",
    "/who Dana": "dana@example.com",
    "/deal Acme negotiation 40k": "negotiation",
    "/deals": "40,000 USD",
    "/brief morning": "Morning brief",
    "/quiet until Monday": "Monday",
    "/zone Lisbon": "Europe/Lisbon",
    "/autonomy": "semi",
    "/journal": "call Dana",
    "/undo": "back",
    "/council": "What shall I put to the council?",
    "/why": "the command /council",
    "/report": "What I learned in the last 30 days",
    "/aprove": "/approve",
}
"""What Allan writes, and what must be in the answer."""


async def at_door(house: House, door: FakeDoor | None, channel: str, text: str) -> str:
    """What is answered at this door."""
    if door is None:
        return (await house.asks(text, channel=channel)).text
    count = len(door.took)
    await house.app.front.receive(door.says(text + ("\n\nBest,\nAllan" if channel == "email" else ""), account="allan@home"))
    await until(lambda: len(door.took) > count)
    return door.texts[-1]


@pytest.mark.parametrize("channel", DOORS)
async def test_a_day_of_commands_is_understood_at_this_door(sqlite_file: Path, tmp_path: Path, channel: str) -> None:
    pushed = channel in ("slack", "telegram", "email")
    door = FakeDoor(channel, answers_strangers=channel != "email") if pushed else None
    identities = (IdentityConfig.model_validate({"platform": channel, "id": "allan@home"}),) if pushed else ()
    allan = PersonConfig(name="Allan", role="owner", identities=identities)
    async with open_house(
        f"sqlite+aiosqlite:///{sqlite_file}", tmp_path, clock=FakeClock(), doors=[door] if door else (), people=[allan]
    ) as house:
        for text, expected in DAY.items():
            told = await at_door(house, door, channel, text)
            assert expected in told, (text, told)
            assert not re.search(r"Traceback|Error\b|None\b", told), (text, told)
        assert house.model.asked == []


async def test_a_farewell_below_a_yes_is_no_other_wording(sqlite_file: Path, tmp_path: Path) -> None:
    """A mail's last lines would else be sent in the place of what was approved."""
    door = FakeDoor("email", answers_strangers=False)
    allan = PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="email", id="allan@home"),))
    async with open_house(f"sqlite+aiosqlite:///{sqlite_file}", tmp_path, doors=[door], people=[allan]) as house:
        await at_door(house, door, "email", "hello")
        await house.app.front.receive(door.says("Is it for sale?", account="bob@else"))
        await until(lambda: any(each.buttons for each in door.took))
        code = next(each for each in door.took if each.buttons).buttons[0].command
        await house.app.front.receive(door.says(f"{code}\n\nBest,\nAllan", account="allan@home"))
        await until(lambda: any(each.address.conversation == "bob@else" for each in door.took))
        sent = next(each for each in door.took if each.address.conversation == "bob@else")
        assert "Is it for sale?" in sent.text
        assert "Best" not in sent.text
