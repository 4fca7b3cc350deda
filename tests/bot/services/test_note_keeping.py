"""Of each thing one note holds: however often it is said, whatever is edited, and whoever noted it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.brain.chat_files import Said
from bot.brain.memory import Recall
from bot.brain.remembering import Saying, memories_of
from bot.domain.address import SessionType
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.memory import Scope, Trust
from bot.learning.importing import Importing
from bot.services.exchange import Exchange
from bot.services.journal import Journal
from bot.services.note_keeping import note_said, unnote
from bot.services.notes import Notes
from storage.models.memory import Memory, StickyNote, Summary
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage


async def says(stage: Stage, text: str, *, place: str = "", thread: str = "T1", after: Memory | None = None) -> Sequence[Memory]:
    """Something Allan said, remembered and noted as the hub does."""
    message, person = stage.message(text), stage.allan.person
    what = {"external_id": str(message.id), "speaker": "Allan", "text": text, "at": stage.clock.now(), "user_id": stage.allan.id}
    saying = Saying(thread=thread, place=place, trust=Trust.OWN, message_id=message.id, **what)  # type: ignore[arg-type]
    memories = memories_of(saying, after, organization=stage.database.organization, timezone="UTC")
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


LONG = "My dentist is Dr. Weber. The van stands in the courtyard of the brewery, behind the lime tree."


async def recalled(stage: Stage, question: str, *, place: str = "") -> list[str]:
    found = await Recall(database=stage.database).find(question, Scope(user_id=stage.allan.id, place=place), limit=9)
    return [each.memory.text for each in found]


@pytest.mark.either
async def test_of_a_message_that_says_more_only_what_was_corrected_is_not_told_again(stage: Stage):
    await says(stage, LONG)
    await says(stage, "My dentist is Dr. Braun.")
    (told,) = await recalled(stage, "Where is the brewery?")
    assert told == "[corrected: My dentist is Dr. Braun.] The van stands in the courtyard of the brewery, behind the lime tree."
    assert not any("Weber" in each for each in await recalled(stage, "Who is my dentist, Weber?"))
    await says(stage, "My dentist is Dr. Klein.")
    assert "[corrected: My dentist is Dr. Klein.]" in (await recalled(stage, "Where is the brewery?"))[0]
    assert not any("Braun" in each for each in await recalled(stage, "Who is my dentist, Braun?"))


async def test_where_others_read_along_nothing_private_is_told_beside_what_was_corrected(stage: Stage):
    await says(stage, LONG, place="slack:T1/C1", thread="C1")
    await says(stage, "My dentist is Dr. Braun.")
    (told,) = await recalled(stage, "Where is the brewery?", place="slack:T1/C1")
    assert told.startswith("[corrected since] The van")


async def test_of_a_summary_what_was_corrected_is_taken_out(stage: Stage):
    (memory,) = await says(stage, LONG)
    known = {
        "organization_id": "default",
        "id": new_id(),
        "user_id": stage.allan.id,
        "level": 1,
        "facts": [],
        "place": "",
        "text": "Weber.",
    }
    now = stage.clock.now()
    async with stage.database.unit_of_work() as work:
        summary = Summary(**known, starts_at=now, ends_at=now, made_by="extract", created_at=now)
        await work.summaries.add(summary, [memory])
    await says(stage, "My dentist is Dr. Braun.")
    async with stage.database.reading() as work:
        assert await work.summaries.covering([memory.id]) == {}
        (first,) = await work.memories.by_ids([memory.id])
        await work.notes.correct([first], is_private=True)
    assert "Weber" not in first.text


async def test_what_is_between_two_corrections_may_be_taken_back_and_the_last_word_holds(stage: Stage):
    await says(stage, "My dentist is Dr. Weber.")
    (middle,) = await says(stage, "My dentist is Dr. Braun.")
    await says(stage, "My dentist is Dr. Klein.")
    assert middle.message_id is not None
    async with stage.database.unit_of_work() as work:
        await unnote(work, middle.message_id)
    (last,) = await holding(stage)
    assert last.text == "My dentist is Dr. Klein."
    assert await recalled(stage, "Is Weber my dentist?") == ["My dentist is Dr. Klein."]
    async with stage.database.unit_of_work() as work:
        await work.notes.remove(last.id)
    assert [note.text for note in await holding(stage)] == ["My dentist is Dr. Weber."]
    assert "My dentist is Dr. Weber." in await recalled(stage, "Is Weber my dentist?")


async def test_what_was_said_is_not_told_again_where_its_note_was_edited_until_that_is_taken_back(stage: Stage):
    await says(stage, "Dana likes tulips.", place="slack:T1/C1")
    notes, journal = Notes(database=stage.database, clock=stage.clock), Journal(database=stage.database, clock=stage.clock)
    await notes.edit(errand_of(stage.allan), (await holding(stage))[0], "Dana likes roses, and me")
    assert await recalled(stage, "What does Dana like?") == []
    assert await holding(stage, place="slack:T1/C1") == [], "what was written in private stays there"
    await journal.undo(stage.allan.person)
    assert await recalled(stage, "What does Dana like?") == ["Dana likes tulips."]
    assert [note.text for note in await holding(stage)] == ["Dana likes tulips."]


async def test_a_bare_correction_in_a_channel_is_not_about_a_note_of_a_private_talk(stage: Stage):
    await Notes(database=stage.database, clock=stage.clock).take(errand_of(stage.allan), "my dentist is Dr. Weber")
    await says(stage, "no, it's Dr. Braun", place="slack:T1/C1", thread="C1")
    assert [note.text for note in await holding(stage)] == ["my dentist is Dr. Weber"]


async def test_a_bare_correction_of_what_a_person_noted_themselves_is_theirs_too(stage: Stage):
    order = stage.message("/note my dentist is Dr. Weber")
    async with stage.database.unit_of_work() as work:
        await work.messages.add(order)
    errand = Errand(person=stage.allan.person, key="E1", why="", source_id=order.id)
    await Notes(database=stage.database, clock=stage.clock).take(errand, "my dentist is Dr. Weber")
    await says(stage, "no, it's Dr. Braun", thread=str(order.conversation_id))
    assert [(note.text, note.made_by) for note in await holding(stage)] == [("my dentist is Dr. Braun", "person")]


async def test_in_a_channel_nobody_is_told_what_a_note_stood_for_before(stage: Stage):
    notes = Notes(database=stage.database, clock=stage.clock)
    await notes.take(errand_of(stage.allan), "my dentist is Dr. Weber")
    aloud = replace(errand_of(stage.allan), session_type=SessionType.SHARED)
    assert (await notes.take(aloud, "my dentist is Dr. Braun"))[1] == "Noted. `/notes` shows what you keep."
    assert (await notes.take(errand_of(stage.allan), "my dentist is Dr. Klein"))[1] == "Noted, instead of “my dentist is Dr. Braun”."
