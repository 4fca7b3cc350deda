"""Brings in what was said elsewhere as memories of a person's, with their vectors, each once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from bot.brain.chat_files import Said
from bot.brain.remembering import Saying, memories_of
from bot.domain.address import Person
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import PRIVATE_PLACE, Embedder, Trust
from bot.learning.indexing import Indexing, Told
from bot.services.note_keeping import is_speaker, note_said
from storage.database import Database
from storage.models.memory import Memory

BATCH = 256
"""Memories that are kept in one commit, with their vectors: a hub beside it finds nothing to do, and waits for no more than that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """How many were added and known already, how many of all that is remembered have no vector, and of which lines nothing came."""

    added: int
    known: int
    without_vector: int
    broken: Sequence[tuple[int, str]]


@dataclass(kw_only=True, eq=False)
class Importing:
    """Imports. The person vouches for what they bring: all of it counts as their own word, and is told to nobody else."""

    database: Database
    embedder: Embedder | None
    _is_down: bool = field(default=False, init=False)

    async def bring(self, person: Person, read: Iterable[tuple[int, Said | str]], told: Told) -> Brought:
        """Keep what was read, sorted by its moments within each conversation; what is broken is passed over. Raises StorageUnavailable.

        One that was broken off is gone on with by the next: no batch ends amid a line.
        """
        broken, threads = list[tuple[int, str]](), defaultdict[str, list[Said]](list)
        for number, said in read:
            if isinstance(said, str):
                broken.append((number, said))
            else:
                threads[f"import/{said.conversation}"].append(said)
        total = sum(map(len, threads.values()))
        done = added = 0
        batch = list[Memory]()
        told(0, total)
        async for line in self._lines(person, threads):
            done, added, batch = done + 1, added + bool(line), batch + line
            if len(batch) >= BATCH or done == total:
                await self._keep(person, batch)
                batch = []
                told(done, total)
        async with self.database.reading() as work:
            model = self.embedder.model if self.embedder else ""
            lacking = await work.memories.count_lacking(model) if model else 0
        return Brought(added=added, known=total - added, without_vector=lacking, broken=broken)

    async def _lines(self, person: Person, threads: Mapping[str, Sequence[Said]]) -> AsyncIterator[list[Memory]]:
        """The memories of each line, in their order; none of one that is known."""
        for thread, lines in threads.items():
            async with self.database.reading() as work:
                seen = await work.memories.external_ids(person.id, thread)
                last = await work.memories.last_in(thread)
            for said in sorted(lines, key=lambda each: each.at):
                made = list[Memory]()
                if said.external_id not in seen:
                    before = last if last and last.at <= said.at and last.user_id == person.id else None
                    of = {**asdict(said), "thread": thread, "user_id": person.id, "place": PRIVATE_PLACE, "trust": Trust.OWN}
                    del of["conversation"]
                    made = memories_of(Saying(**of), before, organization=self.database.organization, timezone=person.timezone)
                    seen.add(said.external_id)
                    last = made[-1]
                yield made

    async def _keep(self, person: Person, memories: Sequence[Memory]) -> None:
        """Keep a batch with its vectors, and the notes of it: text is kept whatever ails the embedder."""
        vectors = await self._vectors(memories)
        async with self.database.unit_of_work() as work:
            await work.memories.add_once(memories)
            for each in memories:
                if is_speaker(person, each.speaker):
                    await note_said(work, person, [each], each.text, now=each.at)
            if self.embedder is not None:
                await work.memories.keep_vectors(self.embedder.model, vectors)

    async def _vectors(self, memories: Sequence[Memory]) -> Mapping[UUID, Any]:
        """Two halves at a time; an embedder that failed at everything once is asked no more."""
        indexing, half = Indexing(database=self.database, embedder=self.embedder), len(memories) // 2
        try:
            halves = () if self._is_down else (memories[:half], memories[half:])
            found = await asyncio.gather(*(indexing.vectors_of(each, now=each[0].at) for each in halves if each))
        except EmbeddingFailed:
            self._is_down, found = True, []
        return {which: vector for each in found for which, vector in each.items()}
