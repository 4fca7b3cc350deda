"""A proposal is decided once, by the one whom it was made to, while it is still worth deciding."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.address import Person
from bot.services.approvals import WAITS, Approvals
from storage.models.people import User
from tests.stage import Stage


def person(user: User) -> Person:
    return Person(id=user.id, name=user.name, role=user.role, timezone=user.timezone)


@pytest.fixture
def approvals(stage: Stage) -> Approvals:
    return Approvals(database=stage.database, clock=stage.clock)


async def proposed(stage: Stage, approvals: Approvals, text: str = "Dear Bob") -> str:
    """The code of a reply that waits."""
    event_id = await stage.receives("lunch?")
    async with stage.database.unit_of_work() as work:
        about = {"name": "Bob", "account": "bob@x", "subject": "Lunch"}
        await approvals.propose_reply(
            work, conversation_id=stage.conversation.id, event_id=event_id, asked="lunch?", about=about, text=text
        )
        *_, newest = await work.proposals.waiting(stage.allan.id, stage.clock.now())
    return newest.code


async def said(stage: Stage) -> list[str]:
    async with stage.database.reading() as work:
        return [row.text for row in await work.messages.latest(stage.conversation.id, limit=50) if row.direction == "out"]


async def test_what_is_approved_is_promised_in_the_same_act_and_once(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    assert await approvals.approve(person(stage.allan), code.lower()) == "On its way to Bob (bob@x)."
    assert "approved already" in await approvals.approve(person(stage.allan), code)
    assert "approved already" in await approvals.reject(person(stage.allan), code)
    assert (await said(stage)).count("Dear Bob") == 1


async def test_other_words_may_be_given_with_the_yes(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    await approvals.approve(person(stage.allan), code, "No.")
    assert "No." in await said(stage)
    assert "Dear Bob" not in await said(stage)


async def test_somebody_elses_proposal_does_not_exist(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    for decide in (approvals.approve, approvals.reject):
        assert (await decide(person(stage.grace), code)).startswith("Nothing waits under that name")
    assert (await approvals.edit(person(stage.grace), code, "x")).startswith("Nothing waits")
    assert await approvals.draft(person(stage.grace), code) is None
    assert await approvals.draft(person(stage.allan), code) == "Dear Bob"


async def test_what_waited_too_long_is_off(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    stage.clock.advance(seconds=(WAITS + timedelta(seconds=1)).total_seconds())
    assert await approvals.approve(person(stage.allan), code) == "That has waited too long, and is off."
    assert await approvals.waiting(person(stage.allan)) == []


async def test_a_draft_is_told_with_what_it_answers_and_its_choices(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals, text="Dear Bob,\n\n```\nnever closed")
    (card,) = await approvals.waiting(person(stage.allan))
    assert [button.command for button in card.buttons] == [f"/approve {code}", f"/edit {code}", f"/reject {code}"]
    assert "*I cannot tell whether it really comes from that address.*" in card.text, "nobody vouched for it"
    assert all(line.startswith((">", "**", "*I cannot tell", "I would answer:")) or not line for line in card.text.splitlines())
    assert "> lunch?" in card.text


async def test_an_edit_without_words_asks_for_them(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    assert f"`/edit {code} " in await approvals.edit(person(stage.allan), code, "")
    assert await approvals.draft(person(stage.allan), code) == "Dear Bob"
