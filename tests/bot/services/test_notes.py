"""Notes are kept once for the message they came with, and each person has their own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.services.affairs import Unsure
from bot.services.journal import Journal
from bot.services.notes import Notes
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage


@pytest.fixture
def notes(stage: Stage) -> Notes:
    return Notes(database=stage.database, clock=stage.clock)


async def test_note_is_kept_once_however_often_its_message_is_handled(stage: Stage, notes: Notes):
    for _ in range(3):
        await notes.take(errand_of(stage.allan, "E1"), "tulips")
    await notes.take(errand_of(stage.grace), "roses")
    for user, text in ((stage.allan, "tulips"), (stage.grace, "roses")):
        assert [note.text for note in await notes.standing(errand_of(user).person)] == [text]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("the lease ends on 31 February", "I put no day to it: February 2027 has 28 days."),
        ("the lease ends on 3 March", "Noted. `/notes` shows what you keep."),
        ("31 February is a joke of Dana's", "Noted. `/notes` shows what you keep."),
    ],
)
async def test_a_day_that_does_not_exist_is_asked_about_and_the_words_are_kept(stage: Stage, notes: Notes, words: str, told: str):
    note, text = await notes.take(errand_of(stage.allan), words)
    assert note.text == words
    assert told in text


async def test_a_note_is_changed_and_thrown_away_by_its_person_alone(stage: Stage, notes: Notes):
    await notes.take(errand_of(stage.allan), "Dana likes tulips")
    stage.clock.moment += timedelta(minutes=1)
    await notes.take(errand_of(stage.allan), "wifi: hunter2")
    allan = errand_of(stage.allan).person
    for words in ("2", "tulips"):
        assert (await notes.find(allan, words)).text == "Dana likes tulips"
    note = await notes.find(allan, "tulips")
    with pytest.raises(Unsure):
        await notes.find(errand_of(stage.grace).person, "tulips")
    await notes.remove(errand_of(stage.grace), note)
    await notes.edit(errand_of(stage.allan), note, "Dana likes roses")
    assert [each.text for each in await notes.standing(allan)] == ["wifi: hunter2", "Dana likes roses"]
    assert await Journal(database=stage.database, clock=stage.clock).undo(allan) == "Taken back: Changed: Dana likes roses"
    await notes.remove(errand_of(stage.allan), note)
    assert [each.text for each in await notes.standing(allan)] == ["wifi: hunter2"]
