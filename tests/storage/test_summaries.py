"""What is packed is found and read as before, also in another database, and leaves nothing behind; what is due is found by an index."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from bot.domain.clock import new_id
from bot.domain.errors import Conflict
from bot.domain.memory import Scope, Trust
from storage.copying import copy_everything
from storage.database import Database
from storage.models.memory import Memory, Summary, pack, unpack
from storage.repositories.summaries import MONTHS, PACKED, SESSIONS, YEARS
from tests.clock import FakeClock
from tests.conftest import sqlite_url
from tests.stage import Stage

TEXT = "The lease of the office in Lisbon ends on 3 May, \x00 and \ud800 so the office must be left. " * 4


async def remembered(stage: Stage, said: str = TEXT, **values: Any) -> Memory:
    known = {"organization_id": "default", "id": new_id(), "number": 0, "user_id": stage.allan.id, "thread": "t", "session": new_id()}
    where = {"position": 0, "part": 0, "external_id": str(new_id()), "speaker": "Allan", "place": "", "trust": Trust.OWN}
    memory = Memory(**{**known, **where, "said": said, "day": "22 November 2026", "at": stage.clock.now(), "aged": MONTHS, **values})
    async with stage.database.unit_of_work() as work:
        await work.memories.add_once([memory])
        return (await work.memories.by_ids([memory.id]))[0]


async def found(database: Database, stage: Stage, word: str) -> list[str]:
    async with database.reading() as work:
        scope = Scope(user_id=stage.allan.id)
        numbers = await work.memories.find_by_words(scope, [word], limit=9)
        return [each.text for each in await work.memories.around(scope, numbers, reach=0)]


@pytest.mark.parametrize("plain", ["a" * 200, TEXT, "\ud800" * 50, "ż" * 50, "👩‍👩‍👧‍👦" * 9])
def test_what_is_packed_is_unpacked_as_it_was(plain: str):
    packed = pack(plain)
    assert packed is not None
    assert len(packed) < len(plain.encode(errors="surrogatepass"))
    assert unpack(packed) == plain


@pytest.mark.parametrize("plain", ["", "hi", "The lease is signed."])
def test_what_would_not_be_smaller_is_not_packed(plain: str):
    assert pack(plain) is None


async def test_what_is_packed_is_found_and_read_as_before(stage: Stage):
    long, short = await remembered(stage), await remembered(stage, "Lisbon, hi.")
    async with stage.database.unit_of_work() as work:
        await work.summaries.pack([long, short])
        packed, plain = await work.memories.by_ids([long.id]), await work.memories.by_ids([short.id])
    assert (packed[0].said, packed[0].text, packed[0].aged) == ("", long.said, PACKED)
    assert (plain[0].said, plain[0].packed, plain[0].aged) == ("Lisbon, hi.", None, PACKED)
    assert sorted(await found(stage.database, stage, "lisbon")) == sorted([long.said, "Lisbon, hi."])


async def test_what_is_packed_is_not_packed_twice(stage: Stage):
    memory = await remembered(stage)
    for _ in range(2):
        async with stage.database.unit_of_work() as work:
            await work.summaries.pack(await work.memories.by_ids([memory.id]))
            await work.memories.change([memory.id], aged=MONTHS)
    async with stage.database.reading() as work:
        assert (await work.memories.by_ids([memory.id]))[0].text == memory.said


async def test_nothing_is_left_in_the_index_of_what_was_packed_and_removed(stage: Stage):
    gone, stays = await remembered(stage), await remembered(stage, "Lisbon stays.")
    async with stage.database.unit_of_work() as work:
        await work.summaries.pack([gone])
        await work.memories.remove([gone.id])
    assert await found(stage.database, stage, "lease") == []
    assert await found(stage.database, stage, "lisbon") == [stays.said]
    async with stage.database.unit_of_work() as work:
        counts = await work.memories.counts(["lease", "lisbon"])
    assert (counts.holding["lease"], counts.holding["lisbon"]) == (0, 1)


async def test_what_is_packed_and_then_of_another_trust_is_found_by_that_and_can_be_removed(stage: Stage):
    packed = await remembered(stage)
    async with stage.database.unit_of_work() as work:
        await work.summaries.pack([packed])
        await work.memories.change([packed.id], trust=Trust.INTIMATE)
    for scope, told in ((Scope(user_id=stage.allan.id), 0), (Scope(user_id=stage.allan.id, trusts=(Trust.INTIMATE,)), 1)):
        async with stage.database.reading() as work:
            assert len(await work.memories.find_by_words(scope, ["lease"], limit=9)) == told
    async with stage.database.unit_of_work() as work:
        await work.memories.remove([packed.id])
        assert (await work.memories.counts(["lease"])).holding["lease"] == 0


@pytest.fixture
def other_url(request: pytest.FixtureRequest, database_url: str, sqlite_file: Path) -> str:
    """An empty database of the other kind than the stage's."""
    url = request.getfixturevalue("postgres_url") if database_url.startswith("sqlite") else f"sqlite+aiosqlite:///{sqlite_file}"
    return str(url)


async def test_what_is_packed_is_found_in_the_database_it_was_copied_to(stage: Stage, other_url: str):
    memory = await remembered(stage)
    async with stage.database.unit_of_work() as work:
        await work.summaries.pack([memory])
    async with Database(other_url, organization="default") as other:
        await copy_everything(stage.database, other)
        assert await found(other, stage, "lisbon") == [memory.said]
        async with other.unit_of_work() as work:
            (copied,) = await work.memories.by_ids([memory.id])
            assert (copied.said, copied.packed) == ("", pack(memory.said))
            await work.memories.remove([memory.id])
        assert await found(other, stage, "lisbon") == []


async def test_a_step_is_taken_once(stage: Stage):
    memory = await remembered(stage, aged=0)
    async with stage.database.unit_of_work() as work:
        await work.summaries.pass_on(SESSIONS, [memory])
    with pytest.raises(Conflict):
        async with stage.database.unit_of_work() as work:
            await work.summaries.pass_on(SESSIONS, [memory])


async def test_a_summary_that_was_superseded_or_is_forgotten_covers_nothing(stage: Stage):
    memory, now = await remembered(stage, aged=SESSIONS), stage.clock.now()
    made = {"made_by": "extract", "created_at": now, "starts_at": now, "ends_at": now, "text": "t", "facts": ["f"], "place": ""}
    for values, covers in (({}, 1), ({"superseded_at": now}, 1), ({"forgotten_by": new_id()}, 1)):
        summary = Summary(organization_id="default", id=new_id(), user_id=stage.allan.id, level=1, **{**made, **values})
        async with stage.database.unit_of_work() as work:
            await work.summaries.add(summary, [memory])
            assert len((await work.summaries.covering([memory.id])).get(memory.id, [])) == covers
    async with stage.database.unit_of_work() as work:
        assert await work.summaries.counts() == {1: 1}
        (holds,) = (await work.summaries.covering([memory.id]))[memory.id]
        await work.summaries.supersede(holds, now + timedelta(days=1))
        assert (await work.memories.by_ids([memory.id]))[0].aged == 0
        assert await work.summaries.covering([memory.id]) == {}


async def test_of_a_summary_that_is_forgotten_alone_the_memories_are_summarised_anew(stage: Stage):
    memory, now = await remembered(stage, aged=PACKED), stage.clock.now()
    made = {"made_by": "extract", "created_at": now, "starts_at": now, "ends_at": now, "text": "t", "facts": ["f"], "place": ""}
    summary = Summary(organization_id="default", id=new_id(), user_id=stage.allan.id, level=1, **made)
    async with stage.database.unit_of_work() as work:
        await work.summaries.add(summary, [memory])
        aim = await work.forgettings.show(user_id=stage.allan.id, what="t", targets={}, now=now, due_at=now)
        await work.forgettings.hide(aim.id, "summaries", [summary.id])
        assert await work.summaries.covering([memory.id]) == {}
        await work.forgettings.erase(await work.forgettings.targets(aim.id))
        assert (await work.connection.execute(select(Summary))).all() == []
        assert (await work.memories.by_ids([memory.id]))[0].aged == 0


async def test_neither_the_hourly_look_nor_a_prompt_reads_a_whole_table(sqlite_file: Path, clock: FakeClock):
    """On SQLite, which plans the same however much there is; PostgreSQL reads a small table as a whole, which is right there."""
    asked: list[tuple[str, Any]] = []
    async with Database(sqlite_url(sqlite_file), organization="default") as database:
        event.listen(database._reader.sync_engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        async with database.reading() as work:
            for step in (SESSIONS, MONTHS, PACKED, YEARS):
                await work.summaries.next(step, before=clock.now())
            await work.summaries.stale(limit=1)
            await work.summaries.covering([new_id()])
    with closing(sqlite3.connect(sqlite_file)) as connection:
        plans = [row[-1] for sql, values in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert len(asked) == 6
    whole = [plan for plan in plans if plan.startswith("SCAN") or plan.endswith("(organization_id=?)")]
    assert whole == ["SEARCH memories USING INDEX ix_memories_unheard (organization_id=?)"] * 2, "it holds what is forgotten alone"
