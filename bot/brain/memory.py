"""Finds what was said that answers a question: by words and by vectors, in scope alone, ranked the same on both databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.brain.recall import Candidate, Corpus, Weights, rank, terms
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import Embedder, Scope
from storage.database import Database
from storage.models.memory import Memory

log = structlog.get_logger(__name__)

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
        """The memories in scope that answer best, best first. Raises StorageUnavailable."""
        asked, vector = terms(question), await self._vector(question)
        reach = self.weights.reach
        async with self.database.reading() as work:
            numbers = await work.memories.find_by_words(scope, list(dict.fromkeys(asked)), limit=CANDIDATES)
            if vector is not None and self.embedder is not None:
                numbers += await work.memories.find_by_vector(scope, vector, self.embedder.model, limit=CANDIDATES)
            turns = await work.memories.around(scope, numbers, reach=reach)
            counts = await work.memories.counts(asked)
            model = self.embedder.model if self.embedder else ""
            vectors = await work.memories.vectors([each.id for each in turns], model) if vector is not None else {}
        known = {str(each.id): each for each in turns}
        candidates = [_candidate(each, vectors.get(each.id), vector) for each in turns]
        corpus = Corpus(turns=counts.memories, mean_terms=counts.mean_words, holding=counts.holding)
        words = self.embedder.words if self.embedder else None
        ranked = rank(question, candidates, corpus, vectors=words, weights=self.weights)
        return [Found(score=score, memory=known[each.key]) for score, each in ranked[:limit]]

    async def _vector(self, question: str) -> Any:
        try:
            return (await self.embedder.embed([question]))[0] if self.embedder else None
        except EmbeddingFailed as error:
            log.warning("recall.by_words_alone", error=str(error))
            return None


def embedded(memory: Memory) -> str:
    """The text whose vector a memory gets."""
    return f"{memory.speaker}: {memory.text}"


def _candidate(memory: Memory, own: Any, asked: Any) -> Candidate:
    return Candidate(
        key=str(memory.id),
        said=memory.text,
        speaker=memory.speaker,
        session=str(memory.session),
        position=memory.position,
        on=memory.at.date(),
        cosine=None if own is None else float(own @ asked),
    )
