"""Contacts are kept once however they are named, and told with what is known of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ToolFailed
from bot.services.affairs import Unsure
from bot.services.contacts import Contacts, parse_contact
from bot.services.deals import Deals
from bot.services.journal import Journal
from bot.services.tasks import Tasks
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage


@pytest.fixture
def contacts(stage: Stage) -> Contacts:
    return Contacts(database=stage.database, clock=stage.clock)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("Dana Smith", {"name": "Dana Smith"}),
        (
            "Dana Smith, dana@acme.com, +1 555 0100, at Acme",
            {"name": "Dana Smith", "email": "dana@acme.com", "phone": "+1 555 0100", "company": "Acme"},
        ),
        ("Dana Smith <dana@acme.com>", {"name": "Dana Smith", "email": "dana@acme.com"}),
        ("Dana from Acme Corp", {"name": "Dana", "company": "Acme Corp"}),
        ("Dana role=CTO, next=send the draft on Friday", {"name": "Dana", "role": "CTO", "next_step": "send the draft on Friday"}),
        ("email=dana@new.com", {"email": "dana@new.com"}),
        ("", {}),
    ],
)
def test_who_it_is_is_read_out_of_plain_words(words: str, values: dict[str, str]):
    assert parse_contact(words) == values


@given(st.text(max_size=80))
def test_any_words_can_be_read(words: str):
    assert all(isinstance(value, str) for value in parse_contact(words).values())


async def test_the_same_person_is_kept_once_by_name_and_by_address(stage: Stage, contacts: Contacts):
    take = contacts.take
    assert (await take(errand_of(stage.allan), "Dana Smith, dana@acme.com"))[1] == "Added: Dana Smith, dana@acme.com."
    assert "company: Acme" in (await take(errand_of(stage.allan), "dana smith at Acme"))[1]
    assert "role: CTO" in (await take(errand_of(stage.allan), "D. Smith, DANA@acme.com, role=CTO"))[1]
    assert "Added" in (await take(errand_of(stage.allan), "Dana Smith dana@other.org"))[1], "a namesake elsewhere"
    assert len(await contacts.standing(errand_of(stage.allan).person)) == 2
    with pytest.raises(ToolFailed, match="no address"):
        await take(errand_of(stage.allan), "Bob email=nonsense")
    with pytest.raises(ToolFailed, match="no address"):
        await take(errand_of(stage.allan), "dana@@acme")
    with pytest.raises(ToolFailed, match="I keep no “shoe”"):
        await take(errand_of(stage.allan), "Dana Smith, shoe=9")
    with pytest.raises(ToolFailed, match="Whom"):
        await take(errand_of(stage.allan), " ")


async def test_who_somebody_is_tells_the_deals_and_tasks_with_them_and_nothing_of_anybody_elses(stage: Stage, contacts: Contacts):
    errand, books = errand_of(stage.allan), {"database": stage.database, "clock": stage.clock}
    await contacts.take(errand, "Dana Smith at Acme, next=send the draft on Friday")
    await Tasks(**books).take(errand_of(stage.allan), "call Dana tomorrow at 9")
    await Tasks(**books).take(errand_of(stage.grace), "surprise Dana")
    await Deals(**books).take(errand_of(stage.allan), "Acme negotiation 40k")
    row, told = await contacts.tell(errand.person, "dana")
    for words in (
        "**Dana Smith, Acme**",
        row.code,
        "Next: send the draft (Friday 27 November)",
        "Deal: Acme, negotiation",
        "Task: call Dana",
    ):
        assert words in told
    assert "surprise" not in told
    with pytest.raises(Unsure):
        await contacts.tell(errand_of(stage.grace).person, "Dana")


async def test_talking_to_somebody_ends_their_waiting_and_can_be_taken_back(stage: Stage, contacts: Contacts):
    row, _ = await contacts.take(errand_of(stage.allan), "Dana")
    assert await contacts.touch(errand_of(stage.allan), row) == "Noted: you talked to Dana today."
    assert "Last heard from: today" in (await contacts.tell(errand_of(stage.allan).person, "Dana"))[1]
    await Journal(database=stage.database, clock=stage.clock).undo(errand_of(stage.allan).person)
    assert "Last heard from: never" in (await contacts.tell(errand_of(stage.allan).person, "Dana"))[1]


async def test_who_was_put_away_is_not_found_and_comes_back_by_undo(stage: Stage, contacts: Contacts):
    row, _ = await contacts.take(errand_of(stage.allan), "Dana")
    assert await contacts.remove(errand_of(stage.allan), row) == "Removed: Dana."
    with pytest.raises(Unsure):
        await contacts.find(errand_of(stage.allan).person, "Dana")
    await Journal(database=stage.database, clock=stage.clock).undo(errand_of(stage.allan).person)
    assert (await contacts.find(errand_of(stage.allan).person, "Dana")).code == row.code
