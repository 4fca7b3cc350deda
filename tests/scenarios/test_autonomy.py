"""The ladder as people meet it: what Robbie asks about, decided in private; what he may do alone, set and taken back by a word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.brain.reactive import IN_PRIVATE
from bot.config import IdentityConfig, PersonConfig
from bot.domain.message import Inbound, InboundKind, Outgoing
from storage.models.decisions import ProposalState
from tests.bot.services.tool_fakes import FakeTool, Words, errand_for
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either

MILK = Words(text="milk")


@pytest.fixture
def tool() -> FakeTool:
    return FakeTool(None)


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor, tool: FakeTool) -> AsyncIterator[House]:
    """Allan and Grace on Slack, and a tool that keeps notes."""
    people = [
        PersonConfig(name=name, role=role, identities=(IdentityConfig(platform="slack", id=name.lower()),))
        for name, role in (("Allan", "owner"), ("Grace", "member"))
    ]
    async with open_house(database_url, tmp_path, doors=[chat], people=people, tools=[tool]) as opened:
        tool.stage = opened.app
        yield opened


async def said(house: House, chat: FakeDoor, inbound: Inbound) -> Outgoing:
    count = len(chat.took)
    await house.app.front.receive(inbound)
    await until(lambda: len(chat.took) > count)
    return chat.took[-1]


async def writes(house: House, chat: FakeDoor, text: str, account: str = "allan", **more: object) -> str:
    return (await said(house, chat, chat.says(text, account=account, **more))).text


async def test_what_is_asked_about_is_told_where_its_person_is_and_done_at_a_press(house: House, chat: FakeDoor, tool: FakeTool):
    await writes(house, chat, "/autonomy assisted")
    answer = await house.app.rooms.gate.run(tool, MILK, errand_for(house.owner))
    assert "waits for Allan's yes" in answer
    await until(lambda: "**Keep note**" in chat.texts[-1])
    approve, reject = chat.took[-1].buttons
    assert (approve.label, reject.label) == ("Approve", "Reject")
    assert "Nothing waits under that name" in await writes(house, chat, approve.command, account="grace")
    assert await writes(house, chat, approve.command, shared=True, conversation="C1") == IN_PRIVATE
    press = chat.says(approve.command, account="allan", kind=InboundKind.ACTION)
    assert (await said(house, chat, press)).text == "Kept: milk"
    assert "approved already" in await writes(house, chat, approve.command)
    assert len(tool.runs) == 1


async def test_the_level_is_shown_set_and_taken_back(house: House, chat: FakeDoor):
    shown = await said(house, chat, chat.says("/autonomy", account="allan"))
    assert shown.text.startswith("**Autonomy: semi.**")
    assert [button.command for button in shown.buttons] == ["/autonomy assisted", "/autonomy highly", "/autonomy fully"]
    assert "at **fully**" in await writes(house, chat, "/autonomy FULLY")
    assert "**Autonomy: semi.**" in await writes(house, chat, "/autonomy", account="grace")
    assert "**Autonomy: fully.**" in await writes(house, chat, "What may you do by yourself?")
    assert await writes(house, chat, "undo that") == "Taken back: set autonomy to fully"
    assert "**Autonomy: semi.**" in await writes(house, chat, "/autonomy")


async def test_a_kind_is_set_apart_and_a_wrong_one_gets_the_nearest(house: House, chat: FakeDoor):
    assert "note.add is at **ask**" in await writes(house, chat, "/autonomy note.add ask")
    assert "- note.add: ask" in await writes(house, chat, "/autonomy")
    assert "Did you mean `note.add`?" in await writes(house, chat, "/autonomy note.ad ask")
    assert "Did you mean `assisted`?" in await writes(house, chat, "/autonomy asisted")


async def test_the_journal_tells_who_did_what_and_why_in_private_alone(house: House, chat: FakeDoor, tool: FakeTool):
    await writes(house, chat, "/autonomy highly")
    await house.app.rooms.gate.run(tool, MILK, errand_for(house.owner))
    told = await writes(house, chat, "what have you done today?")
    first, second = told.splitlines()[2:4]
    assert "I: kept: milk (Allan wrote so)" in first
    assert "you: set autonomy to highly (you asked for it); can be taken back" in second
    assert await writes(house, chat, "/journal", account="grace") == "Nothing has been done yet."
    assert await writes(house, chat, "/journal", shared=True, conversation="C1") == IN_PRIVATE


async def test_the_share_handled_alone_is_told(house: House, chat: FakeDoor, tool: FakeTool):
    for number in range(3):
        await house.app.rooms.gate.run(tool, MILK, errand_for(house.owner, f"q{number}"))
    await house.app.rooms.gate.run(tool, MILK, errand_for(house.owner, "q4", is_untrusted=True))
    assert "3 of 4 (75 %; the goal is 80 %)" in await writes(house, chat, "/autonomy")


async def test_what_a_dead_hub_left_approved_is_done_by_the_clock_of_the_next(house: House, chat: FakeDoor, tool: FakeTool):
    await writes(house, chat, "/autonomy assisted")
    await house.app.rooms.gate.run(tool, MILK, errand_for(house.owner))
    now = house.app.clock.now()
    async with house.app.database.unit_of_work() as work:
        (waiting,) = await work.proposals.waiting(house.owner.id, now)
        await work.proposals.change(waiting.id, now=now, state=ProposalState.APPROVED, decided_at=now, run_at=now)
    async with house.app.timekeeper:
        await until(lambda: "Keep note: Kept: milk" in chat.texts)
    assert len(tool.runs) == 1
