"""Recall on both databases: what is found, each thing once, and what is left when the embedder fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from bot.brain.memory import OF_A_KIND, Recall, embedded
from bot.brain.remembering import Saying, memories_of
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import Scope, Trust
from storage.models.memory import Memory
from tests.conftest import BOTH, sqlite_url
from tests.stage import Stage

FAMILIES = ("dog puppy", "rain storm", "vault code")


class Families:
    """FAKE embedder: a vector tells which families of words stand in a text, and a little of everything."""

    model, dimension, is_broken = "families", len(FAMILIES) + 1, False

    async def embed(self, texts: Sequence[str]) -> Any:
        if self.is_broken:
            raise EmbeddingFailed("broken half-way")
        found = [[1.0, *(any(word in re.findall(r"\w+", each.lower()) for word in one.split()) for one in FAMILIES)] for each in texts]
        vectors = np.array(found, dtype=np.float32) * np.array([0.1, 1, 1, 1], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def words(self, words: Sequence[str]) -> Any | None:
        return None


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """Here both databases are asked, unlike in the rest of this folder."""
    url: str = sqlite_url(request.getfixturevalue("sqlite_file")) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def recall(stage: Stage) -> Recall:
    return Recall(database=stage.database, embedder=Families())


async def tell(stage: Stage, *said: str, pause: timedelta = timedelta(minutes=1)) -> list[Memory]:
    """Allan says these, one after another."""
    rows: list[Memory] = []
    for at, each in enumerate(said):
        moment = stage.clock.now() + at * pause
        saying = Saying(
            thread="t", external_id=str(at), speaker="Allan", text=each, at=moment, user_id=stage.allan.id, place="", trust=Trust.OWN
        )
        rows += memories_of(saying, rows[-1] if rows else None, organization=stage.database.organization, timezone="UTC")
    vectors = await Families().embed([embedded(row) for row in rows])
    async with stage.database.unit_of_work() as work:
        await work.memories.add_once(rows)
        await work.memories.keep_vectors("families", dict(zip([row.id for row in rows], vectors, strict=True)))
    return rows


async def found(recall: Recall, stage: Stage, question: str, *, limit: int = 10) -> list[str]:
    return [each.memory.said for each in await recall.find(question, Scope(user_id=stage.allan.id), limit=limit)]


APART = timedelta(hours=5)


async def test_words_and_vectors_find_together(recall: Recall, stage: Stage):
    """The one shares a word with the question, the other only its meaning; the third has neither."""
    await tell(stage, "my puppy slept", "the Dog barked", "a letter came", pause=APART)
    assert await found(recall, stage, "Which dog?", limit=2) == ["the Dog barked", "my puppy slept"]


async def test_an_embedder_that_fails_leaves_the_words(recall: Recall, stage: Stage):
    await tell(stage, "my puppy slept", "the Dog barked", pause=APART)
    recall.embedder.is_broken = True  # type: ignore[union-attr]
    assert await found(recall, stage, "Which dog?") == ["the Dog barked"]


async def test_parts_of_one_message_are_one_result(recall: Recall, stage: Stage):
    """The best part stands for all; its neighbour in the message does not take a second place."""
    long = ("The vault is old. " * 80) + ("The code of the vault is 4711. " * 40)
    rows = await tell(stage, long, "and that was that")
    assert len(rows) >= 3
    results = await found(recall, stage, "What is the code of the vault?")
    assert len([each for each in results if "vault" in each]) == 1
    assert "4711" in results[0]


async def test_the_same_words_said_again_are_one_result_the_latest(recall: Recall, stage: Stage):
    rows = await tell(stage, "the dog is fed", "rain", "the dog is fed", "the dog ran off", pause=APART)
    results = await recall.find("Is the dog fed?", Scope(user_id=stage.allan.id), limit=10)
    assert [each.memory.said for each in results].count("the dog is fed") == 1
    assert results[0].memory.id == rows[2].id


@pytest.mark.parametrize("said", ["the dog is fed", "the dog is fed, time {at}"])
async def test_what_was_said_a_thousand_times_leaves_room_for_the_rest(recall: Recall, stage: Stage, said: str):
    """Whether it is the very same, or differs in a number alone."""
    many = [said.format(at=at) for at in range(1_000)]
    await tell(stage, "Rex is what the puppy is called", *many, "a puppy is no cat", pause=timedelta(minutes=5))
    results = await found(recall, stage, "What is the dog called, which was fed as a puppy?")
    assert {"Rex is what the puppy is called", "a puppy is no cat"} <= {*results}
    alike = [each.startswith("the dog is fed") for each in results]
    assert sum(alike[: alike.index(False, 1) if False in alike[1:] else None]) <= OF_A_KIND


@pytest.mark.parametrize("question", ["", "the of and", "\x00 \ud800", "?!", "dog " * 5_000, '"dog" AND (OR', "x" * 1_000_000])
async def test_any_question_is_asked(recall: Recall, stage: Stage, question: str):
    await tell(stage, "the dog barked")
    assert await found(recall, stage, question) in ([], ["the dog barked"])


async def test_both_databases_rank_the_same(recall: Recall, stage: Stage):
    """The order is that of the formula, so it is written here once for both."""
    await tell(stage, "The storm took the roof", "Rain again", "Did the rain stop?", "The vault is dry", "My puppy fears rain", pause=APART)
    first = ["Rain again", "Did the rain stop?", "My puppy fears rain"]
    assert (await found(recall, stage, "Tell me about rain"))[:3] == first


async def test_a_question_that_asked_the_same_comes_after_what_answers_it(stage: Stage, recall: Recall):
    await tell(stage, "What is the vault code?", "The vault code is on the fridge", "Is the vault code safe, or does Eve know it?")
    ranked = await found(recall, stage, "what is the vault code")
    assert (ranked[0], ranked[-1]) == ("The vault code is on the fridge", "What is the vault code?")
