"""Of each thing one note holds: however often it is said, whatever is edited, and whoever noted it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from bot.brain.chat_files import Said
from bot.brain.remembering import Saying, memories_of
from bot.domain.errand import Errand
from bot.domain.memory import Trust
from bot.learning.importing import Importing
from bot.services.exchange import Exchange
from bot.services.journal import Journal
from bot.services.note_keeping import note_said, unnote
from bot.services.notes import Notes
from storage.models.memory import Memory, StickyNote
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage


async def says(stage: Stage, text: str, *, place: str = "") -> Sequence[Memory]:
    """Something Allan said, remembered and noted as the hub does."""
    message, person = stage.message(text), stage.allan.person
    what = {"external_id": str(message.id), "speaker": "Allan", "text": text, "at": stage.clock.now(), "user_id": stage.allan.id}
    saying = Saying(thread="T1", place=place, trust=Trust.OWN, message_id=message.id, **what)  # type: ignore[arg-type]
    memories = memories_of(saying, None, organization=stage.database.organization, timezone="UTC")
    async with stage.database.unit_of_work() as work:
        await work.memories.add_once(memories)
        await note_said(work, person, memories, text, now=stage.clock.now())
    return memories


async def holding(stage: Stage, **where: str) -> list[StickyNote]:
    async with stage.database.reading() as work:
        return await work.notes.holding(stage.allan.id, limit=99, **where)


async def test_what_is_said_again_is_one_note_of_the_latest_day(stage: Stage):
    for text in ("My dentist is Dr. Weber.", "Dr. Weber is my dentist", "FYI, my dentist is Dr. Weber!"):
        stage.clock.moment += timedelta(days=1)
        await says(stage, text)
    (note,) = await holding(stage)
    assert (note.text, note.created_at) == ("My dentist is Dr. Weber.", stage.clock.now())


async def test_thousands_of_near_identical_turns_keep_one_note(stage: Stage):
    """A tenth of them in a test; each costs the same."""
    memories = await says(stage, "My dentist is Dr. Weber.")
    async with stage.database.unit_of_work() as work:
        for number in range(1_000):
            text = f"{'ok ' * (number % 7)}my dentist is Dr. Weber{'!' * (number % 5)}"
            await note_said(work, stage.allan.person, memories, text, now=stage.clock.now())
    async with stage.database.reading() as work:
        assert len(await work.notes.all()) == 1
        assert len(await work.activities.latest(stage.allan.id, limit=99)) == 1


async def test_a_withdrawn_message_takes_its_notes_along_but_not_what_was_wanted(stage: Stage):
    await says(stage, "My dentist is Dr. Weber.")
    (memory,) = await says(stage, "My dentist is Dr. Braun.")
    assert memory.message_id is not None
    notes = Notes(database=stage.database, clock=stage.clock)
    await notes.take(Errand(person=stage.allan.person, key="E1", why="", source_id=memory.message_id), "tulips")
    async with stage.database.unit_of_work() as work:
        await unnote(work, memory.message_id)
    assert {note.text for note in await holding(stage)} == {"tulips", "My dentist is Dr. Weber."}


async def test_where_others_read_along_only_what_was_said_there_is_told(stage: Stage):
    await says(stage, "My dentist is Dr. Weber.", place="slack:T1/C1")
    await says(stage, "I'm allergic to peanuts")
    await Notes(database=stage.database, clock=stage.clock).take(errand_of(stage.allan), "tulips")
    assert [note.text for note in await holding(stage, place="slack:T1/C1")] == ["My dentist is Dr. Weber."]
    assert [note.text for note in await holding(stage, place="slack:T1/C2")] == []
    assert len(await holding(stage)) == 3


async def test_a_note_of_ones_own_may_adopt_what_was_noticed_and_be_taken_back(stage: Stage):
    await says(stage, "My dentist is Dr. Weber.")
    notes, journal = Notes(database=stage.database, clock=stage.clock), Journal(database=stage.database, clock=stage.clock)
    await notes.take(errand_of(stage.allan), "my dentist is Dr. Weber, in Mitte")
    assert [(note.text, note.made_by) for note in await holding(stage)] == [("my dentist is Dr. Weber, in Mitte", "person")]
    assert (await journal.undo(stage.allan.person)).startswith("Taken back")
    assert [(note.text, note.made_by) for note in await holding(stage)] == [("My dentist is Dr. Weber.", "rules")]


async def test_a_bare_correction_is_about_the_last_note_of_just_now(stage: Stage):
    await says(stage, "Dana's birthday is 4 May")
    stage.clock.moment += timedelta(hours=1)
    await says(stage, "no, it's 6 May")
    assert [note.text for note in await holding(stage)] == ["Dana's birthday is 4 May"]


@pytest.mark.parametrize("kind", ["fact", ""])
async def test_a_file_of_notes_keeps_kinds_and_days(stage: Stage, kind: str):
    exchange = Exchange(database=stage.database, clock=stage.clock)
    head = "text,kind,on,noted\n" if kind else "note\n"
    rest = f",{kind},2027-05-04,2026-01-02 10:00" if kind else ""
    await exchange.bring(errand_of(stage.allan), "note", f"{head}Dana's birthday is 4 May{rest}\n".encode())
    (note,) = await holding(stage)
    assert (note.kind, str(note.on), note.topic) == ("fact", "2027-05-04", "dana birthday")
    given = await exchange.give(stage.allan.person, "note")
    assert given.splitlines()[0] == "text,kind,on,noted"
    assert given.splitlines()[1].startswith("Dana's birthday is 4 May,fact,2027-05-04,2026-")


async def test_of_a_chat_that_is_brought_in_only_ones_own_words_are_noted_and_no_later_word_is_undone(stage: Stage):
    await says(stage, "My dentist is Dr. Braun.")
    at, lines = stage.clock.now() - timedelta(days=99), []
    for number, (speaker, text) in enumerate(
        (("Allan", "My dentist is Dr. Weber."), ("Bob", "My vet is Dr. Klein."), ("allan", "I prefer tea."))
    ):
        lines.append((number, Said(conversation="C", external_id=str(number), speaker=speaker, text=text, at=at)))
    await Importing(database=stage.database, embedder=None).bring(stage.allan.person, lines, lambda done, total: None)
    assert {note.text for note in await holding(stage)} == {"My dentist is Dr. Braun.", "I prefer tea."}
