"""Finds what was said that answers a question: by words and by vectors, in scope alone, ranked the same on both databases."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from bot.brain.recall import Candidate, Weights, rank, terms
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import Corpus, Embedder, Scope
from storage.database import Database
from storage.models.memory import Memory

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
        asked, (model, vector, near) = list(dict.fromkeys(terms(question))), await self._meant(question, scope, patience)
        async with self.database.reading() as work:
            counts = await work.memories.counts(asked)
            numbers = [*await work.memories.find_by_words(scope, asked, limit=CANDIDATES, counts=counts), *near]
            turns = await work.memories.around(scope, numbers, reach=self.weights.reach)
            cosines = await work.memories.cosines([each.id for each in turns], vector, model) if model else {}
        return await asyncio.to_thread(self._best, question, turns, cosines, counts, limit)

    def _best(self, question: str, turns: Sequence[Memory], cosines: Mapping[UUID, float], corpus: Corpus, limit: int) -> list[Found]:
        known = {str(each.id): each for each in turns}
        candidates = [_candidate(each, cosines.get(each.id)) for each in turns]
        words = self.embedder.words if self.embedder else None
        ranked = rank(question, candidates, corpus, vectors=words, weights=self.weights)
        return _distinct([Found(score=score, memory=known[each.key]) for score, each in ranked])[:limit]

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


def _distinct(ranked: Sequence[Found]) -> list[Found]:
    """One result for each message, its best part, and one for the same words said again: the latest.

    Of those that differ in their numbers alone `OF_A_KIND` come first, and the others last.
    """
    messages, found, kinds = set[tuple[str, str]](), dict[tuple[str, str], Found](), Counter[str]()
    for each in ranked:
        message, said = (each.memory.thread, each.memory.external_id), (each.memory.speaker, each.memory.text)
        if said in found and each.memory.at > found[said].memory.at:
            found[said] = replace(found[said], memory=each.memory)
        elif said not in found and message not in messages:
            found[said] = each
        messages.add(message)
    first, others = list[Found](), list[Found]()
    for each in found.values():
        kind = _NUMBER.sub("0", each.memory.text.lower())
        kinds[kind] += 1
        (first if kinds[kind] <= OF_A_KIND else others).append(each)
    return first + others


def _candidate(memory: Memory, cosine: float | None) -> Candidate:
    return Candidate(
        key=str(memory.id),
        said=memory.text,
        speaker=memory.speaker,
        session=str(memory.session),
        position=memory.position,
        on=memory.at.date(),
        cosine=cosine,
    )
