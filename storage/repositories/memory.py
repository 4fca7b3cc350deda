"""Questions about what Robbie remembers of people, and keeps for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import delete, exists, func, insert, select, text, update

from bot.domain.clock import new_id
from bot.domain.memory import Scope
from storage.dialects import NextNumber, insert_or_replace, insert_or_skip
from storage.models.memory import Memory, MemoryVector, StickyNote, SummarySource
from storage.repositories.base import Changing, ours, values_of
from storage.repositories.finding import IN_SCOPE, Finding, values_of_scope


class StickyNotes(Changing[StickyNote]):
    """Things people wanted kept."""

    table = StickyNote

    async def add(self, *, user_id: UUID, text: str, now: datetime, source_id: UUID | None, **more: Any) -> StickyNote:
        """Keep a note; *more* are other columns of `StickyNote`."""
        which: dict[str, Any] = {"organization_id": self._organization, "id": new_id(), "user_id": user_id}
        note = StickyNote(**which, text=text, created_at=now, source_id=source_id, **more)
        await self._insert(insert(StickyNote), **values_of(note))
        return note


_ADD = insert_or_skip(Memory, number=NextNumber())
_LAST = select(Memory).where(ours(Memory), Memory.thread == given("of_thread")).order_by(Memory.number.desc()).limit(1)
_BY_IDS = select(Memory).where(ours(Memory), Memory.id.in_(given("which", expanding=True)))
_OF_MESSAGES = select(Memory).where(ours(Memory), Memory.message_id.in_(given("messages", expanding=True))).order_by(Memory.number)
_WHICH = Memory.id.in_(given("which", expanding=True))
_SCOPED = select(Memory).where(IN_SCOPE, _WHICH)
_VECTORS_OF = select(MemoryVector.memory_id, MemoryVector.vector).where(
    ours(MemoryVector), MemoryVector.model == given("by"), MemoryVector.memory_id.in_(given("which", expanding=True))
)
_STAMP = update(MemoryVector).where(ours(MemoryVector), MemoryVector.memory_id == given("which"))
_COUNT_CORRUPT = {
    "sqlite": text("SELECT count(*) FROM memory_vectors WHERE organization_id = :organization AND length(vector) <> 4 * dimension"),
    "postgresql": text("SELECT count(*) FROM memory_vectors WHERE organization_id = :organization AND vector_dims(vector) <> dimension"),
}
_ADD_VECTOR = insert_or_replace(MemoryVector, "stamp", "model", "dimension", "vector")
_LACKING = (
    select(Memory)
    .where(ours(Memory))
    .where(
        ~exists().where(
            MemoryVector.organization_id == Memory.organization_id, MemoryVector.memory_id == Memory.id, MemoryVector.model == given("by")
        )
    )
    .order_by(Memory.number.desc())
)
_NEXT_LACKING = _LACKING.limit(given("limit"))
_COUNT_LACKING = select(func.count()).select_from(_LACKING.order_by(None).subquery())
_REMOVE = delete(Memory).where(ours(Memory), _WHICH)
_REMOVE_VECTORS = delete(MemoryVector).where(ours(MemoryVector), MemoryVector.memory_id.in_(given("which", expanding=True)))
_REMOVE_SOURCES = delete(SummarySource).where(ours(SummarySource), SummarySource.memory_id.in_(given("which", expanding=True)))
_CHANGE = update(Memory).where(ours(Memory), _WHICH)


class Memories(Finding):
    """What was said, verbatim, and how it is found."""

    async def add_once(self, memories: Sequence[Memory]) -> None:
        """Keep memories, unless they are known already; each gets the next number."""
        await self._insert_all(_ADD, [{name: value for name, value in values_of(each).items() if name != "number"} for each in memories])

    async def last_in(self, thread: str) -> Memory | None:
        """The last memory of a thread."""
        return await self._first(Memory, _LAST, of_thread=thread)

    async def by_ids(self, which: Collection[UUID]) -> list[Memory]:
        """The memories of these ids, whosever they are."""
        return await self._all(Memory, _BY_IDS, which=list(which))

    async def of_messages(self, message_ids: Collection[UUID]) -> list[Memory]:
        """What is remembered of these messages, in its order."""
        return await self._all(Memory, _OF_MESSAGES, messages=list(message_ids))

    async def change(self, which: Collection[UUID], **values: Any) -> None:
        """Give memories these values; whose index of vectors knows them by one is told by a new stamp."""
        await self._changes(_CHANGE, which=list(which), **values)
        if which and values.keys() & {"trust", "place"}:
            stamped = [{"organization": self._organization, "which": each, "stamp": new_id()} for each in which]
            await self._connection.execute(_STAMP, stamped)

    async def remove(self, which: Collection[UUID]) -> None:
        """Delete memories, with vectors and links to summaries; the index is told the words, so what is packed is unpacked."""
        packed = [each for each in await self.by_ids(which) if each.packed is not None]
        for each in packed:
            await self.change([each.id], said=each.text, packed=None)
        for statement in (_REMOVE_SOURCES, _REMOVE_VECTORS, _REMOVE):
            await self._changes(statement, which=list(which))

    async def in_scope(self, scope: Scope, which: Collection[UUID]) -> list[Memory]:
        """Those of these memories that may be told here."""
        return await self._all(Memory, _SCOPED, **values_of_scope(scope), which=list(which))

    async def vectors(self, which: Collection[UUID], model: str) -> dict[UUID, Any]:
        """The vectors of this model that these memories have."""
        return dict((await self._execute(_VECTORS_OF, by=model, which=list(which))).all())

    async def lacking(self, model: str, *, limit: int) -> list[Memory]:
        """Memories without a vector of this model, the latest first."""
        return await self._all(Memory, _NEXT_LACKING, by=model, limit=limit)

    async def count_lacking(self, model: str) -> int:
        """How many memories have no vector of this model."""
        return await self._value(_COUNT_LACKING, by=model) or 0

    async def count_corrupt(self) -> int:
        """How many vectors are not as long as they say, so that they are never found."""
        return (await self._execute(_COUNT_CORRUPT[self._kind])).scalar() or 0

    async def keep_vectors(self, model: str, vectors: Mapping[UUID, Any]) -> None:
        """Give memories their vectors by this model, instead of those they have."""
        rows = [
            {"memory_id": which, "stamp": new_id(), "model": model, "dimension": len(each), "vector": each}
            for which, each in vectors.items()
        ]
        await self._insert_all(_ADD_VECTOR, rows)
