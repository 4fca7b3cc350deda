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

    async def find(self, question: str, scope: Scope, *, limit: int) -> list[Found]:
        """The memories in scope that answer best, best first: of a message its best part, of what was said again the latest.

        Raises StorageUnavailable.
        """
        question = question[:LONGEST_QUESTION]
        asked, vector = list(dict.fromkeys(terms(question))), await self._vector(question)
        model = self.embedder.model if self.embedder and vector is not None else ""
        async with self.database.reading() as work:
            counts = await work.memories.counts(asked)
            numbers = await work.memories.find_by_words(scope, asked, limit=CANDIDATES, counts=counts)
            if model:
                numbers += await work.memories.find_by_vector(scope, vector, model, limit=CANDIDATES)
            turns = await work.memories.around(scope, numbers, reach=self.weights.reach)
            cosines = await work.memories.cosines([each.id for each in turns], vector, model) if model else {}
        return await asyncio.to_thread(self._best, question, turns, cosines, counts, limit)

    def _best(self, question: str, turns: Sequence[Memory], cosines: Mapping[UUID, float], corpus: Corpus, limit: int) -> list[Found]:
        known = {str(each.id): each for each in turns}
        candidates = [_candidate(each, cosines.get(each.id)) for each in turns]
        words = self.embedder.words if self.embedder else None
        ranked = rank(question, candidates, corpus, vectors=words, weights=self.weights)
        return _distinct([Found(score=score, memory=known[each.key]) for score, each in ranked])[:limit]

    async def _vector(self, question: str) -> Any:
        try:
            return (await self.embedder.embed([question]))[0] if self.embedder else None
        except EmbeddingFailed as error:
            log.warning("recall.by_words_alone", error=str(error))
            return None


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
