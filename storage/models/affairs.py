"""A person's affairs: contacts, deals, tasks, and the journal of what happened to them (activities)."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Keyed, belongs_to


class TaskState(StrEnum):
    """open → done or dropped."""

    OPEN = "open"
    DONE = "done"
    DROPPED = "dropped"


class Stage(StrEnum):
    """Where a deal stands; won and lost are its ends."""

    LEAD = "lead"
    QUALIFIED = "qualified"
    PROPOSAL = "proposal"
    NEGOTIATION = "negotiation"
    WON = "won"
    LOST = "lost"


class Contact(Keyed, Base):
    """Somebody a person has to do with. `last_heard_at` and `last_written_at` are kept by the messages themselves.

    `do_not_write` says why no outreach may go there (unsubscribed, bounced); `follow_up_at` is when the next one would be due.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        belongs_to("users", "user_id"),
        UniqueConstraint("organization_id", "code"),
        Index(None, "organization_id", "user_id", "email"),
    )

    user_id: Mapped[UUID]
    code: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]
    email: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    company: Mapped[str] = mapped_column(default="")
    role: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    tags: Mapped[list[Any]] = mapped_column(default_factory=list)
    next_step: Mapped[str] = mapped_column(default="")
    next_step_on: Mapped[date | None] = mapped_column(default=None)
    last_heard_at: Mapped[datetime | None] = mapped_column(default=None)
    last_written_at: Mapped[datetime | None] = mapped_column(default=None)
    do_not_write: Mapped[str] = mapped_column(default="")
    follow_up_at: Mapped[datetime | None] = mapped_column(default=None)
    follow_ups: Mapped[int] = mapped_column(default=0)
    archived_at: Mapped[datetime | None] = mapped_column(default=None)


class Deal(Keyed, Base):
    """Something that may be sold. `value_cents` is in hundredths of `currency`, `probability` in per cent."""

    __tablename__ = "deals"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("contacts", "contact_id"),
        UniqueConstraint("organization_id", "code"),
        Index(None, "organization_id", "user_id", "stage"),
    )

    user_id: Mapped[UUID]
    code: Mapped[str]
    title: Mapped[str]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    contact_id: Mapped[UUID | None] = mapped_column(default=None)
    company: Mapped[str] = mapped_column(default="")
    stage: Mapped[str] = mapped_column(default=Stage.LEAD)
    value_cents: Mapped[int] = mapped_column(BigInteger, default=0)
    currency: Mapped[str] = mapped_column(default="USD")
    probability: Mapped[int] = mapped_column(default=0)
    next_step: Mapped[str] = mapped_column(default="")
    next_step_on: Mapped[date | None] = mapped_column(default=None)
    detail: Mapped[str] = mapped_column(default="")
    closed_at: Mapped[datetime | None] = mapped_column(default=None)
    archived_at: Mapped[datetime | None] = mapped_column(default=None)


class Task(Keyed, Base):
    """Something to be done. `due_on` is a day wherever its person is, `due_at` a moment where one was named.

    `remind_at` is when its reminder fires next, `rule` the RRULE by which it recurs, with its DTSTART on the wall clock of its person.
    `kind` is task, reminder or promise. Whoever fires a reminder moves `remind_at` in the commit that promises its message, so that it
    fires once.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("contacts", "contact_id"),
        belongs_to("deals", "deal_id"),
        UniqueConstraint("organization_id", "code"),
        Index(None, "organization_id", "remind_at"),
        Index(None, "organization_id", "user_id", "state", "due_on"),
    )

    user_id: Mapped[UUID]
    code: Mapped[str]
    title: Mapped[str]
    created_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(default="task")
    detail: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default=TaskState.OPEN)
    priority: Mapped[int] = mapped_column(default=2)
    due_on: Mapped[date | None] = mapped_column(default=None)
    due_at: Mapped[datetime | None] = mapped_column(default=None)
    remind_at: Mapped[datetime | None] = mapped_column(default=None)
    rule: Mapped[str] = mapped_column(default="")
    contact_id: Mapped[UUID | None] = mapped_column(default=None)
    deal_id: Mapped[UUID | None] = mapped_column(default=None)
    source_id: Mapped[UUID | None] = mapped_column(default=None)
    done_at: Mapped[datetime | None] = mapped_column(default=None)


class Activity(Keyed, Base):
    """One line of the journal: who did what, and why. `key` makes one line, and so one act, of what is asked for twice.

    `undo` is what would take it back: a table, a row's id, and the values it had (none: it was not there).
    """

    __tablename__ = "activities"
    __table_args__ = (
        belongs_to("users", "user_id"),
        UniqueConstraint("organization_id", "key"),
        Index(None, "organization_id", "user_id", "id"),
        Index(None, "organization_id", "contact_id", "id"),
    )

    user_id: Mapped[UUID]
    actor: Mapped[str]
    kind: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]
    why: Mapped[str] = mapped_column(default="")
    key: Mapped[str | None] = mapped_column(default=None)
    contact_id: Mapped[UUID | None] = mapped_column(default=None)
    deal_id: Mapped[UUID | None] = mapped_column(default=None)
    task_id: Mapped[UUID | None] = mapped_column(default=None)
    source_id: Mapped[UUID | None] = mapped_column(default=None)
    undo: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    undone_at: Mapped[datetime | None] = mapped_column(default=None)
