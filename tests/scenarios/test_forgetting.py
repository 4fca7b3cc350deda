"""What a person wants forgotten: it is shown, out of sight at once, brought back within ten minutes, and then nowhere any more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import JSON, LargeBinary, String, TypeDecorator, Uuid, insert, select, update

from bot.brain.reactive import IN_PRIVATE
from bot.brain.remembering import Saying, memories_of
from bot.config import IdentityConfig, PersonConfig
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.memory import Scope, Trust
from bot.domain.message import Attachment
from bot.services.aims import KEPT
from storage import scrubbing
from storage.database import Database, UnitOfWork
from storage.models.base import Base
from storage.models.learning import CachedAnswer, Pattern
from storage.models.manners import StoredBrief
from storage.models.memory import Summary, SummarySource
from storage.models.messaging import InboxState, Message, OutboxItem
from storage.models.models import ModelUsage
from storage.repositories.affairs import new_activity
from storage.repositories.base import values_of
from storage.repositories.forgetting import EVERY
from storage.types import UTCDateTime
from tests.clock import FakeClock
from tests.scenarios.house import PUSH, FakeDoor, FakeModel, House, open_house, until

MARK = "zanzibarium"


@pytest.fixture
async def house(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path, clock=clock, tends=False) as opened:
        yield opened


async def press(house: House, card: Message, label: str = "Forget", **where: str) -> Message:
    command = next(command for name, command in (card.details or {})["buttons"] if name == label)
    return await house.asks(command, **where)


async def forget(house: House, words: str) -> Message:
    return await press(house, await house.asks(f"/forget {words}"))


async def rows_with(house: House, mark: str) -> list[str]:
    """The tables in which a word stands, whatever the column."""
    async with house.app.database.reading() as work:
        rows = {table.name: (await work.connection.execute(select(table))).all() for table in Base.metadata.sorted_tables}
    return sorted(name for name, all_of_it in rows.items() if mark in str(all_of_it).lower())


async def recalled(house: House, word: str) -> list[str]:
    scope = Scope(user_id=house.owner.id)
    async with house.app.database.reading() as work:
        numbers = await work.memories.find_by_words(scope, [word], limit=50)
        return [memory.text for memory in await work.memories.around(scope, numbers, reach=0)]


async def purge(house: House) -> None:
    house.app.clock.advance(seconds=60 * 10)
    await house.app.rooms.forgetful.look(house.app.clock.now())


async def keep_sayings(house: House, texts: Sequence[str]) -> None:
    """Have things said and remembered that nobody answers."""
    now, user = house.app.clock.now(), house.owner.id
    async with house.app.database.unit_of_work(is_long=True) as work:
        where = await work.conversations.ensure(channel="web", key="k", user_id=user, session_type="private", now=now)
        about = {"organization_id": "default", "conversation_id": where.id, "user_id": user, "session_type": "private"}
        told = {"direction": "in", "kind": "message", "at": now}
        messages = [Message(**about, **told, id=new_id(), text=text) for text in texts]
        whose = {"speaker": "Allan", "at": now, "user_id": user, "place": "", "trust": Trust.OWN, "thread": str(where.id)}
        said = [Saying(**whose, external_id=str(one.id), text=one.text, message_id=one.id) for one in messages]
        await work.messages.add_all(messages)
        await work.memories.add_once([row for one in said for row in memories_of(one, None, organization="default", timezone="UTC")])


async def fill(house: House, message_id: UUID) -> None:
    """A row that tells of the marked saying in every table that may."""
    now, user = house.app.clock.now(), house.owner.id
    mine: dict[str, Any] = {"organization_id": "default", "user_id": user}
    async with house.app.database.unit_of_work() as work:
        memory = (await work.memories.of_messages([message_id]))[0]
        await work.memories.keep_vectors("m", {memory.id: np.ones(4, dtype=np.float32)})
        span = {"starts_at": now, "ends_at": now, "made_by": "extract", "created_at": now, "level": 1, "place": ""}
        summary = Summary(**mine, **span, id=new_id(), text=f"It was about {MARK}", facts=[])
        habit = {"state": "on", "weight": 1.0, "agreed": 3, "disagreed": 0}
        cached = {"digest": "d", "question": "q", "text": f"{MARK}!", "message_id": message_id, "at": now, "fresh_until": now}
        learned = {"key": f"{user}/{MARK}", "intent": "time", "text": MARK, "origin": "learned", "created_at": now, "changed_at": now}
        day = {"slot": "morning", "day": now.date(), "state": "sent", "zone": "UTC", "due_at": now, "composed_at": now}
        for row in (
            summary,
            SummarySource(organization_id="default", summary_id=summary.id, memory_id=memory.id),
            CachedAnswer(**mine, **habit, **cached, id=new_id()),
            Pattern(**mine, **habit, **learned, id=new_id()),
            StoredBrief(**mine, **day, id=new_id(), sections=[{"title": MARK}], text=f"Your note: {MARK}", message_id=None),
        ):
            await work.connection.execute(insert(row.__table__), values_of(row))
        about = {"user_id": user, "actor": "robbie", "kind": "k", "at": now, "source_id": message_id}
        await work.activities.record(new_activity("default", **about, text=f"did {MARK}", undo={"table": "notes", "id": "1", "was": MARK}))
        await work.job_runs.claim("research", str(message_id), owner="me", now=now, until=now)
        await work.incidents.add_once(kind="set_aside", key=str(message_id), detail=f"ValueError: {MARK}", now=now)
        known = {"organization_id": "default", "conversation_id": memory_conversation(memory), "user_id": user, "direction": "out"}
        told = {"kind": "answer", "text": "It is an island.", "at": now, "session_type": "private"}
        await work.messages.add(Message(**known, **told, id=new_id(), details={"recalled": [{"id": str(memory.id)}]}))


def memory_conversation(memory: Any) -> UUID:
    return UUID(memory.thread)


async def test_what_is_forgotten_is_nowhere_any_more(house: House, tmp_path: Path):
    receipt = await house.hears(f"Dana moved to {MARK} last spring, and she likes it there")
    await house.reply(receipt)
    await house.asks(f"/note Dana lives in {MARK}")
    await house.asks("what is two and two")
    await fill(house, receipt.event_id)
    file = tmp_path / "attachments" / "x"
    file.parent.mkdir(exist_ok=True)
    file.write_text(MARK)
    async with house.app.database.unit_of_work() as work:
        await work.attachments.add(message_id=receipt.event_id, **_attached(file))
    card = await house.asks(f"/forget {MARK}")
    assert MARK in card.text
    assert "2 notes" in card.text  # the one that was asked for, and the one that was found in the saying
    assert "1 summary" in card.text
    assert await recalled(house, MARK) != []
    said = await press(house, card)
    assert said.text.startswith("Forgotten: ")
    assert "`/undo` brings it back" in said.text
    assert await recalled(house, MARK) == []
    assert MARK not in (await house.asks("/notes")).text
    assert MARK not in (await house.asks("/journal")).text
    await purge(house)
    assert await rows_with(house, MARK) == []
    assert not file.exists()
    assert await recalled(house, "two") != []
    if house.app.database.file is not None:
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        assert [each.name for each in files if MARK.encode() in each.read_bytes().lower()] == []
        assert [each.name for each in files if b"zanzibari" in each.read_bytes().lower()] == [], "the words' index holds its stem"


def _attached(file: Path) -> dict[str, Any]:
    one = Attachment(name=f"{MARK}.txt", media_type="text/plain", size=11, source="s", path=file)
    return {"name": one.name, "media_type": one.media_type, "size": one.size, "source": one.source, "path": str(one.path)}


async def test_errors_that_repeat_what_was_said_go_too(house: House):
    """An embedder, a channel and a vendor may each repeat in their complaint what they were given."""
    receipt = await house.hears(f"I like {MARK}")
    await house.reply(receipt)
    now, of_it = house.app.clock.now(), OutboxItem.event_id == receipt.event_id
    async with house.app.database.unit_of_work() as work:
        memory = (await work.memories.of_messages([receipt.event_id]))[0]
        sent = (await work.connection.execute(select(OutboxItem.id).where(of_it))).scalar_one()
        await work.incidents.add_once(kind="not_embedded", key=str(memory.id), detail=f"no token: {MARK}", now=now)
        await work.incidents.add_once(kind="undelivered", key=str(sent), detail=f"refused: {MARK}", now=now)
        await work.connection.execute(update(OutboxItem).where(of_it).values(last_error=f"refused: {MARK}"))
        about_it = ModelUsage.event_id == receipt.event_id
        await work.connection.execute(update(ModelUsage).where(about_it).values(detail=f"blocked: {MARK}"))
    await forget(house, MARK)
    await purge(house)
    assert await rows_with(house, MARK) == []


async def test_the_index_in_memory_drops_what_is_erased(house: House):
    if house.app.database.file is None:
        pytest.skip("a server has an index of its own")
    await keep_sayings(house, [f"{MARK} is nice", "a rose"])
    vector = np.ones(4, dtype=np.float32)
    async with house.app.database.unit_of_work() as work:
        memories = await work.memories.lacking("m", limit=10)
        await work.memories.keep_vectors("m", {each.id: vector for each in memories})
    async with house.app.database.reading() as work:
        index = await work.memories.caught_up("m", 4)
    await forget(house, MARK)
    await purge(house)
    (rose,) = [each.number for each in memories if each.text == "a rose"]
    assert {int(number) for block in index._blocks for number in block["number"] if number} == {rose}
    assert sum(int(np.abs(block["vector"]).any(axis=1).sum()) for block in index._blocks) == 1


async def test_an_undo_amid_a_second_press_hides_nothing_for_ever(house: House):
    """The first press is undone while the second still looks for what to hide."""
    await house.asks(f"I like {MARK}")
    forgetful = house.app.rooms.forgetful
    _, kept = await forgetful.show(house.owner, MARK, order=new_id())
    async with house.app.database.unit_of_work() as work:
        assert await work.forgettings.undo(kept.id, "shown", house.app.clock.now())
    with pytest.raises(ToolFailed):
        await forgetful._hide_rest(kept, KEPT.validate_python(kept.targets), "hiding")
    assert await recalled(house, MARK) != []


async def test_where_others_read_along_nothing_of_it_is_shown_or_done(database_url: str, tmp_path: Path, clock: FakeClock):
    """What was said there is forgotten in private; what somebody else said there stays."""
    slack = FakeDoor("slack")
    names = (("Allan", "owner"), ("Grace", "member"))
    people = [PersonConfig(name=name, role=role, identities=(IdentityConfig(platform="slack", id=name.lower()),)) for name, role in names]
    async with open_house(database_url, tmp_path, clock=clock, tends=False, doors=[slack], people=people) as house:

        async def says(text: str, account: str, *, shared: bool = True) -> str:
            before = len(slack.took)
            await house.app.front.receive(slack.says(text, account=account, conversation="C1" if shared else "", shared=shared))
            await until(lambda: len(slack.took) > before)
            return slack.took[-1].text

        await says(f"Allan likes {MARK}", "allan")
        await says(f"Grace likes {MARK}", "grace")
        for words in (f"/forget {MARK}", "/forget yes all", f"forget everything about {MARK}", "forget that"):
            assert await says(words, "allan") == IN_PRIVATE, words
        card = await says(f"/forget {MARK}", "allan", shared=False)
        assert "Allan likes" in card
        assert "Grace" not in card
        command = next(each.command for each in slack.took[-1].buttons if each.label == "Forget")
        assert (await says(command, "grace", shared=False)).startswith("That offer has run out")
        assert (await says(command, "allan", shared=False)).startswith("Forgotten: ")
        await purge(house)
        assert await rows_with(house, f"allan likes {MARK}") == []
        assert "memories" in await rows_with(house, f"grace likes {MARK}")


SILENT = {
    "cursors": "how far a channel was read",
    "insights": "foretold failures of levels",
    "installations": "workspaces",
    "leases": "processes",
    "model_health": "levels",
    "routing_arms": "levels",
    "users": "who somebody is, from config or pairing",
    "credentials": "hashes",
    "link_codes": "accounts that wait",
}
"""Tables with texts that hold nothing of what a person says, and why."""
FOLLOWING = {
    *("inbox_events", "outbox", "attachments", "ai_model_usage", "incidents", "job_runs", "memory_vectors", "forgotten", "forgettings")
}
"""Whose rows, or what they tell, go with rows of the shelves: the two tests above have one in each."""


def test_no_table_that_may_hold_words_is_left_out():
    """A new table with texts must be given a shelf, or a reason."""
    shelved = {shelf.table.__tablename__ for shelf in EVERY.values()}
    texts = (String, JSON, LargeBinary, TypeDecorator)
    silent = (Uuid, UTCDateTime)
    worded = {
        table.name
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if not column.primary_key and isinstance(column.type, texts) and not isinstance(column.type, silent)
    }
    assert worded == (worded & shelved) | {*SILENT} | FOLLOWING
    for shelf in EVERY.values():  # and a shelf names columns that there are
        assert {name.partition(".")[0] for name in f"{shelf.words} {shelf.after} {shelf.at} {shelf.key}".split()} <= {*dir(shelf.table)}


async def test_nothing_is_gone_before_it_is_agreed_to(house: House):
    await house.asks(f"I like {MARK}")
    card = await house.asks(f"/forget {MARK}")
    assert (await press(house, card, "Keep")).text == "It all stays."
    assert {f"I like {MARK}", f"re: I like {MARK}"} <= {*await recalled(house, MARK)}
    assert "run out" in (await press(house, card)).text


@pytest.mark.parametrize(("seconds", "comes_back"), [(599, True), (600, False)])
async def test_it_is_brought_back_for_ten_minutes(house: House, seconds: int, comes_back: bool):
    await house.asks(f"I like {MARK}")
    await house.asks(f"/note {MARK} in May")
    before = await rows_with(house, MARK)
    await forget(house, MARK)
    house.app.clock.advance(seconds=seconds)
    said = (await house.asks("/undo")).text
    assert said.startswith("Taken back: Forgotten: " if comes_back else "That is gone for good: ")
    await house.app.rooms.forgetful.look(house.app.clock.now())
    assert bool(await recalled(house, MARK)) is comes_back
    assert (MARK in (await house.asks("/notes")).text) is comes_back
    assert await rows_with(house, MARK) == (before if comes_back else [])


async def test_what_is_being_answered_is_not_answered_any_more(house: House):
    house.model.slow_at = MARK
    house.model.hold()
    asked = await house.hears(f"tell me of {MARK}")
    while not house.model.asked:
        await house.reply(await house.hears("/status", conversation="other"))
    await press(house, await house.asks(f"/forget {MARK}", conversation="other"), conversation="other")
    house.model.gate.set()
    await house.asks("hello there", conversation="main")
    said = [message.text for message in await house.messages(asked.conversation_id) if message.kind != "deleted"]
    assert not any(MARK in text for text in said)
    await purge(house)
    assert await rows_with(house, MARK) == []


async def test_the_last_exchange_is_forgotten_by_plain_words(house: House):
    await house.asks("I like roses")
    await house.asks(f"I like {MARK}")
    card = await house.asks("Forget that.")
    assert MARK in card.text
    assert "roses" not in card.text
    await press(house, card)
    assert await recalled(house, MARK) == []
    assert await recalled(house, "roses") != []


async def test_what_quotes_a_note_goes_with_it_and_what_shares_a_word_stays(house: House):
    """A note is named by its id, so that no word of it is looked for."""
    await house.asks("/note milk")
    await house.asks("/notes")
    await house.asks("how much milk is in a cake")
    async with house.app.database.reading() as work:
        (note,) = await work.notes.latest(house.owner.id, limit=5)
    await press(house, await house.asks(f"/forget {note.id}"))
    messages = [message for message in await house.messages(await conversation_of(house)) if message.kind != "deleted"]
    assert not [message.text for message in messages if message.text.startswith("Your last notes") or message.text == "Noted: milk"]
    assert [message.text for message in messages if "cake" in message.text] == [
        "how much milk is in a cake",
        "re: how much milk is in a cake",
    ]


async def conversation_of(house: House) -> UUID:
    async with house.app.database.reading() as work:
        found = await work.conversations.find(channel=PUSH, key="main")
    assert found is not None
    return found.id


async def test_older_backups_are_told_of_where_there_are_some(house: House, tmp_path: Path):
    await house.asks(f"I like {MARK}")
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "robbie.db").write_text("older")
    assert f"Older backups in {tmp_path / 'backups'} hold it until they expire." in (await forget(house, MARK)).text


async def test_everything_needs_the_word_again(house: House):
    await house.asks(f"I like {MARK}")
    card = await house.asks("/forget everything")
    assert [label for label, _ in (card.details or {})["buttons"]] == ["Keep"]
    assert (await house.asks("/forget yes all")).text.startswith("Forgotten: ")
    await purge(house)
    assert await rows_with(house, MARK) == []


async def test_words_must_all_be_held_and_what_is_not_meant_stays(house: House):
    await house.asks("Dana likes tulips")
    await house.asks("Dana likes jam")
    card = await house.asks("/forget Dana tulips")
    assert "1 more hold" in card.text
    await press(house, card)
    assert await recalled(house, "tulip") == []
    assert await recalled(house, "jam") != []
    said = (await house.asks("/forget jam roses")).text
    assert "“jam” alone: 1" in said


async def test_what_another_said_is_not_there_to_be_forgotten(house: House):
    await house.asks(f"I like {MARK}")
    async with house.app.database.unit_of_work() as work:
        grace = await work.people.ensure_user(name="Grace", role="member", timezone="UTC", now=house.app.clock.now())
    forgetful = house.app.rooms.forgetful
    for words in (MARK, "everything", "today"):
        with pytest.raises(ToolFailed, match="I hold nothing of yours"):
            await forgetful.show(grace.person, words, order=new_id())
    _, owners = await forgetful.show(house.owner, MARK, order=new_id())
    with pytest.raises(ToolFailed, match="run out"):
        await forgetful.forget(Errand(person=grace.person, key="k", why="test"), str(owners.id))
    assert await recalled(house, MARK) != []


async def test_a_button_that_is_pressed_twice_says_the_same_twice(house: House):
    await house.asks(f"I like {MARK}")
    card = await house.asks(f"/forget {MARK}")
    assert (await press(house, card)).text == (await press(house, card)).text
    assert (await house.asks("/undo")).text.startswith("Taken back")
    assert len(await recalled(house, MARK)) >= 2


async def test_an_answer_that_recalled_it_meanwhile_goes_as_well(house: House):
    receipt = await house.hears(f"I like {MARK}")
    await house.reply(receipt)
    async with house.app.database.reading() as work:
        memory = (await work.memories.of_messages([receipt.event_id]))[0]
    await forget(house, MARK)
    told = {"kind": "answer", "text": "You like that island.", "at": house.app.clock.now(), "session_type": "private"}
    about = {"organization_id": "default", "conversation_id": receipt.conversation_id, "user_id": house.owner.id, "direction": "out"}
    async with house.app.database.unit_of_work() as work:
        await work.messages.add(Message(**about, **told, id=new_id(), details={"recalled": [str(memory.id)]}))
    await purge(house)
    assert await rows_with(house, "that island") == []


async def test_a_crash_amid_the_hiding_is_taken_up_again(house: House, database_url: str):
    await keep_sayings(house, [f"{MARK} number {number} is nice" for number in range(250)])
    clock, forgetful = house.app.clock, house.app.rooms.forgetful
    _, kept = await forgetful.show(house.owner, MARK, order=new_id())
    async with DyingDatabase(database_url, organization="default") as dying:
        dying.acts = 2
        with pytest.raises(SystemError):
            await replace(forgetful, database=dying).forget(Errand(person=house.owner, key="k", why="test"), str(kept.id))
    await forgetful.look(clock.advance(seconds=60))
    assert await recalled(house, MARK) == []
    assert (await house.asks("/undo")).text.startswith("Taken back: Forgotten: 250 sayings")
    assert len(await recalled(house, MARK)) == 50


async def test_a_log_that_is_still_read_is_emptied_later(house: House, monkeypatch: pytest.MonkeyPatch):
    if (file := house.app.database.file) is None:
        pytest.skip("a server has a log of its own")
    await house.asks(f"I like {MARK}")
    await forget(house, MARK)
    monkeypatch.setattr(scrubbing, "LOG_SECONDS", 0.01)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        await purge(house)
        assert MARK.encode() in log_of(file).read_bytes()
    await house.app.rooms.forgetful.look(house.app.clock.advance(seconds=60))
    assert MARK.encode() not in file.read_bytes() + log_of(file).read_bytes()
    async with house.app.database.reading() as work:
        assert await work.forgettings.open() == []


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


class DyingDatabase(Database):
    """A real database whose process dies after so many acts: FAKE only in that."""

    acts = 10

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[UnitOfWork]:
        if not self.acts:
            raise SystemError("FAKE: killed")
        self.acts -= 1
        async with super().unit_of_work(is_long=is_long) as work:
            yield work


@pytest.mark.parametrize("acts", [1, 2, 3, 4])
async def test_a_crash_amid_the_purge_is_taken_up_again(house: House, database_url: str, acts: int):
    await keep_sayings(house, [f"{MARK} number {number} is nice" for number in range(150)])
    await forget(house, MARK)
    clock, forgetful = house.app.clock, house.app.rooms.forgetful
    clock.advance(seconds=600)
    async with DyingDatabase(database_url, organization="default") as dying:
        dying.acts = acts
        with pytest.raises(SystemError):
            await replace(forgetful, database=dying).look(clock.now())
    assert await recalled(house, MARK) == []
    assert (await house.asks("/undo")).text.startswith(("That is gone for good", "There is nothing", "The last thing cannot"))
    await forgetful.look(clock.advance(seconds=120))
    assert await rows_with(house, MARK) == []
    async with house.app.database.reading() as work:
        assert await work.forgettings.open() == []


async def test_two_hubs_forget_once(database_url: str, tmp_path: Path, clock: FakeClock):
    if database_url.startswith("sqlite"):
        pytest.skip("one hub at a time runs on a SQLite home")
    async with (
        open_house(database_url, tmp_path, clock=clock, tends=False) as one,
        open_house(database_url, tmp_path, clock=clock, tends=False, process="other", model=FakeModel()) as other,
    ):
        await one.asks(f"I like {MARK}")
        await forget(one, MARK)
        clock.advance(seconds=60 * 10)

        await asyncio.gather(*(each.app.rooms.forgetful.look(clock.now()) for each in (one, other)))
        assert await rows_with(one, MARK) == []
        assert await one.app.rooms.forgetful.look(clock.now()) is None


@pytest.mark.parametrize("name", ["C1:1716.0001", "99:57", "<a.b@c>", "0192-77"])
async def test_the_raw_event_of_an_edit_goes_with_what_it_changed(house: House, name: str):
    kept = await house.hears(f"I like {MARK}", external_id=name)
    await house.reply(kept)
    at = {"channel": PUSH, "account": "a", "conversation_id": kept.conversation_id, "received_at": house.app.clock.now()}
    own, others = name.rpartition(":")[2], "1716.00012"
    async with house.app.database.unit_of_work() as work:
        for target, text in ((own, MARK), (others, "jam")):
            raw = json.dumps({"message": {"ts": target, "text": f"I love {text}"}})
            await work.inbox.add_once(id=new_id(), external_id=text, kind="edit", raw=raw, state=InboxState.NOTED, **at)
    await forget(house, MARK)
    await purge(house)
    assert await rows_with(house, "love jam") == ["inbox_events"]
    assert await rows_with(house, f"love {MARK}") == []


async def test_a_turn_of_a_megabyte_is_forgotten(house: House):
    await house.asks(f"{MARK} " + "la " * 340_000)
    assert (await forget(house, MARK)).text.startswith("Forgotten: 1 saying")
    await purge(house)
    assert await rows_with(house, MARK) == []


async def test_two_thousand_turns_go_in_small_acts(house: House):
    """Nobody who writes meanwhile waits longer than for one batch."""
    await keep_sayings(house, [f"{MARK} number {number} is nice" for number in range(2_000)])
    await keep_sayings(house, ["a rose"])
    longest = Longest()
    async with TimedDatabase(house.app.database.url, organization="default") as timed:
        timed.longest = longest
        forgetful = replace(house.app.rooms.forgetful, database=timed)
        _, kept = await forgetful.show(house.owner, MARK, order=new_id())
        await forgetful.forget(Errand(person=house.owner, key="k", why="test"), str(kept.id))
        await forgetful.look(house.app.clock.advance(seconds=600))
    assert await rows_with(house, MARK) == []
    assert await recalled(house, "rose") == ["a rose"]
    assert longest.seconds < 0.5, longest


@dataclass
class Longest:
    seconds: float = 0.0
    acts: int = 0


class TimedDatabase(Database):
    """A real database that notes how long the longest act took, by the processor's clock: FAKE only in that."""

    longest: Longest

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[UnitOfWork]:
        async with super().unit_of_work(is_long=is_long) as work:
            begun = process_time()
            yield work
            self.longest.seconds, self.longest.acts = max(self.longest.seconds, process_time() - begun), self.longest.acts + 1
