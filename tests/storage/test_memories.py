"""How memories are found on both databases: by words, by vectors, only in scope, whatever is asked and whatever has happened meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text

from bot.brain.recall import terms
from bot.domain.clock import new_id
from bot.domain.memory import Scope, Trust
from storage import vector_index
from storage.database import Database
from storage.models.memory import Memory
from storage.repositories import finding
from storage.vector_index import BLOCK
from tests.fakes import FakeClock
from tests.stage import Stage, set_stage

SHARED = "slack:T1/C1"
ODD = [
    'it\'s "quoted"',
    "a\x00b",
    "lone \ud800 surrogate",
    "the of and",
    "*** ()",
    "NEAR(a b) AND OR NOT",
    "ünïcödé 日本語",
    "' | & ! :*",
    "x" * 5_000,
]
FOUND = (ODD[0], ODD[6])
"""A word that a NUL or half a character cuts in two is stored as another one."""


def near(*shares: float) -> Any:
    """A vector of length 1, of four numbers."""
    vector = np.zeros(4, dtype=np.float32)
    vector[: len(shares)] = shares
    return vector / np.linalg.norm(vector)


def memory(stage: Stage, said: str, *, at: int = 0, **values: Any) -> Memory:
    """A memory of Allan's, not stored yet."""
    known: dict[str, Any] = {
        "organization_id": stage.database.organization,
        "id": new_id(),
        "number": 0,
        "user_id": stage.allan.id,
        "thread": "t",
        "session": new_id(),
        "position": 0,
        "part": 0,
        "external_id": str(new_id()),
        "speaker": "Allan",
        "said": said,
        "day": "7 May 2026",
        "at": stage.clock.now() + timedelta(minutes=at),
        "place": "",
        "trust": Trust.OWN,
    }
    return Memory(**(known | values))


async def remember(
    stage: Stage, *memories: Memory, vectors: Sequence[Any] = (), model: str = "m", database: Database | None = None
) -> None:
    """Store these, each with its vector."""
    async with (database or stage.database).unit_of_work() as work:
        await work.memories.add_once(memories)
        await work.memories.keep_vectors(model, {each.id: vector for each, vector in zip(memories, vectors, strict=False)})


async def said_by_words(stage: Stage, question: str, scope: Scope | None = None, *, limit: int = 50) -> list[str]:
    """What was said that is found by these words, best first."""
    scope = scope or Scope(user_id=stage.allan.id)
    async with stage.database.reading() as work:
        return await _said(work, scope, await work.memories.find_by_words(scope, terms(question), limit=limit))


async def said_by_vector(stage: Stage, vector: Any, scope: Scope | None = None, *, model: str = "m", limit: int = 50) -> list[str]:
    """What was said whose vectors are nearest, best first."""
    scope = scope or Scope(user_id=stage.allan.id)
    async with stage.database.reading() as work:
        return await _said(work, scope, await work.memories.find_by_vector(scope, vector, model, limit=limit))


async def _said(work: Any, scope: Scope, numbers: Sequence[int]) -> list[str]:
    known = {each.number: each.text for each in await work.memories.around(scope, numbers, reach=0)}
    return [known[number] for number in numbers if number in known]


async def household(stage: Stage) -> None:
    """The same word, and the same meaning, in everybody's mouth."""
    mine = [
        memory(stage, "my zebra"),
        memory(stage, "my shared zebra", place=SHARED),
        memory(stage, "zebra elsewhere", place="slack:T1/C2"),
    ]
    others = [
        memory(stage, "grace's zebra", user_id=stage.grace.id),
        memory(stage, "grace's shared zebra", user_id=stage.grace.id, place=SHARED),
    ]
    told = [memory(stage, "a stranger's zebra", trust=Trust.OUTSIDE), memory(stage, "zebra, darling", trust=Trust.INTIMATE)]
    gone = [memory(stage, "a forgotten zebra", forgotten_by=new_id()), memory(stage, "a corrected zebra", corrected_by=new_id())]
    everything = [*mine, *others, *told, *gone, memory(stage, "Robbie's zebra", trust=Trust.ROBBIE)]
    await remember(stage, *everything, vectors=[near(1, at / 10) for at in range(len(everything))])


SCOPES = [
    ("private", "", (Trust.OWN, Trust.ROBBIE), {"my zebra", "my shared zebra", "zebra elsewhere", "Robbie's zebra"}),
    ("shared", SHARED, (Trust.OWN, Trust.ROBBIE), {"my shared zebra"}),
    ("nowhere", "slack:T1/C3", (Trust.OWN, Trust.ROBBIE), set()),
    ("outside", "", (Trust.OUTSIDE,), {"a stranger's zebra"}),
]


@pytest.mark.parametrize(("name", "place", "trusts", "told"), SCOPES, ids=[name for name, *_ in SCOPES])
async def test_only_what_is_in_scope_is_found(stage: Stage, name: str, place: str, trusts: tuple[Trust, ...], told: set[str]):
    await household(stage)
    scope = Scope(user_id=stage.allan.id, place=place, trusts=trusts)
    assert {*await said_by_words(stage, "zebra", scope)} == told
    assert {*await said_by_vector(stage, near(1), scope)} == told


async def test_the_filter_comes_before_the_limit(stage: Stage):
    """A person with three memories among hundreds that fit better gets all three."""
    many = [memory(stage, f"zebra {at}") for at in range(400)]
    few = [memory(stage, f"grace's zebra {at}", user_id=stage.grace.id) for at in range(3)]
    await remember(stage, *many, *few, vectors=[*[near(1)] * 400, *[near(1, 1)] * 3])
    scope = Scope(user_id=stage.grace.id)
    assert len(await said_by_words(stage, "zebra", scope, limit=5)) == 3
    assert len(await said_by_vector(stage, near(1), scope, limit=5)) == 3


async def test_a_rarer_word_counts_more_and_the_latest_comes_first(stage: Stage):
    """Both databases say it in the same order."""
    await remember(stage, *[memory(stage, each) for each in ("meeting one", "meeting two", "zeppelin", "meeting with zeppelin", "sun")])
    assert await said_by_words(stage, "zeppelin meeting") == ["meeting with zeppelin", "zeppelin", "meeting two", "meeting one"]


async def test_the_commonest_words_are_not_read(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """What a hundred hold costs nothing where a rarer word is asked for too; alone it is looked up all the same."""
    monkeypatch.setattr(finding, "MOST_READ", 20)
    await remember(stage, *[memory(stage, f"meeting {at}") for at in range(100)], memory(stage, "the zeppelin"))
    assert await said_by_words(stage, "zeppelin meeting") == ["the zeppelin"]
    assert await said_by_words(stage, "meeting", limit=2) == ["meeting 99", "meeting 98"]


async def test_what_was_said_a_hundred_times_leaves_room(stage: Stage):
    await remember(stage, memory(stage, "the vault opens at noon"), *[memory(stage, "the vault is closed today") for _ in range(100)])
    assert "the vault opens at noon" in await said_by_words(stage, "vault closed noon", limit=30)


@pytest.mark.parametrize("question", ODD)
async def test_odd_characters_are_only_words(stage: Stage, question: str):
    await remember(stage, memory(stage, question), memory(stage, "something else"))
    found = await said_by_words(stage, question)
    assert "something else" not in found
    assert found in ([question], [])
    assert found or question not in FOUND


async def test_five_thousand_words_are_asked_at_once(stage: Stage):
    await remember(stage, memory(stage, "word17 is here"), memory(stage, "nothing"))
    async with stage.database.reading() as work:
        asked = [f"word{at}" for at in range(5_000)]
        assert len(await work.memories.find_by_words(Scope(user_id=stage.allan.id), asked, limit=9)) == 1


async def test_vectors_of_two_models_are_never_compared(stage: Stage):
    await remember(stage, memory(stage, "one"), vectors=[near(1)], model="m")
    await remember(stage, memory(stage, "other"), vectors=[near(1)], model="n")
    assert await said_by_vector(stage, near(1), model="m") == ["one"]
    assert await said_by_vector(stage, near(1), model="n") == ["other"]


async def test_vectors_are_ranked_exactly_past_what_eight_bits_tell(stage: Stage):
    few = [memory(stage, f"turn {at}") for at in range(30)]
    await remember(stage, *few, vectors=[near(1, 0.5 + at / 3000) for at in range(30)])
    assert await said_by_vector(stage, near(1), limit=5) == [f"turn {at}" for at in range(5)]


async def test_an_index_keeps_up_with_another_process(stage: Stage, database_url: str, monkeypatch: pytest.MonkeyPatch):
    """Also where that one's clock is three minutes behind: its stamps lie before the latest, and are looked for every few seconds."""
    monkeypatch.setattr(vector_index, "LOOKS_BACK", 0.0)
    await remember(stage, memory(stage, "first"), vectors=[near(1)])
    assert await said_by_vector(stage, near(1)) == ["first"]
    async with Database(database_url, organization=stage.database.organization) as other:
        await remember(stage, late := memory(stage, "late"), vectors=[near(1, 1)], database=other)
        behind = UUID(int=late.id.int - (180_000 << 80))
        async with other.unit_of_work() as work:
            await work.connection.execute(_stamp(other), {"stamp": _id(other, behind), "which": _id(other, late.id)})
        assert await said_by_vector(stage, near(1)) == ["first", "late"]
        await remember(stage, memory(stage, "last"), vectors=[near(1, 2)], database=other)
    assert await said_by_vector(stage, near(1)) == ["first", "late", "last"]


def _stamp(_: Database) -> Any:
    return text("UPDATE memory_vectors SET stamp = :stamp WHERE memory_id = :which")


def _id(database: Database, which: UUID) -> Any:
    return which.hex if database.file else which


async def test_what_was_deleted_drops_out_and_its_number_may_be_another_ones(stage: Stage):
    await remember(stage, kept := memory(stage, "kept"), gone := memory(stage, "gone zebra"), vectors=[near(1, 1), near(1)])
    assert await said_by_vector(stage, near(1)) == ["gone zebra", "kept"]
    async with stage.database.unit_of_work() as work:
        await work.memories.remove([gone.id])
    assert await said_by_vector(stage, near(1)) == ["kept"]
    assert await said_by_words(stage, "zebra") == []
    await remember(stage, memory(stage, "new"), vectors=[near(0, 0, 1)])
    assert await said_by_vector(stage, near(1)) == ["kept", "new"]
    assert kept.said == "kept"


async def test_trust_and_place_that_change_are_heeded_at_once(stage: Stage):
    await remember(stage, one := memory(stage, "zebra"), vectors=[near(1)])
    assert await said_by_vector(stage, near(1)) == ["zebra"]
    for trust, told in ((Trust.OUTSIDE, []), (Trust.OWN, ["zebra"])):
        async with stage.database.unit_of_work() as work:
            await work.memories.change([one.id], trust=trust)
        assert await said_by_vector(stage, near(1)) == told
        assert await said_by_words(stage, "zebra") == told


async def test_a_forgetting_that_is_undone_is_found_again(stage: Stage):
    await remember(stage, one := memory(stage, "zebra"), vectors=[near(1)])
    for forgotten_by, told in ((new_id(), []), (None, ["zebra"])):
        async with stage.database.unit_of_work() as work:
            await work.memories.change([one.id], forgotten_by=forgotten_by)
        assert await said_by_vector(stage, near(1)) == told


async def test_many_deleted_ones_do_not_hide_the_rest(stage: Stage):
    many = [memory(stage, "many") for _ in range(BLOCK)]
    await remember(stage, *many, memory(stage, "kept"), vectors=[*[near(1)] * BLOCK, near(1, 1)])
    assert len(await said_by_vector(stage, near(1), limit=5)) == 5
    async with stage.database.unit_of_work() as work:
        await work.memories.remove([each.id for each in many])
    assert await said_by_vector(stage, near(1), limit=5) == ["kept"]


async def test_what_little_was_said_in_a_place_is_found_beside_much_that_was_said_elsewhere(
    postgres_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    """The index stops after so many that may not be told, 20,000: a FAKE one here at once."""
    monkeypatch.setattr(finding, "_INDEXED", "SELECT number FROM memories WHERE false")
    monkeypatch.setattr(finding, "EXACT_BELOW", 5)
    async with Database(postgres_url, organization="default") as database:
        stage = await set_stage(database, clock)
        private = [memory(stage, f"private {at}") for at in range(9)]
        await remember(stage, *private, memory(stage, "in the channel", place=SHARED), vectors=[near(1, at) for at in range(10)])
        assert await said_by_vector(stage, near(1), Scope(user_id=stage.allan.id, place=SHARED)) == ["in the channel"]
        assert await said_by_vector(stage, near(1)) == []


async def test_words_of_one_memory_are_deleted_by_its_number_however_many_hold_them(postgres_url: str, clock: FakeClock):
    """By their words, 200 memories of 30,000 took 40 s: each is said by somebody, in some year."""
    async with Database(postgres_url, organization="default") as database:
        stage = await set_stage(database, clock)
        await remember(stage, *(memory(stage, f"zebra {at}") for at in range(300)))
        async with database.unit_of_work() as work:
            ask = "EXPLAIN DELETE FROM memory_words WHERE organization_id = 'default' AND number = 7"
            plan = "\n".join((await work.connection.execute(text(ask))).scalars())
    assert "memory_words_number" in plan


async def test_a_corrupt_vector_is_never_found(stage: Stage):
    """One cut short, one that is no number (an embedded database keeps what it is given), one of another length."""
    good, short, odd, longer = (memory(stage, each) for each in ("good", "short", "odd", "longer"))
    await remember(stage, good, short, odd, vectors=[near(1), near(1), near(1)])
    await remember(stage, longer, vectors=[np.ones(8, dtype=np.float32)])
    if stage.database.file:
        async with stage.database.unit_of_work() as work:
            for which, raw in ((short, b"1234567"), (odd, np.full(4, np.nan, dtype="<f4").tobytes())):
                change = text("UPDATE memory_vectors SET vector = :raw WHERE memory_id = :which")
                await work.connection.execute(change, {"raw": raw, "which": which.id.hex})
    corrupt = 1 if stage.database.file else 0
    assert "good" in (found := await said_by_vector(stage, near(1)))
    assert "longer" not in found
    assert len(found) == (1 if corrupt else 3)
    async with stage.database.reading() as work:
        numbers = await work.memories.find_by_words(scope := Scope(user_id=stage.allan.id), ["good", "short", "odd", "longer"], limit=9)
        around = await work.memories.around(scope, numbers, reach=0, vector=near(1), model="m")
        assert len(around) == 4
        assert {each.text for each in around if each.cosine is None} == ({"short", "odd", "longer"} if corrupt else {"longer"})


async def test_neighbours_come_along_and_nobody_elses(stage: Stage):
    session = new_id()
    talk = [memory(stage, f"turn {at}", session=session, position=at) for at in range(9)]
    talk[5].user_id = stage.grace.id
    await remember(stage, *talk)
    async with stage.database.reading() as work:
        scope = Scope(user_id=stage.allan.id)
        found = await work.memories.find_by_words(scope, ["4"], limit=1)
        beside = await work.memories.around(scope, found, reach=2)
    assert sorted(each.text for each in beside) == ["turn 2", "turn 3", "turn 4", "turn 6"]
