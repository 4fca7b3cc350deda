"""A proposal is decided once, by the one whom it was made to, while it is still worth deciding."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from bot.domain.errand import Risk
from bot.domain.errors import ToolFailed
from bot.services.approvals import BATCH, WAITS, Approvals, Later, propose
from storage.database import UnitOfWork
from storage.models.decisions import Proposal, ProposalState
from tests.bot.services.tool_fakes import codes, errand_for, told
from tests.bot.services.tool_fakes import person_of as person
from tests.stage import Stage

pytestmark = pytest.mark.either


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


async def test_an_edit_and_a_yes_at_once_agree_about_what_was_sent(stage: Stage, approvals: Approvals):
    for number in range(5):
        code = await proposed(stage, approvals, f"Dear Bob {number}")
        allan = person(stage.allan)
        told, _ = await asyncio.gather(approvals.edit(allan, code, f"No, Bob {number}"), approvals.approve(allan, code))
        assert (f"No, Bob {number}" in await said(stage)) == (told == ""), "whoever is told of an edit, sees it sent"


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


async def test_a_wrong_code_is_answered_with_the_nearest_of_ones_own(stage: Stage, approvals: Approvals):
    code = await proposed(stage, approvals)
    wrong = code[:3] + ("A" if code[3] != "A" else "B")
    assert f"Did you mean `{code}`?" in await approvals.approve(person(stage.allan), wrong)
    assert code not in await approvals.approve(person(stage.grace), wrong)


async def test_what_ran_out_is_told_in_one_message_once(stage: Stage, approvals: Approvals):
    for _ in range(3):
        await proposed(stage, approvals)
    await approvals.look(stage.clock.now())
    stage.clock.advance(seconds=(WAITS + BATCH).total_seconds())
    for rooms in (approvals, approvals, Approvals(database=stage.database, clock=stage.clock)):
        await rooms.look(stage.clock.now())
    (notice,) = [text for text in await told(stage) if "in time" in text]
    assert notice.count("- Mail from Bob") == 3


async def outreach(stage: Stage, text: str = "Dear Dana") -> str:
    """The code of something of a kind of its own."""
    async with stage.database.unit_of_work() as work:
        made = await propose(
            work,
            errand_for(stage.allan, f"outreach/{text}"),
            kind="outreach",
            action="mail.follow_up",
            risk=Risk.OUTWARD,
            title="Write to Dana?",
            about="She has been silent for 9 days.",
            text=text,
            now=stage.clock.now(),
        )
    return made.code


async def test_a_kind_with_a_runner_is_done_in_the_act_of_its_approval(stage: Stage):
    ran: list[str] = []

    async def run(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
        ran.append(proposal.text)
        return "Sent."

    rooms = Approvals(database=stage.database, clock=stage.clock, runners={"outreach": run})
    code = await outreach(stage)
    assert "She has been silent" in (await told(stage))[-1]
    await rooms.edit(person(stage.allan), code, "Hello Dana")
    assert await rooms.approve(person(stage.allan), code) == "Sent."
    assert ran == ["Hello Dana"]
    async with stage.database.reading() as work:
        found = await work.proposals.find(code)
    assert (found.state, found.details["edited"]) == (ProposalState.DONE, True)


async def test_what_has_to_wait_is_done_when_its_time_has_come_and_told(stage: Stage):
    tomorrow = stage.clock.now() + timedelta(days=1)
    answers: list[str | Later] = ["Sent.", Later(text="Today's 5 are used up: it goes tomorrow.", at=tomorrow)]

    async def run(work: UnitOfWork, proposal: Proposal, now: datetime) -> str | Later:
        return answers.pop()

    rooms = Approvals(database=stage.database, clock=stage.clock, runners={"outreach": run})
    assert "it goes tomorrow" in await rooms.approve(person(stage.allan), await outreach(stage))
    await rooms.look(stage.clock.now())
    stage.clock.moment = tomorrow
    for _ in range(2):
        await rooms.look(stage.clock.now())
    assert (await told(stage)).count("Sent.") == 1


async def test_what_its_runner_refuses_goes_on_waiting(stage: Stage):
    async def run(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
        await work.notes.add(user_id=stage.allan.id, text="half done", now=now, source_id=None)
        raise ToolFailed("Dana does not want to be written to.")

    rooms = Approvals(database=stage.database, clock=stage.clock, runners={"outreach": run})
    code = await outreach(stage)
    assert await rooms.approve(person(stage.allan), code) == "Dana does not want to be written to."
    assert await codes(stage) == [code]
    async with stage.database.reading() as work:
        assert await work.notes.latest(stage.allan.id, limit=1) == []


async def test_one_that_breaks_its_runner_keeps_no_other_from_being_done(stage: Stage):
    answers: list[Exception | str] = ["Sent.", RuntimeError("FAKE")]

    async def wait(work: UnitOfWork, proposal: Proposal, now: datetime) -> Later:
        return Later(text="Later.", at=now)

    async def run(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
        if isinstance(came := answers.pop(), Exception):
            raise came
        return came

    for words in ("Dear Dana", "Dear Bob"):
        waits = Approvals(database=stage.database, clock=stage.clock, runners={"outreach": wait})
        await waits.approve(person(stage.allan), await outreach(stage, words))
    rooms = Approvals(database=stage.database, clock=stage.clock, runners={"outreach": run})
    await rooms.look(stage.clock.now())
    assert (await told(stage)).count("Sent.") == 1
    assert answers == []


async def test_what_has_no_words_cannot_be_edited_and_says_so(stage: Stage, approvals: Approvals):
    code = await outreach(stage, text="")
    for decide in (approvals.edit, approvals.approve):
        assert f"`/reject {code}`" in await decide(person(stage.allan), code, "other words")
    (card,) = await approvals.waiting(person(stage.allan))
    assert [button.label for button in card.buttons] == ["Approve", "Reject"]
