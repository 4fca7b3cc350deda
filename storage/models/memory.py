"""What Robbie remembers of people: memories, memory_vectors, summaries, summary_sources, sticky_notes; forgettings, forgotten."""

from __future__ import annotations

import zlib
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to
from storage.types import Vector

_UNHEARD = sql("forgotten_by IS NOT NULL OR corrected_by IS NOT NULL")


def pack(text: str) -> bytes | None:
    """*text*, compressed; None where that would be no smaller."""
    plain = text.encode(errors="surrogatepass")
    packed = zlib.compress(plain, 9)
    return packed if len(packed) < len(plain) else None


def unpack(packed: bytes) -> str:
    """The very text that was packed."""
    return zlib.decompress(packed).decode(errors="surrogatepass")


class Memory(Keyed, Base):
    """A thing said, verbatim, by which it is found again; of a long one, a `part` of it.

    `number` is what indexes know it by. `thread` is the conversation it was said in, `session` what was said there without a long pause,
    `position` counts within that; `day` is its date as it is searched for. `place` is empty for what is private, else where it was said;
    `trust` is a `Trust`. Its text is in `said`, or, compressed, in `packed`. One that is being forgotten, or was corrected by a note, is
    not recalled. `aged` is the last step of its ageing, 0 for none: `storage/repositories/summaries.py`.
    """

    __tablename__ = "memories"
    __table_args__ = (
        belongs_to("users", "user_id"),
        UniqueConstraint("organization_id", "user_id", "thread", "external_id", "part"),
        Index("ix_memories_number", "number", unique=True),
        Index(None, "organization_id", "message_id"),
        Index(None, "organization_id", "thread", "number"),
        Index(None, "organization_id", "session", "position"),
        Index(None, "organization_id", "user_id", "at"),
        Index(None, "organization_id", "aged", "at"),
        Index("ix_memories_unheard", "organization_id", "id", sqlite_where=_UNHEARD, postgresql_where=_UNHEARD),
    )

    number: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[UUID]
    thread: Mapped[str]
    session: Mapped[UUID]
    position: Mapped[int]
    part: Mapped[int]
    external_id: Mapped[str]
    speaker: Mapped[str]
    said: Mapped[str]
    day: Mapped[str]
    at: Mapped[datetime]
    place: Mapped[str]
    trust: Mapped[str]
    message_id: Mapped[UUID | None] = mapped_column(default=None)
    packed: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    forgotten_by: Mapped[UUID | None] = mapped_column(default=None)
    corrected_by: Mapped[UUID | None] = mapped_column(default=None)
    aged: Mapped[int] = mapped_column(default=0)

    @property
    def text(self) -> str:
        """What was said, packed or not."""
        return self.said if self.packed is None else unpack(self.packed)


class MemoryVector(Base):
    """What a memory means, by one model; `dimension` is the vector's length. `stamp` is a UUIDv7: those added since one are found by it."""

    __tablename__ = "memory_vectors"
    __table_args__ = (belongs_to("memories", "memory_id"), Index(None, "organization_id", "model", "stamp"))

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    memory_id: Mapped[UUID] = mapped_column(primary_key=True)
    stamp: Mapped[UUID]
    model: Mapped[str]
    dimension: Mapped[int]
    vector: Mapped[Any] = mapped_column(Vector())


class Summary(Keyed, Base):
    """What a stretch of a person's memories comes to. `level` 1 is of a session, 2 of a month, 3 of a year; its sources are its links.

    It holds from `starts_at` to `ends_at`, and was replaced at `superseded_at`. `made_by` is a model's name, or extract.
    """

    __tablename__ = "summaries"
    __table_args__ = (belongs_to("users", "user_id"), Index(None, "organization_id", "user_id", "level", "ends_at"))

    user_id: Mapped[UUID]
    level: Mapped[int]
    place: Mapped[str]
    text: Mapped[str]
    facts: Mapped[list[Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None] = mapped_column(default=None)
    forgotten_by: Mapped[UUID | None] = mapped_column(default=None)


class SummarySource(Base):
    """One memory that a summary was made of."""

    __tablename__ = "summary_sources"
    __table_args__ = (
        belongs_to("summaries", "summary_id"),
        belongs_to("memories", "memory_id"),
        Index(None, "organization_id", "summary_id"),
    )

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    memory_id: Mapped[UUID] = mapped_column(primary_key=True)
    summary_id: Mapped[UUID] = mapped_column(primary_key=True)


class StickyNote(Keyed, Base):
    """A thing worth keeping: in a person's own words, or found in them; `source_id` is the message it came with, `memory_id` the memory.

    `kind` is note, fact, promise, date, preference or decision; `on` is the day it is about. `topic` is what it is about, in words that
    are the same however it is said: a new note on it supersedes the old one, whose `valid_until` is then set. `made_by` is person, rules
    or a model's name.
    """

    __tablename__ = "sticky_notes"
    __table_args__ = (
        belongs_to("users", "user_id"),
        Index(None, "organization_id", "user_id", "id"),
        Index(None, "organization_id", "user_id", "topic"),
        Index(None, "organization_id", "source_id"),
    )

    user_id: Mapped[UUID]
    text: Mapped[str]
    created_at: Mapped[datetime]
    source_id: Mapped[UUID | None] = mapped_column(default=None)
    memory_id: Mapped[UUID | None] = mapped_column(default=None)
    kind: Mapped[str] = mapped_column(default="note")
    topic: Mapped[str] = mapped_column(default="")
    on: Mapped[date | None] = mapped_column(default=None)
    made_by: Mapped[str] = mapped_column(default="person")
    valid_until: Mapped[datetime | None] = mapped_column(default=None)
    superseded_by: Mapped[UUID | None] = mapped_column(default=None)
    forgotten_by: Mapped[UUID | None] = mapped_column(default=None)


class Forgetting(Keyed, Base):
    """A person's aim that something be forgotten: it is out of sight at once, and gone for good from `due_at` on, unless taken back.

    `state` is shown (of which nothing is forgotten yet) → hiding → waiting → purging → done; shown and waiting may become undone, shown
    does so at `due_at`. `what` is the aim in its person's words, `targets` how it is read; both are emptied when it is done or undone.
    """

    __tablename__ = "forgettings"
    __table_args__ = (belongs_to("users", "user_id"), Index(None, "organization_id", "state", "due_at"))

    user_id: Mapped[UUID]
    what: Mapped[str]
    targets: Mapped[dict[str, Any]]
    state: Mapped[str]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    done_at: Mapped[datetime | None] = mapped_column(default=None)


class Forgotten(Base):
    """A row that is out of sight and still to be erased: of which table (`kind`), and what those of its columns `was` that hide it."""

    __tablename__ = "forgotten"
    __table_args__ = (belongs_to("forgettings", "forgetting_id"),)

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    forgetting_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    row_id: Mapped[UUID] = mapped_column(primary_key=True)
    was: Mapped[dict[str, Any]]
