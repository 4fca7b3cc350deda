"""What was said elsewhere becomes memories of its person: in order, once, whole, and with its vectors."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.brain.chat_files import Said
from bot.brain.remembering import LONGEST_PART
from bot.learning.importing import BATCH, Brought, Importing
from tests.embedding_fakes import FakeEmbedder
from tests.stage import Stage

pytestmark = pytest.mark.either


def said(stage: Stage, number: int, *, minutes: float = 0, conversation: str = "home", text: str = "") -> Said:
    at = stage.clock.now() + timedelta(minutes=minutes)
    return Said(external_id=f"e{number}", conversation=conversation, speaker="Dana", text=text or f"no {number}", at=at)


async def bring(stage: Stage, *lines: Said | str, embedder: FakeEmbedder | None = None) -> Brought:
    importing = Importing(database=stage.database, embedder=embedder or FakeEmbedder())
    return await importing.bring(stage.allan.person, enumerate(lines, start=1), lambda done, total: None)


async def remembered(stage: Stage) -> list:
    async with stage.database.reading() as work:
        return sorted(await work.memories.lacking("", limit=5000), key=lambda each: (each.thread, each.number))


async def test_lines_in_any_order_end_up_sorted_with_the_files_order_among_equals(stage):
    lines = [said(stage, number, minutes=number // 3) for number in range(30)]
    equals = [line for line in lines if line.at == lines[3].at]
    shuffled = random.Random(1).sample(lines, len(lines))
    expected = sorted(shuffled, key=lambda line: line.at)
    await bring(stage, *shuffled)
    kept = await remembered(stage)
    assert [each.external_id for each in kept] == [line.external_id for line in expected]
    assert [each.position for each in kept] == [*range(30)]
    assert len({each.session for each in kept}) == 1
    assert len(equals) == 3


async def test_a_long_pause_begins_a_session_and_conversations_are_kept_apart(stage):
    await bring(stage, said(stage, 1), said(stage, 2, minutes=300), said(stage, 1, conversation="work"))
    kept = await remembered(stage)
    assert [(each.thread, each.position) for each in kept] == [("import/home", 0), ("import/home", 0), ("import/work", 0)]
    assert len({each.session for each in kept}) == 3


async def test_all_of_it_has_its_vectors_when_it_returns(stage):
    result = await bring(stage, *(said(stage, number, minutes=number) for number in range(BATCH + 10)))
    assert result == Brought(added=BATCH + 10, known=0, without_vector=0, broken=[])
    async with stage.database.reading() as work:
        assert await work.memories.count_lacking("fake/1") == 0


async def test_what_is_known_is_not_added_again_and_what_is_new_goes_on_from_it(stage):
    first = [said(stage, number, minutes=number) for number in range(3)]
    await bring(stage, *first)
    again = await bring(stage, *first, said(stage, 9, minutes=9), first[0], "it is no JSON")
    assert again == Brought(added=1, known=4, without_vector=0, broken=[(6, "it is no JSON")])
    assert [each.position for each in await remembered(stage)] == [0, 1, 2, 3]


async def test_what_one_person_brings_is_not_the_others(stage):
    await bring(stage, said(stage, 1))
    importing = Importing(database=stage.database, embedder=None)
    assert (await importing.bring(stage.grace.person, [(1, said(stage, 1))], lambda done, total: None)).added == 1
    assert {each.user_id for each in await remembered(stage)} == {stage.allan.id, stage.grace.id}


async def test_a_line_of_a_megabyte_is_kept_whole_in_parts(stage):
    text = "".join(f"Sentence {number} of a long story. " for number in range(32_000)).strip()
    assert len(text) > 1_000_000
    result = await bring(stage, said(stage, 1, text=text), said(stage, 2, minutes=1))
    kept = await remembered(stage)
    assert result.added == 2
    assert max(len(each.said) for each in kept) <= LONGEST_PART
    assert " ".join(each.said for each in kept[:-1]) == text
    assert [each.position for each in kept] == [*range(len(kept))]


async def test_an_embedder_that_fails_keeps_nothing_from_being_kept(stage):
    embedder = FakeEmbedder()
    embedder.fails_after = BATCH
    result = await bring(stage, *(said(stage, number, minutes=number) for number in range(BATCH + 10)), embedder=embedder)
    assert (result.added, result.without_vector) == (BATCH + 10, 10)
    assert len(await remembered(stage)) == BATCH + 10


async def test_odd_characters_come_back_as_they_were(stage):
    odd = "a\x00b \ud800 🦊\u200f"
    await bring(stage, said(stage, 1, text=odd))
    assert [each.text for each in await remembered(stage)] == [odd]


async def test_an_import_that_was_broken_off_amid_a_long_line_is_gone_on_with(stage):
    text = " ".join(f"Sentence {number} of a long story." for number in range(400))
    lines = [*(said(stage, number, minutes=number) for number in range(BATCH - 2)), said(stage, 999, minutes=999, text=text)]
    embedder = FakeEmbedder()
    embedder.stops_after = BATCH
    with pytest.raises(asyncio.CancelledError):
        await bring(stage, *lines, *(said(stage, number, minutes=number) for number in range(1000, 1300)), embedder=embedder)
    await bring(stage, *lines)
    kept = [each for each in await remembered(stage) if each.external_id == "e999"]
    assert " ".join(each.said for each in kept) == text
    assert [each.part for each in kept] == [*range(len(kept))]


async def test_one_text_that_the_embedder_cannot_take_costs_no_other_its_vector(stage):
    embedder = FakeEmbedder()
    embedder.fails_at = "poison"
    lines = [*(said(stage, number, minutes=number) for number in range(BATCH)), said(stage, 999, minutes=999, text="poison")]
    assert (await bring(stage, *lines, embedder=embedder)).without_vector == 1
    assert (await bring(stage, *lines, embedder=embedder)).without_vector == 1


async def test_an_embedder_that_is_down_is_not_asked_for_each_batch(stage):
    embedder = FakeEmbedder()
    embedder.is_down = True
    result = await bring(stage, *(said(stage, number, minutes=number) for number in range(4 * BATCH)), embedder=embedder)
    assert (result.added, result.without_vector) == (4 * BATCH, 4 * BATCH)
    assert len(embedder.asked) <= BATCH + 4


async def test_names_as_long_as_they_may_be_are_kept(stage):
    """PostgreSQL compresses what repeats itself; these do not."""
    name = "".join(random.Random(1).choices("".join(map(chr, range(0x1F300, 0x1F600))), k=300))
    assert (await bring(stage, replace(said(stage, 1), external_id=name, conversation=name[::-1]))).added == 1
