"""Notes are kept once for the message they came with, and each person has their own."""

from __future__ import annotations

from bot.config import PersonConfig, RobbieConfig
from bot.domain.clock import new_id
from bot.hub.identity import Directory
from bot.services.notes import Notes
from storage.database import Database
from tests.clock import FakeClock


async def test_note_is_kept_once_however_often_its_message_is_handled(database: Database, clock: FakeClock) -> None:
    people = Directory(database=database, robbie=RobbieConfig(), people=[PersonConfig(name="Grace")], clock=clock)
    allan, grace = await people.prepare(), await people.by_name("Grace")
    assert grace is not None
    notes, source = Notes(database=database, clock=clock), new_id()
    for _ in range(3):
        await notes.keep(person_id=allan.id, text="tulips", source_id=source)
    await notes.keep(person_id=grace.id, text="roses", source_id=new_id())
    async with database.reading() as work:
        assert [note.text for note in await work.notes.latest(allan.id, limit=9)] == ["tulips"]
        assert [note.text for note in await work.notes.latest(grace.id, limit=9)] == ["roses"]
