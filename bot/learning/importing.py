"""Brings in what was said elsewhere as memories of a person's, with their vectors, each once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.brain.chat_files import Said
from bot.brain.memory import embedded
from bot.brain.remembering import Saying, memories_of
from bot.domain.address import Person
from bot.domain.errors import EmbeddingFailed
from bot.domain.memory import PRIVATE_PLACE, Embedder, Trust
from bot.learning.indexing import Told
from bot.services.note_keeping import is_speaker, note_said
from storage.database import Database
from storage.models.memory import Memory

BATCH = 256
"""Memories that are kept in one commit, with their vectors: a hub beside it finds nothing to do, and waits for no more than that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """How many were added and known already, how many parts of what was added have no vector, and of which lines nothing came."""

    added: int
    known: int
    without_vector: int
    broken: Sequence[tuple[int, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Importing:
    """Imports. The person vouches for what they bring: all of it counts as their own word, and is told to nobody else."""

    database: Database
    embedder: Embedder | None

    async def bring(self, person: Person, read: Iterable[tuple[int, Said | str]], told: Told) -> Brought:
        """Keep what was read, sorted by its moments within each conversation; what is broken is passed over. Raises StorageUnavailable."""
        broken, threads = list[tuple[int, str]](), defaultdict[str, list[Said]](list)
        for number, said in read:
            if isinstance(said, str):
                broken.append((number, said))
            else:
                threads[f"import/{said.conversation}"].append(said)
        added = known = lacking = 0
        kept = list[Memory]()
        for thread, lines in threads.items():
            new, old = await self._new(person, thread, sorted(lines, key=lambda each: each.at))
            added, known, kept = added + len({each.external_id for each in new}), known + old, kept + new
        told(0, len(kept))
        for at in range(0, len(kept), BATCH):
            lacking += await self._keep(person, kept[at : at + BATCH])
            told(min(at + BATCH, len(kept)), len(kept))
        return Brought(added=added, known=known, without_vector=lacking, broken=broken)

    async def _new(self, person: Person, thread: str, lines: Sequence[Said]) -> tuple[list[Memory], int]:
        """The memories of the lines that are new, in their order; how many are known."""
        async with self.database.reading() as work:
            seen = await work.memories.external_ids(person.id, thread)
            last = await work.memories.last_in(thread)
        memories, known = list[Memory](), 0
        for said in lines:
            if said.external_id in seen:
                known += 1
                continue
            seen.add(said.external_id)
            before = memories[-1] if memories else last if last and last.at <= said.at and last.user_id == person.id else None
            memories += memories_of(
                _saying(said, person, thread), before, organization=self.database.organization, timezone=person.timezone
            )
        return memories, known

    async def _keep(self, person: Person, memories: Sequence[Memory]) -> int:
        """Keep a batch with its vectors, and the notes of it; how many go without a vector: text is kept whatever ails the embedder."""
        vectors = await self._vectors([*map(embedded, memories)])
        async with self.database.unit_of_work() as work:
            await work.memories.add_once(memories)
            for each in memories:
                if is_speaker(person, each.speaker):
                    await note_said(work, person, [each], each.text, now=each.at)
            if vectors is not None and self.embedder is not None:
                found = {each.id for each in await work.memories.by_ids([each.id for each in memories])}  # another import may be quicker
                named = zip((each.id for each in memories), vectors, strict=True)
                await work.memories.keep_vectors(self.embedder.model, {which: vector for which, vector in named if which in found})
        return 0 if vectors is not None else len(memories)

    async def _vectors(self, texts: Sequence[str]) -> Sequence[Any] | None:
        """Two halves at a time."""
        if self.embedder is None or not self.embedder.model:
            return None
        half = len(texts) // 2
        try:
            first, second = await asyncio.gather(self.embedder.embed(texts[:half]), self.embedder.embed(texts[half:]))
        except EmbeddingFailed:
            return None
        return [*first, *second]


def _saying(said: Said, person: Person, thread: str) -> Saying:
    return Saying(
        thread=thread,
        external_id=said.external_id,
        speaker=said.speaker,
        text=said.text,
        at=said.at,
        user_id=person.id,
        place=PRIVATE_PLACE,
        trust=Trust.OWN,
    )
