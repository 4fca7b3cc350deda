"""Gives what is remembered its vectors, a moment after it was said; and all of it anew, when the model has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from bot.brain.memory import embedded
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import Embedder
from storage.database import Database
from storage.models.memory import Memory
from storage.repositories.base import FIRST_ID, first_id_at

log = structlog.get_logger(__name__)

BATCH = 64
"""Memories whose vectors are kept in one commit."""
LOOK = timedelta(seconds=1.5)
"""What is said is found by its meaning at most so long, and an embedding's time, after."""
SWEEP = timedelta(minutes=15)
"""All memories are looked through so often; in between, only those that came since."""
FIRST_REST, LONGEST_REST = timedelta(seconds=5), timedelta(minutes=10)
"""How long an embedder is left alone that fails at everything; twice as long each time."""
TRIES = 3
"""A text that the embedder fails at so often, while it manages others, is given up, and reported."""
MANY = 200
"""So many without a vector are worth a line in the log, again each time that so many are done."""
HARMLESS = "hello"
PAGE = 2_000
Told = Callable[[int, int], None]


@dataclass(kw_only=True, eq=False)
class Indexing:
    """A round, and what `robbie memory reindex` does. What it does twice, or beside another process, comes to the same."""

    database: Database
    embedder: Embedder | None
    name: str = field(default="indexing", init=False)
    _model: str = field(default="", init=False)
    _seen: UUID = field(default=FIRST_ID, init=False)
    _sweep_at: datetime | None = field(default=None, init=False)
    _rest: timedelta = field(default=FIRST_REST, init=False)
    _resting_until: datetime | None = field(default=None, init=False)
    _failed: Counter[UUID] = field(default_factory=Counter, init=False)
    _swept: int = field(default=0, init=False)

    async def look(self, now: datetime) -> datetime | None:
        """Embed a batch of what has no vector, newest first. Raises StorageUnavailable."""
        if self.embedder is None or not self.embedder.model or (self._resting_until and now < self._resting_until):
            return None
        if self._sweep_at is None or now >= self._sweep_at or self._model != self.embedder.model:
            self._model, self._sweep_at, self._seen, self._swept = self.embedder.model, now + SWEEP, FIRST_ID, 0
            async with self.database.reading() as work:
                await work.memories.warm(self._model, self.embedder.dimension)
        async with self.database.reading() as work:
            newest = await work.memories.newest_id()
        if newest == self._seen:
            return now + LOOK
        try:
            is_more = await self.embed_some(after=self._seen, now=now)
        except EmbeddingFailed as error:
            log.warning("memory.not_embedded", error=str(error), rest_seconds=self._rest.total_seconds())
            self._resting_until, self._rest = now + self._rest, min(2 * self._rest, LONGEST_REST)
            return self._resting_until
        self._resting_until, self._rest = None, FIRST_REST
        if is_more:
            return now
        self._seen = max(self._seen, min(newest, first_id_at(now)))  # an id that is a little older may still be committed
        return now + LOOK

    async def embed_some(self, *, now: datetime, after: UUID = FIRST_ID) -> bool:
        """Embed one batch of memories with ids after one; whether there may be more. Raises EmbeddingFailed, StorageUnavailable."""
        if self.embedder is None:
            return False
        given_up = {which for which, tries in self._failed.items() if tries >= TRIES}
        async with self.database.reading() as work:
            lacking = await work.memories.lacking(self.embedder.model, limit=BATCH + len(given_up), after=after)
            left = await work.memories.count_lacking(self.embedder.model) if self._swept % MANY < BATCH and len(lacking) >= BATCH else 0
        wanted = [each for each in lacking if each.id not in given_up][:BATCH]
        if left >= MANY:
            log.info("memory.embedding", model=self.embedder.model, done=self._swept, left=left)
        vectors = await self._vectors(self.embedder, wanted, now)
        await self._keep(self.embedder.model, vectors)
        self._swept += len(vectors)
        return len(wanted) == BATCH or len(vectors) < len(wanted)

    async def embed_all(self, told: Told, *, now: datetime) -> int:
        """Mend every damaged vector, and embed whatever has none; how many have one now. Raises EmbeddingFailed, StorageUnavailable."""
        if self.embedder is None or not self.embedder.model:
            raise EmbeddingFailed("no model of meaning is configured or installed: what is said is found by its words")
        await self.embedder.embed([HARMLESS])  # which model it is, is known when it has worked
        damaged = await find_damaged(self.database, self.embedder.model)
        async with self.database.unit_of_work() as work:
            await work.memories.drop_vectors(damaged)
            total = await work.memories.count_lacking(self.embedder.model)
        self._failed.clear()
        self._swept = 0
        told(0, total)
        is_more = total > 0
        while is_more:
            is_more = await self.embed_some(now=now)
            told(min(self._swept, total), total)
        return self._swept

    async def _vectors(self, embedder: Embedder, wanted: Sequence[Memory], now: datetime) -> dict[UUID, Any]:
        """The vectors of a batch; where it fails as a whole, of those of it that do not fail alone. Raises EmbeddingFailed."""
        try:
            return dict(zip((each.id for each in wanted), await embedder.embed([*map(embedded, wanted)]), strict=True))
        except EmbeddingFailed:
            found: dict[UUID, Any] = {}
            failed: dict[UUID, EmbeddingFailed] = {}
            for each in wanted:
                try:
                    found[each.id] = (await embedder.embed([embedded(each)]))[0]
                except EmbeddingFailed as error:
                    failed[each.id] = error
                    if not found:
                        await embedder.embed([HARMLESS])  # else it is not the text's fault
            await self._blame(failed, now)
            return found

    async def _blame(self, failed: dict[UUID, EmbeddingFailed], now: datetime) -> None:
        self._failed.update(failed.keys())
        for which in (which for which in failed if self._failed[which] == TRIES):
            log.warning("memory.given_up", memory=str(which), error=str(failed[which]))
            async with self.database.unit_of_work() as work:
                await work.incidents.add_once(kind="not_embedded", key=str(which), detail=str(failed[which])[:500], now=now)

    async def _keep(self, model: str, vectors: dict[UUID, Any]) -> None:
        """Of those that have not gone meanwhile."""
        if vectors:
            async with self.database.unit_of_work() as work:
                known = {each.id for each in await work.memories.by_ids(vectors)}
                await work.memories.keep_vectors(model, {which: vector for which, vector in vectors.items() if which in known})


async def find_damaged(database: Database, model: str) -> list[UUID]:
    """The memories whose vectors by this model are of a wrong length, or hold what is no number. Raises StorageUnavailable."""
    import numpy as np

    damaged, after, is_more = list[UUID](), FIRST_ID, True
    while is_more:
        async with database.reading() as work:
            page = await work.memories.vectors_after(model, after, limit=PAGE)
        damaged += [which for which, dimension, vector in page if len(vector) != dimension or not np.isfinite(vector).all()]
        is_more, after = len(page) == PAGE, page[-1][0] if page else after
    return damaged
