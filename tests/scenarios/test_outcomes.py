"""What people think and do of answers teaches Robbie in the same second, through whole doors, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.config import IdentityConfig, PersonConfig
from bot.domain.message import Inbound, InboundKind
from storage.models.decisions import Feedback
from storage.models.learning import RoutingArm
from tests.scenarios.house import FakeDoor, House, open_house, until

ALLAN = "allan"


@pytest.fixture
async def house(database_url: str, tmp_path: Path, chat: FakeDoor) -> AsyncIterator[House]:
    """Allan and Grace, on Slack."""
    people = [
        PersonConfig(name=name.title(), role=role, identities=(IdentityConfig(platform="slack", id=name),))
        for name, role in ((ALLAN, "owner"), ("grace", "member"))
    ]
    async with open_house(database_url, tmp_path, doors=[chat], people=people) as opened:
        yield opened


async def _asks(house: House, chat: FakeDoor, text: str, *, account: str = ALLAN, **about: Any) -> None:
    count = len(chat.took)
    await house.app.front.receive(chat.says(text, account=account, **about))
    await until(lambda: len(chat.took) > count)
    while (await house.counts())[1] != {"sent": len(chat.took)}:
        await until(lambda: True)


async def _row(house: House, target: str, account: str = ALLAN) -> Feedback | None:
    async with house.app.database.reading() as work:
        said = await work.messages.find_on_channel("slack", target)
        person = await work.people.find_user_by_account("slack", account)
        assert said is not None
        assert person is not None
        return await work.feedback.find(person.id, said.id)


async def _cells(house: House) -> list[RoutingArm]:
    async with house.app.database.reading() as work:
        return sorted(await work.routing_arms.all(), key=lambda cell: cell.level)


def _reaction(chat: FakeDoor, name: str, target: str = "m1", *, account: str = ALLAN, **about: Any) -> Inbound:
    return chat.says(name, account=account, kind=InboundKind.REACTION, target=target, **about)


async def test_a_thumb_scores_the_answer_by_the_time_its_channel_is_told(house: House, chat: FakeDoor):
    await _asks(house, chat, "one")
    for name, score in (("thumbsup", 1.0), ("👎", 0.0), ("-thumbsup", 0.0), ("eyes", 0.0), ("-👎", None)):
        await house.app.front.receive(_reaction(chat, name))
        row = await _row(house, "m1")
        assert (row.score, row.level, row.task_type) == (score, "first", "quick"), name


async def test_a_reaction_that_is_told_again_teaches_nothing_again(house: House, chat: FakeDoor):
    await _asks(house, chat, "one")
    await house.app.front.receive(_reaction(chat, "thumbsup", external_id="R1"))
    before = await _row(house, "m1"), await _cells(house)
    assert [(cell.level, cell.good, cell.bad) for cell in before[1]] == [("first", 1.0, 0.0)]
    for external_id in ("R1", "R1", "R2"):  # the same event, and the same thumb
        await house.app.front.receive(_reaction(chat, "thumbsup", external_id=external_id))
    assert (await _row(house, "m1"), await _cells(house)) == before
    await house.app.front.receive(_reaction(chat, "-thumbsup"))
    assert [(cell.good, cell.bad) for cell in await _cells(house)] == [(0.0, 0.0)], "taken back"


async def test_what_is_said_next_is_read_in_the_same_turn(house: House, chat: FakeDoor):
    await _asks(house, chat, "book a table for Friday")
    await _asks(house, chat, "no, I meant Saturday")
    assert (await _row(house, "m1")).signals == {"corrected": -0.8}
    await _asks(house, chat, "thanks!")
    assert (await _row(house, "m2")).signals == {"thanked": 0.8}


async def test_where_several_read_along_each_word_counts_and_nobody_answers_for_another(house: House, chat: FakeDoor):
    await _asks(house, chat, "one", conversation="C1", shared=True)
    await _asks(house, chat, "that's wrong", account="grace", conversation="C1", shared=True)
    assert (await _row(house, "m1")).signals == {}
    await house.app.front.receive(_reaction(chat, "thumbsdown", account="grace"))
    assert ((await _row(house, "m1")).score, (await _row(house, "m1", "grace")).score) == (None, 0.0)
    assert (await _row(house, "m1", "grace")).level == "first"


async def test_what_a_withdrawn_question_taught_is_taken_back(house: House, chat: FakeDoor):
    await _asks(house, chat, "one", external_id="Q1")
    await house.app.front.receive(_reaction(chat, "thumbsup"))
    await house.app.front.receive(chat.says("", account=ALLAN, kind=InboundKind.DELETE, target="Q1"))
    row = await _row(house, "m1")
    assert (row.value, row.score) == (1.0, None)


async def test_a_rating_is_of_the_last_answer_also_where_no_model_gave_it(house: House, chat: FakeDoor):
    await _asks(house, chat, "one")
    await _asks(house, chat, "what time is it")
    await _asks(house, chat, "/rate down")
    assert ((await _row(house, "m1")).score, (await _row(house, "m2")).score) == (None, 0.0)


async def test_a_rating_command_counts_and_an_answer_tells_how_sure_it_is(house: House, chat: FakeDoor):
    await _asks(house, chat, "one")
    await _asks(house, chat, "/rate 10")
    row = await _row(house, "m1")
    assert (row.score, row.source) == (1.0, "command")
    assert row.guess == pytest.approx(row.confidence, abs=1e-3)


async def test_the_report_is_told_in_private_to_the_owner_whole_and_to_anybody_else_of_their_own(house: House, chat: FakeDoor):
    await _asks(house, chat, "one")
    await _asks(house, chat, "/report")
    assert "1 quick by first (direct)" in chat.texts[-1]
    assert "**Spent**" in chat.texts[-1]
    await _asks(house, chat, "/report", account="grace")
    assert "Nothing yet" in chat.texts[-1]
    await _asks(house, chat, "two", account="grace")
    await _asks(house, chat, "/report 7", account="grace")
    assert chat.texts[-1].startswith("**What I learned in the last 7 days**")
    assert "1 quick by first (direct)" in chat.texts[-1]
    assert "**Spent**" not in chat.texts[-1]
    await _asks(house, chat, "/report", shared=True, conversation="all")
    assert "between you and me" in chat.texts[-1]
