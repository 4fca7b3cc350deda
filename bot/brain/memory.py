"""Finds what was said that answers a question: by words and by vectors, in scope alone, ranked the same on both databases."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.brain.recall import Candidate, Weights, rank, terms
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import PRIVATE_PLACE, Corpus, Embedder, Scope
from storage.database import Database
from storage.models.memory import Memory
from storage.repositories.finding import Near

log = structlog.get_logger(__name__)

_NUMBER = re.compile(r"\d+")
OF_A_KIND = 3
LONGEST_QUESTION = 2_000
"""Characters: what is asked stands at its beginning."""
CANDIDATES = 50
"""So many are found by words, and as many by vectors; docs/decisions/0012-recall.md tells what more would bring."""


Meant = tuple[str, Any, list[int]]
"""By which model, the question's vector, and the numbers of what is near it."""
NOTHING: Meant = ("", None, [])


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A memory that may answer; its score compares only within one question."""

    score: float
    memory: Memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Recall:
    """Recalls. Without an embedder, or while it fails, by words alone."""

    database: Database
    embedder: Embedder | None = None
    weights: Weights = field(default_factory=Weights)
    _late: set[asyncio.Task[Any]] = field(default_factory=set, init=False)

    async def find(self, question: str, scope: Scope, *, limit: int, patience: float | None = None) -> list[Found]:
        """The memories in scope that answer best, best first: of a message its best part, of what was said again the latest.

        What is near in meaning is waited for *patience* seconds at most; then words alone answer. Raises StorageUnavailable.
        """
        question = question[:LONGEST_QUESTION]
        asked, meaning = list(dict.fromkeys(terms(question))), asyncio.create_task(self._meant(question, scope, patience))
        meaning.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # where words fail, nobody asks for it
        async with self.database.reading() as work:
            counts = await work.memories.counts(asked)
            numbers = await work.memories.find_by_words(scope, asked, limit=CANDIDATES, counts=counts)
        model, vector, near = await meaning
        async with self.database.reading() as work:
            turns = await work.memories.around(scope, [*numbers, *near], reach=self.weights.reach, vector=vector, model=model)
            best = await asyncio.to_thread(self._best, question, turns, counts, limit)
            known = await work.memories.of_numbers(scope, [number for _, number in best])
            await work.notes.correct([*known.values()], is_private=scope.place == PRIVATE_PLACE)
        return [Found(score=score, memory=known[number]) for score, number in best if number in known]

    def _best(self, question: str, turns: Sequence[Near], corpus: Corpus, limit: int) -> list[tuple[float, int]]:
        """The scores and numbers of so many, best first."""
        known = {str(each.number): each for each in turns}
        words = self.embedder.words if self.embedder else None
        ranked = rank(question, [*map(_candidate, turns)], corpus, vectors=words, weights=self.weights)
        return _distinct([(score, known[each.key]) for score, each in ranked], {*terms(question)}, limit)

    async def _meant(self, question: str, scope: Scope, patience: float | None) -> Meant:
        """What is near in meaning; where that takes longer, it goes on (a model is loaded, vectors are read), and nobody waits for it."""
        if self.embedder is None or (self._late and patience is not None):
            return NOTHING
        task = asyncio.create_task(self._near(self.embedder, question, scope), name="recall by meaning")
        try:
            await asyncio.wait({task}, timeout=patience)
        finally:
            if not task.done():
                leave(task, self._late)
        if task.done():
            return task.result()
        log.info("recall.by_words_alone", error="meaning takes too long")
        return NOTHING

    async def _near(self, embedder: Embedder, question: str, scope: Scope) -> Meant:
        try:
            (vector,) = await embedder.embed([question])
        except EmbeddingFailed as error:
            log.warning("recall.by_words_alone", error=str(error))
            return NOTHING
        async with self.database.reading() as work:
            return embedder.model, vector, await work.memories.find_by_vector(scope, vector, embedder.model, limit=CANDIDATES)


def leave(task: asyncio.Task[Any], late: set[asyncio.Task[Any]]) -> None:
    """Nobody waits for *task* any more: it is among the *late* until it ends, and what it raises is nobody's."""
    late.add(task)
    task.add_done_callback(late.discard)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def embedded(memory: Memory) -> str:
    """The text whose vector a memory gets."""
    return f"{memory.speaker}: {memory.text}"


def _distinct(ranked: Sequence[tuple[float, Near]], asked: set[str], limit: int) -> list[tuple[float, int]]:
    """So many results: one for each message, its best part, and one for the same words said again, the latest.

    Of those that differ in their numbers alone `OF_A_KIND` come first, and the others last; so does a question that asks no more than this.
    """
    messages, found, kinds = set[tuple[str, str]](), dict[tuple[str, str], tuple[float, Near]](), Counter[str]()
    for score, each in ranked:
        message, said = (each.thread, each.external_id), (each.speaker, each.text)
        if said in found and each.at > found[said][1].at:
            found[said] = found[said][0], each
        elif said not in found and message not in messages:
            found[said] = score, each
        messages.add(message)
    first, others = list[tuple[float, int]](), list[tuple[float, int]]()
    for score, each in found.values():
        if len(first) == limit:
            break
        kind = _NUMBER.sub("0", each.text.lower())
        kinds[kind] += 1
        is_echo = each.text.rstrip().endswith("?") and asked.issuperset(terms(each.text))
        (others if is_echo or kinds[kind] > OF_A_KIND else first).append((score, each.number))
    return (first + others)[:limit]


def _candidate(near: Near) -> Candidate:
    return Candidate(
        key=str(near.number),
        said=near.text,
        speaker=near.speaker,
        session=near.session,
        position=near.position,
        on=near.at.date(),
        cosine=near.cosine,
    )
