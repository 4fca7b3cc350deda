"""What is remembered gets its vectors: soon, all of it, whatever fails; and nothing is asked of an idle hub's processor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text

from bot.brain.remembering import Saying, memories_of
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import Trust
from bot.learning.indexing import BATCH, LOOK, OTHERS, SWEEP, TRIES, Indexing, find_damaged
from storage.models.memory import Memory
from storage.repositories.base import FIRST_ID
from tests.embedding_fakes import FakeEmbedder, vector_of
from tests.stage import Stage

pytestmark = pytest.mark.either


async def remembered(stage: Stage, *said: str) -> list[Memory]:
    """These are remembered as Allan's, in one conversation."""
    now = stage.clock.now()
    async with stage.database.unit_of_work() as work:
        kept = []
        for number, words in enumerate(said):
            of = Saying(
                thread="t",
                external_id=f"{words}/{number}",
                speaker="Allan",
                text=words,
                at=now,
                user_id=stage.allan.id,
                place="",
                trust=Trust.OWN,
            )
            kept += memories_of(of, kept[-1] if kept else None, organization=work.organization, timezone="UTC")
        await work.memories.add_once(kept)
    return kept


async def vectors(stage: Stage, memories: list[Memory], model: str = "fake/1") -> dict[UUID, np.ndarray]:
    async with stage.database.reading() as work:
        kept = await work.memories.vectors_after(model, FIRST_ID, limit=1_000)
    return {which: vector for which, _, vector in kept if which in {each.id for each in memories}}


async def look_until_at_rest(indexing: Indexing, stage: Stage) -> int:
    """How often it looked until it wanted to rest."""
    for count in range(1, 100):
        due = await indexing.look(stage.clock.now())
        if due is None or due > stage.clock.now():
            return count
    raise AssertionError("it never rests")


async def test_what_is_said_has_its_vector_after_one_look(stage):
    embedder = FakeEmbedder()
    indexing = Indexing(database=stage.database, embedder=embedder)
    (dog,) = await remembered(stage, "I have a dog")
    await look_until_at_rest(indexing, stage)
    assert np.allclose((await vectors(stage, [dog]))[dog.id], vector_of("Allan: I have a dog"), atol=1e-6)
    (cat,) = await remembered(stage, "and a cat")
    stage.clock.advance(seconds=2)
    await look_until_at_rest(indexing, stage)
    assert embedder.asked == ["Allan: I have a dog", "Allan: and a cat"]
    assert len(await vectors(stage, [dog, cat])) == 2


async def test_the_newest_come_first_and_a_restart_goes_on(stage):
    said = await remembered(stage, *(f"no {n}" for n in range(BATCH + 5)))
    await Indexing(database=stage.database, embedder=FakeEmbedder()).look(stage.clock.now())
    assert {*await vectors(stage, said)} == {each.id for each in said[-BATCH:]}
    embedder = FakeEmbedder()
    await look_until_at_rest(Indexing(database=stage.database, embedder=embedder), stage)
    assert len(embedder.asked) == 5
    assert len(await vectors(stage, said)) == BATCH + 5


async def test_another_model_replaces_every_vector(stage):
    said = await remembered(stage, "one", "two")
    await look_until_at_rest(Indexing(database=stage.database, embedder=FakeEmbedder("fake/1")), stage)
    await look_until_at_rest(Indexing(database=stage.database, embedder=FakeEmbedder("fake/2")), stage)
    assert await vectors(stage, said, "fake/1") == {}
    assert len(await vectors(stage, said, "fake/2")) == 2


async def test_an_embedder_that_fails_half_way_loses_nothing_and_is_left_alone_for_longer_each_time(stage):
    said = await remembered(stage, *(f"no {n}" for n in range(2 * BATCH)))
    embedder = FakeEmbedder()
    embedder.fails_after = BATCH
    indexing = Indexing(database=stage.database, embedder=embedder)
    await look_until_at_rest(indexing, stage)
    assert len(await vectors(stage, said)) == BATCH
    rests = []
    for _ in range(9):
        asked, began = len(embedder.asked), stage.clock.now()
        while len(embedder.asked) == asked:
            await indexing.look(stage.clock.advance(seconds=1))
        rests.append((stage.clock.now() - began).total_seconds())
    assert rests[:4] == [5, 10, 20, 40]
    assert rests[-1] == 600
    embedder.fails_after = None
    stage.clock.advance(seconds=600)
    await look_until_at_rest(indexing, stage)
    assert len(await vectors(stage, said)) == 2 * BATCH
    async with stage.database.reading() as work:
        assert await work.incidents.latest(limit=9) == []  # no text was blamed for what ailed the embedder


async def test_a_poisonous_text_is_given_up_after_three_tries_and_reported_once(stage):
    said = await remembered(stage, "poison", *(f"no {n}" for n in range(BATCH)), "poison again")
    embedder = FakeEmbedder()
    embedder.fails_at = "poison"
    indexing = Indexing(database=stage.database, embedder=embedder)
    await look_until_at_rest(indexing, stage)
    assert {*await vectors(stage, said)} == {each.id for each in said[1:-1]}
    assert embedder.asked.count("Allan: poison again") <= 2 * TRIES
    async with stage.database.reading() as work:
        assert sorted(each.key for each in await work.incidents.latest(limit=9)) == sorted(str(each.id) for each in (said[0], said[-1]))
    asked = len(embedder.asked)
    await indexing.look(stage.clock.now() + SWEEP)
    assert len(embedder.asked) == asked


async def test_an_idle_hub_asks_nothing_until_something_is_said(stage):
    embedder = FakeEmbedder()
    indexing = Indexing(database=stage.database, embedder=embedder)
    await remembered(stage, "hello")
    await look_until_at_rest(indexing, stage)
    asked: list[object] = []
    embed_some = indexing.embed_some

    async def listening(**how: Any) -> bool:
        asked.append(how)
        return await embed_some(**how)

    indexing.embed_some = listening  # type: ignore[method-assign]
    for _ in range(9):
        assert await indexing.look(stage.clock.advance(seconds=1.5)) == stage.clock.now() + LOOK
    assert asked == []
    await remembered(stage, "hello again")
    await indexing.look(stage.clock.advance(seconds=0.1))
    assert (len(asked), embedder.asked[-1]) == (1, "Allan: hello again")
    await indexing.look(stage.clock.advance(seconds=OTHERS.total_seconds()))
    assert len(asked) == 2


async def test_what_another_process_remembered_is_found_too(stage, database_url):
    indexing = Indexing(database=stage.database, embedder=FakeEmbedder())
    await look_until_at_rest(indexing, stage)
    (hello,) = await remembered(stage, "hello")
    stage.database.remembered = 0  # as it was another's commit
    await indexing.look(stage.clock.advance(seconds=LOOK.total_seconds()))
    assert await vectors(stage, [hello]) == {}
    await indexing.look(stage.clock.advance(seconds=OTHERS.total_seconds()))
    assert len(await vectors(stage, [hello])) == 1


async def test_a_burst_is_worked_off_newest_first_in_batches(stage):
    said = await remembered(stage, *(f"no {n}" for n in range(1_000)))
    embedder = FakeEmbedder()
    indexing = Indexing(database=stage.database, embedder=embedder)
    assert await look_until_at_rest(indexing, stage) == 1_000 // BATCH + 1
    assert [text.rpartition(" ")[2] for text in embedder.asked] == [str(n) for n in reversed(range(1_000))]
    assert len(await vectors(stage, said)) == 1_000


async def test_reindexing_mends_what_is_damaged(stage, sqlite_file):
    said = await remembered(stage, "one", "two", "three", "four")
    indexing = Indexing(database=stage.database, embedder=FakeEmbedder())
    await look_until_at_rest(indexing, stage)
    is_sqlite = stage.database.file is not None
    async with stage.database.unit_of_work() as work:
        short, odd, nan = ("x'0000'", "x'00000000'", "x'" + "ff" * 32 + "'") if is_sqlite else ("'[1]'", "'[1,2]'", "'[1,2,3]'")
        for memory, value in zip(said, (short, odd, nan), strict=False):
            which = {"id": memory.id.hex if is_sqlite else memory.id}
            await work.connection.execute(text(f"UPDATE memory_vectors SET vector = {value} WHERE memory_id = :id"), which)
    assert sorted(await find_damaged(stage.database, "fake/1")) == sorted(each.id for each in said[:3])
    told: list[tuple[int, int]] = []
    assert await indexing.embed_all(lambda done, total: told.append((done, total)), now=stage.clock.now()) == 3
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)
    assert await find_damaged(stage.database, "fake/1") == []


async def test_without_an_embedder_there_is_nothing_to_do(stage):
    await remembered(stage, "hello")
    indexing = Indexing(database=stage.database, embedder=None)
    assert await indexing.look(stage.clock.now()) is None
    with pytest.raises(EmbeddingFailed):
        await indexing.embed_all(lambda done, total: None, now=stage.clock.now())


async def test_vectors_are_in_memory_before_the_first_question(stage):
    embedder = FakeEmbedder()
    await remembered(stage, "I have a dog")
    await look_until_at_rest(Indexing(database=stage.database, embedder=embedder), stage)
    stage.database._indexes.clear()  # as after a start
    await look_until_at_rest(Indexing(database=stage.database, embedder=embedder), stage)
    held = [int((block["number"] > 0).sum()) for index in stage.database._indexes.values() for block in index._blocks]
    assert held == ([1] if stage.database.url.startswith("sqlite") else [])
