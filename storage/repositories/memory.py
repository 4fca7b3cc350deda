"""Questions about what Robbie remembers of people, and keeps for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from bot.domain.memory import Scope, Trust
from storage.dialects import NextNumber, insert_or_replace, insert_or_skip
from storage.models.memory import Memory, MemoryVector, StickyNote
from storage.models.messaging import Message
from storage.repositories.base import FIRST_ID, Changing, first_id_at, ours, values_of
from storage.repositories.finding import IN_SCOPE, Finding, values_of_scope
from storage.repositories.summaries import Summaries

TELLING = 3
"""Words, at least, of what tells something."""
_WORD = re.compile(r"\w+")
_IS_BARRED = and_(ours(Memory), or_(Memory.trust.not_in(given("trusts", expanding=True)), Memory.forgotten_by.is_not(None)))
_HOLDING = (ours(StickyNote), StickyNote.user_id == given("user"), StickyNote.valid_until.is_(None), StickyNote.forgotten_by.is_(None))
_LAST_SAID = StickyNote.created_at.desc(), StickyNote.id.desc()
_NOTES = (
    select(StickyNote)
    .where(
        *_HOLDING,
        ~exists().where(_IS_BARRED, Memory.id == StickyNote.memory_id),
        ~exists().where(_IS_BARRED, Memory.message_id == StickyNote.source_id),
    )
    .order_by(*_LAST_SAID)
    .limit(given("limit"))
)
_NOTES_OF_PLACE = _NOTES.where(exists().where(ours(Memory), Memory.id == StickyNote.memory_id, Memory.place == given("at_place")))
_ON_TOPIC = select(StickyNote).where(*_HOLDING, StickyNote.topic == given("of_topic")).order_by(*_LAST_SAID)
_DATED = select(StickyNote).where(*_HOLDING, StickyNote.on.is_not(None)).order_by(StickyNote.on, StickyNote.id)
_OF_SOURCE = select(StickyNote).where(ours(StickyNote), StickyNote.source_id == given("message"))
_PROMISED = (
    select(StickyNote)
    .where(ours(StickyNote), StickyNote.id > given("after"), StickyNote.created_at > given("since"))
    .where(StickyNote.kind == "promise", StickyNote.made_by != "person")
    .where(StickyNote.valid_until.is_(None), StickyNote.forgotten_by.is_(None))
    .order_by(StickyNote.id)
    .limit(given("limit"))
)
_SAID = (
    select(Memory)
    .where(ours(Memory), Memory.id > given("after"), Memory.trust == "own", Memory.at <= given("until"))
    .where(Memory.forgotten_by.is_(None), Memory.corrected_by.is_(None))
    .order_by(Memory.id)
    .limit(given("limit"))
)
_EDITED = select(StickyNote).where(ours(StickyNote), StickyNote.superseded_by == given("which"), StickyNote.created_at == given("made"))
_INHERIT = (
    update(StickyNote)
    .where(ours(StickyNote), StickyNote.user_id == given("user"), StickyNote.superseded_by == given("which"))
    .returning(StickyNote.memory_id)
)
_ANSWERS = select(Message.id).where(ours(Message), Message.reply_to == given("message"))
_ANSWERED = select(Memory).where(ours(Memory), Memory.message_id.in_(_ANSWERS))
_IS_UNHEARD = or_(Memory.forgotten_by.is_not(None), Memory.corrected_by.is_not(None))  # as its index has it
_RECALL_AGAIN = update(Memory).where(ours(Memory), _IS_UNHEARD, Memory.corrected_by == given("which"))
_new = aliased(StickyNote)
_CORRECTED = (
    select(StickyNote.memory_id, StickyNote.text, _new.text)
    .outerjoin(
        _new,
        and_(
            *(_new.organization_id == StickyNote.organization_id, _new.user_id == StickyNote.user_id, _new.topic == StickyNote.topic),
            *(_new.topic != "", _new.valid_until.is_(None), _new.forgotten_by.is_(None)),
        ),
    )
    .where(ours(StickyNote), StickyNote.memory_id.in_(given("memories", expanding=True)), StickyNote.superseded_by.is_not(None))
    .order_by(_new.created_at.desc())
)

_LATEST_NOTES = (
    select(StickyNote)
    .where(ours(StickyNote), StickyNote.user_id == given("user"), StickyNote.forgotten_by.is_(None))
    .order_by(StickyNote.id.desc())
    .limit(given("limit"))
)


class StickyNotes(Changing[StickyNote]):
    """Things people wanted kept, or that were noticed in what they said. One holds until another supersedes it, or it is forgotten."""

    table = StickyNote

    async def holding(
        self, user_id: UUID, trusts: Sequence[str] = (Trust.OWN, Trust.ROBBIE), *, limit: int, place: str = ""
    ) -> list[StickyNote]:
        """A person's notes that hold, the last said first, but for those made of what is of another trust, or being forgotten.

        Where a shared *place* is named, only those of what was said there.
        """
        which = {"user": user_id, "trusts": list(trusts), "limit": limit}
        return await self._all(StickyNote, _NOTES_OF_PLACE if place else _NOTES, **which, **({"at_place": place} if place else {}))

    async def on_topic(self, user_id: UUID, topic: str) -> list[StickyNote]:
        """A person's notes on just this topic that hold, the last said first."""
        return await self._all(StickyNote, _ON_TOPIC, user=user_id, of_topic=topic)

    async def dated(self, user_id: UUID) -> list[StickyNote]:
        """A person's notes about a day that hold, by that day."""
        return await self._all(StickyNote, _DATED, user=user_id)

    async def of_source(self, message_id: UUID) -> list[StickyNote]:
        """What was noted of a message."""
        return await self._all(StickyNote, _OF_SOURCE, message=message_id)

    async def promised(self, *, since: datetime, limit: int) -> list[StickyNote]:
        """Promises of anybody's that were noticed since, and hold, the oldest first."""
        return await self._all(StickyNote, _PROMISED, after=first_id_at(since), since=since, limit=limit)

    async def said_since(self, after: UUID, *, until: datetime, limit: int) -> list[Memory]:
        """Memories of people's own words after the one of this id, said until a moment: what a model may find notes in."""
        return await self._all(Memory, _SAID, after=after, until=until, limit=limit)

    async def supersede(self, old: StickyNote, new: StickyNote, now: datetime) -> None:
        """From now on another note holds instead. The memory that the old one came from, and the answer to it, are not told again.

        Of a memory that says more than the note, `correct` leaves the rest; of its answers those go that hold what is wrong now.
        """
        await self.change(old.id, valid_until=now, superseded_by=new.id)
        said = await self._all(Memory, _BY_IDS, which=[old.memory_id] if old.memory_id else [])
        wrong = {*_WORD.findall(old.text.casefold())} - {*_WORD.findall(new.text.casefold())}
        keeps = [each.id for each in said if _says_more(each.text, old.text)]
        gone = [each.id for each in said if each.id not in keeps]
        answers = await self._all(Memory, _ANSWERED, message=old.source_id) if old.source_id else []
        gone += [each.id for each in answers if not keeps or not wrong.isdisjoint(_WORD.findall(each.text.casefold()))]
        await self._changes(_CHANGE, which=gone, corrected_by=new.id)
        await Summaries(self._connection, self._organization).remove(made_of=keeps)

    async def correct(self, memories: Sequence[Memory], *, is_private: bool) -> None:
        """Strike from these what was corrected since, and tell what holds now where nobody else reads along; no row is changed."""
        known = {each.id: each for each in memories}
        for which, old, new in await self._execute(_CORRECTED, memories=list(known)):
            memory, now = known[which], f"[corrected: {new}]" if new and is_private else "[corrected since]"
            if old in memory.text:
                memory.said, memory.packed = memory.text.replace(old, now), None

    async def edited_into(self, note: StickyNote) -> list[StickyNote]:
        """What this note was before its last edit, which keeps the moment it was made."""
        return await self._all(StickyNote, _EDITED, which=note.id, made=note.created_at)

    async def remove(self, which: UUID) -> bool:
        """Delete a note; whether it was there. What it superseded is told, and holds again, or belongs to what superseded it."""
        if (row := await self.find_by_id(which)) is None:
            return False
        heir: dict[str, Any] = {"superseded_by": row.superseded_by} | ({} if row.superseded_by else {"valid_until": None})
        freed = await self._values(_INHERIT, user=row.user_id, which=which, **heir)
        await self._changes(_RECALL_AGAIN, which=which, corrected_by=row.superseded_by)
        await Summaries(self._connection, self._organization).remove(made_of=[each for each in freed if each])
        return await super().remove(which)

    async def latest(self, user_id: UUID, *, limit: int) -> list[StickyNote]:
        """A person's last notes, newest first, but for those that are being forgotten."""
        return await self._all(StickyNote, _LATEST_NOTES, user=user_id, limit=limit)

    async def add(self, *, user_id: UUID, text: str, now: datetime, source_id: UUID | None, **more: Any) -> StickyNote:
        """Keep a note; *more* are other columns of `StickyNote`."""
        which: dict[str, Any] = {"organization_id": self._organization, "id": new_id(), "user_id": user_id}
        note = StickyNote(**which, text=text, created_at=now, source_id=source_id, **more)
        await self._insert(insert(StickyNote), **values_of(note))
        return note


def _says_more(text: str, note: str) -> bool:
    """Whether a text tells anything but what a note has of it: a greeting, or a question, tells nothing."""
    rest = re.sub(r"[^.!?\n]*\?", "", text.replace(note, " "))
    return note in text and len(_WORD.findall(rest)) >= TELLING


_ADD = insert_or_skip(Memory, number=NextNumber())
_LAST = select(Memory).where(ours(Memory), Memory.thread == given("of_thread")).order_by(Memory.number.desc()).limit(1)
_NEWEST = select(Memory.id).where(ours(Memory)).order_by(Memory.id.desc()).limit(1)
_BY_IDS = select(Memory).where(ours(Memory), Memory.id.in_(given("which", expanding=True)))
_OF_MESSAGES = select(Memory).where(ours(Memory), Memory.message_id.in_(given("messages", expanding=True))).order_by(Memory.number)
_WHICH = Memory.id.in_(given("which", expanding=True))
_SCOPED = select(Memory).where(IN_SCOPE, _WHICH)
_STAMP = update(MemoryVector).where(ours(MemoryVector), MemoryVector.memory_id == given("which"))
_COUNT = select(func.count()).select_from(Memory).where(ours(Memory))
_ADD_VECTOR = insert_or_replace(MemoryVector, "stamp", "model", "dimension", "vector")
_LACKING = (
    select(Memory)
    .where(ours(Memory))
    .where(
        ~exists().where(
            MemoryVector.organization_id == Memory.organization_id, MemoryVector.memory_id == Memory.id, MemoryVector.model == given("by")
        )
    )
    .order_by(Memory.id.desc())
)
_NEXT_LACKING = _LACKING.where(Memory.id > given("after")).limit(given("limit"))
_EXTERNAL = select(Memory.external_id).where(ours(Memory), Memory.user_id == given("user"), Memory.thread == given("of_thread"))
_LIVING = select(Memory.id).where(ours(Memory), _WHICH)
_WITH_LENGTH = select(MemoryVector.memory_id, MemoryVector.dimension, MemoryVector.vector)
_NEXT_VECTORS = (
    _WITH_LENGTH.where(ours(MemoryVector), MemoryVector.model == given("by"), MemoryVector.memory_id > given("after"))
    .order_by(MemoryVector.memory_id)
    .limit(given("limit"))
)
_COUNT_LACKING = select(func.count()).select_from(_LACKING.order_by(None).subquery())
_REMOVE = delete(Memory).where(ours(Memory), _WHICH)
_REMOVE_VECTORS = delete(MemoryVector).where(ours(MemoryVector), MemoryVector.memory_id.in_(given("which", expanding=True)))
_CHANGE = update(Memory).where(ours(Memory), _WHICH)


class Memories(Finding):
    """What was said, verbatim, and how it is found."""

    async def add_once(self, memories: Sequence[Memory]) -> None:
        """Keep memories, unless they are known already; each gets the next number."""
        self.added += len(memories)
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
        """Give memories these values. Of which trust and place they are, both indexes know: that of vectors is told by a new stamp."""
        is_moved = bool(which and values.keys() & {"trust", "place"})
        if is_moved:
            await self._unpack(which)
        await self._changes(_CHANGE, which=list(which), **values)
        if is_moved:
            stamped = [{"organization": self._organization, "which": each, "stamp": new_id()} for each in which]
            await self._connection.execute(_STAMP, stamped)

    async def remove(self, which: Collection[UUID]) -> None:
        """Delete memories, with vectors and the summaries they are in."""
        memories = await self._unpack(which)
        await Summaries(self._connection, self._organization).remove(made_of=which)
        for statement in (_REMOVE_VECTORS, _REMOVE):
            await self._changes(statement, which=list(which))
        for index in self._indexes.values():
            index.drop([each.number for each in memories])

    async def _unpack(self, which: Collection[UUID]) -> list[Memory]:
        """These memories, plain from now on: SQLite's index of words wants to be told what it held, before that changes."""
        memories = await self.by_ids(which)
        for each in memories:
            if each.packed is not None:
                await self._changes(_CHANGE, which=[each.id], said=each.text, packed=None)
        return memories

    async def in_scope(self, scope: Scope, which: Collection[UUID]) -> list[Memory]:
        """Those of these memories that may be told here."""
        return await self._all(Memory, _SCOPED, **values_of_scope(scope), which=list(which))

    async def lacking(self, model: str, *, limit: int, after: UUID = FIRST_ID) -> list[Memory]:
        """Memories with ids after one, without a vector of this model, the latest first."""
        return await self._all(Memory, _NEXT_LACKING, by=model, after=after, limit=limit)

    async def external_ids(self, user_id: UUID, thread: str) -> set[str]:
        """What is known of a person's thread, by the ids it had elsewhere."""
        return {*await self._values(_EXTERNAL, user=user_id, of_thread=thread)}

    async def newest_id(self) -> UUID:
        """The id of the last memory."""
        return await self._value(_NEWEST) or FIRST_ID

    async def count(self) -> int:
        """How many memories there are."""
        return await self._value(_COUNT) or 0

    async def vectors_after(self, model: str, after: UUID, *, limit: int) -> list[tuple[UUID, int, Any]]:
        """The next vectors of this model by their memories' ids, each with the length it ought to have."""
        rows = await self._execute(_NEXT_VECTORS, by=model, after=after, limit=limit)
        return [(which, dimension, vector) for which, dimension, vector in rows]

    async def drop_vectors(self, which: Collection[UUID]) -> None:
        """These memories have no vector any more."""
        await self._changes(_REMOVE_VECTORS, which=list(which))

    async def count_lacking(self, model: str) -> int:
        """How many memories have no vector of this model."""
        return await self._value(_COUNT_LACKING, by=model) or 0

    async def keep_vectors(self, model: str, vectors: Mapping[UUID, Any]) -> None:
        """Give those of these memories that are still there their vectors by this model, instead of those they have."""
        rows = [
            {"memory_id": which, "stamp": new_id(), "model": model, "dimension": len(vectors[which]), "vector": vectors[which]}
            for which in await self._values(_LIVING, which=list(vectors))
        ]
        await self._insert_all(_ADD_VECTOR, rows)
