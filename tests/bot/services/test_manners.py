"""Sliders and moods: set once, heard before and after, taken back; and each wrong one gets the nearest right form."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.address import Person, SessionType
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.services.journal import Journal
from bot.services.manners import Manners, read_end
from tests.clock import FakeClock
from tests.stage import Stage

pytestmark = pytest.mark.either


@pytest.fixture
def manners(stage: Stage, clock: FakeClock) -> Manners:
    return Manners(database=stage.database, clock=clock)


@pytest.fixture
def allan(stage: Stage) -> Person:
    return Person(id=stage.allan.id, name="Allan", role="owner", timezone="America/New_York")


@pytest.fixture
def grace(stage: Stage) -> Person:
    return Person(id=stage.grace.id, name="Grace", role="member", timezone="UTC")


def errand_of(person: Person, key: str = "", shared: bool = False) -> Errand:
    source = new_id()
    kind = SessionType.SHARED if shared else SessionType.PRIVATE
    return Errand(person=person, key=key or str(source), why="a test", source_id=source, session_type=kind)


async def private(manners: Manners, person: Person) -> str:
    """How Robbie is set in a private chat."""
    return str((await manners.look(person))[0].personality)


async def test_a_change_tells_the_same_news_before_and_after_and_the_figures(manners: Manners, allan: Person) -> None:
    card = await manners.set(errand := errand_of(allan), {"gandhi": "8", "flirty": "9"})
    assert card.text.startswith("**Gandhi–Genghis 8, Professional–Flirty 9, everywhere.**")
    assert "Before: “Dana's answer is two days late." in card.text
    assert "After: “Two days, darling" in card.text
    assert "outreach mails a day 3 → 10; days until a follow-up 7 → 3" in card.text
    assert [button.command for button in card.buttons] == [f"/undo {errand.source_id}"]
    assert await private(manners, allan) == "8/5/9 focused"


async def test_a_preview_changes_nothing(manners: Manners, allan: Person) -> None:
    assert "words in an answer 111 → 40" in await manners.preview(allan, {"cocktail": "10"})
    assert "1 (Gandhi) to 10 (Genghis)" in await manners.preview(allan, {"gandhi": "11"})
    assert await private(manners, allan) == "4/5/1 focused"


async def test_several_changes_are_taken_back_together(stage: Stage, clock: FakeClock, manners: Manners, allan: Person) -> None:
    await manners.set(errand_of(allan), {"gandhi": "2"})
    await manners.set(errand_of(allan), {"gandhi": "9", "mood": "playful"})
    undone = await Journal(database=stage.database, clock=clock).undo(allan)
    assert undone == "Taken back: Gandhi–Genghis 9, Mood playful, everywhere"
    assert await private(manners, allan) == "2/5/1 focused"


async def test_what_is_done_again_after_a_crash_is_done_once_and_told_in_the_same_words(manners: Manners, allan: Person) -> None:
    errand = errand_of(allan)
    told = {(await manners.set(errand, {"cocktail": "+1"})).text for _ in range(3)}
    assert len(told) == 1
    assert await private(manners, allan) == "4/6/1 focused"
    assert len(await manners.history(allan)) == 1


async def test_what_was_set_for_a_while_gives_way_to_what_was_before(clock: FakeClock, manners: Manners, allan: Person) -> None:
    await manners.set(errand_of(allan), {"cocktail": "7"})
    card = await manners.set(errand_of(allan), {"cocktail": "10"}, expires_at=clock.now() + timedelta(hours=6))
    assert "until 13:00 on Sunday 22 November 2026" in card.text
    assert (await manners.look(allan))[0].until == {"cocktail": clock.now() + timedelta(hours=6)}
    clock.advance(seconds=6 * 3600)
    assert await private(manners, allan) == "4/7/1 focused"


async def test_what_holds_is_few_rows_however_often_it_was_set(stage: Stage, clock: FakeClock, manners: Manners, allan: Person) -> None:
    for step in range(1, 10):
        await manners.set(errand_of(allan), {"gandhi": str(step)})
    await manners.set(errand_of(allan), {"gandhi": "10"}, expires_at=clock.now() + timedelta(hours=1))
    async with stage.database.reading() as work:
        assert [row.value for row in await work.settings.holding(allan.id, clock.now())] == ["9", "10"]
    journal = Journal(database=stage.database, clock=clock)
    await journal.undo(allan)
    await journal.undo(allan)
    assert await private(manners, allan) == "8/5/1 focused"


async def test_normal_everywhere_is_normal_in_every_place(manners: Manners, allan: Person) -> None:
    await manners.set(errand_of(allan), {"gandhi": "9"}, context="email")
    await manners.set(errand_of(allan), {"gandhi": "8"})
    await manners.set(errand_of(allan), {"gandhi": "normal"})
    assert {each.personality.gandhi for each in await manners.look(allan)} == {4}


async def test_each_person_has_their_own(manners: Manners, allan: Person, grace: Person) -> None:
    await manners.set(errand_of(allan), {"gandhi": "9"})
    assert await private(manners, grace) == "4/5/1 focused"
    assert await manners.history(grace) == []


@pytest.mark.parametrize(
    ("changes", "context", "told"),
    [
        ({"gandhi": "11"}, "*", "`/gandhi 10`"),
        ({"gandhi": "0"}, "*", "`/gandhi 1`"),
        ({"gandhi": "three"}, "*", "`/gandhi 3`"),
        ({"gandhi": "３"}, "*", "`/gandhi 3`"),
        ({"gandhi": "9" * 5000}, "*", "`/gandhi 3`"),
        ({"gandhi": ""}, "*", "`/gandhi 3`"),
        ({"mood": "angryy"}, "*", "`/mood serious`"),
        ({"mood": "playfull"}, "*", "`/mood playful`"),
        ({"mood": ""}, "*", "Did you mean"),
        ({"flirt": "3"}, "*", "“flirt”. Did you mean `flirty`"),
        ({"gandhi": "3"}, "chanel", "`in channel`"),
        ({"flirty": "3"}, "channel", "professional"),
        ({"flirty": "+1"}, "email", "professional"),
    ],
)
async def test_what_cannot_be_set_gets_the_nearest_right_form(
    manners: Manners, allan: Person, changes: dict[str, str], context: str, told: str
) -> None:
    card = await manners.set(errand_of(allan), changes, context=context)
    assert told in card.text
    assert await manners.history(allan) == []


async def test_only_the_owner_sets_a_channel_and_only_with_him_is_it_personal(manners: Manners, grace: Person) -> None:
    assert "the owner's to set" in (await manners.set(errand_of(grace), {"gandhi": "3"}, context="channel")).text
    assert "always am" in (await manners.set(errand_of(grace), {"flirty": "3"})).text
    assert await manners.history(grace) == []


async def test_where_others_read_along_nothing_private_is_set_or_told(manners: Manners, allan: Person) -> None:
    await manners.set(errand_of(allan), {"gandhi": "9", "flirty": "9"})
    assert "between you and me" in (await manners.set(errand_of(allan, shared=True), {"gandhi": "3"}, context="private")).text
    told = (await manners.set(errand_of(allan, shared=True), {"gandhi": "3"}, context="channel")).text
    assert told == "**Gandhi–Genghis 3, where others read along.**\n\nIn a private chat, `/undo` takes it back."
    assert await private(manners, allan) == "9/5/9 focused"


def test_a_bare_number_is_no_end() -> None:
    """`/gandhi 3 4` does not mean until four."""
    assert str(read_end("4", timezone="UTC", now=FakeClock().now())).startswith("I understood all but “4”")
