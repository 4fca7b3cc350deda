"""Questions about how a person wants Robbie to be, and the briefs they got."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, exists, func, insert, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.decisions import Feedback
from storage.models.manners import PersonalitySetting, StoredBrief
from storage.models.messaging import Message
from storage.repositories.base import Repository, Rows, first_id_at, ours

_ADD = insert(PersonalitySetting)
_later = aliased(PersonalitySetting)
_IS_PAST = exists().where(
    *(getattr(_later, key) == getattr(PersonalitySetting, key) for key in ("organization_id", "user_id", "name", "context")),
    *(_later.id > PersonalitySetting.id, _later.void_at.is_(None), _later.expires_at.is_(None)),
)
_HOLDING = (
    select(PersonalitySetting)
    .where(ours(PersonalitySetting), PersonalitySetting.user_id == given("user"), PersonalitySetting.void_at.is_(None))
    .where(or_(PersonalitySetting.expires_at.is_(None), PersonalitySetting.expires_at > given("now")), ~_IS_PAST)
    .order_by(PersonalitySetting.id)
)
_VOID = update(PersonalitySetting).where(
    ours(PersonalitySetting), PersonalitySetting.id == given("which"), PersonalitySetting.void_at.is_(None)
)
_RATED = and_(Feedback.organization_id == Message.organization_id, Feedback.message_id == Message.id, Feedback.user_id == Message.user_id)
_SAID = (
    select(Message.conversation_id, Message.at, Message.direction == "out", func.length(Message.text), Feedback.value)
    .outerjoin(Feedback, _RATED)
    .where(ours(Message), Message.user_id == given("user"), Message.session_type == "private", Message.at > given("since"))
    .where(Message.id >= given("first"), or_(Message.direction == "in", Message.personality.is_not(None)))
    .order_by(Message.id.desc())
    .limit(given("limit"))
)


class Said(NamedTuple):
    """What a person wrote, or a model answered them, how long it is, and the person's rating if they gave one."""

    conversation_id: UUID
    at: datetime
    is_answer: bool
    letters: int
    rating: float | None


class Settings(Rows[PersonalitySetting]):
    """Sliders, moods and habits: every change is a row of its own."""

    table = PersonalitySetting

    async def add(self, **values: Any) -> UUID:
        """Keep a change; the values are the columns of `PersonalitySetting`, an `id` where it is known before. Returns its id."""
        row = {"id": new_id(), **values}
        await self._insert(_ADD, **row)
        return UUID(str(row["id"]))

    async def holding(self, user_id: UUID, now: datetime) -> Sequence[PersonalitySetting]:
        """What is neither void nor expired, oldest first: the last of a name and context holds; few, however much was set."""
        return await self._all(PersonalitySetting, _HOLDING, user=user_id, now=now)

    async def void(self, setting_id: UUID, now: datetime) -> bool:
        """A change holds no more; whether it did."""
        return await self._changes(_VOID, which=setting_id, void_at=now)

    async def said(self, user_id: UUID, *, since: datetime, limit: int = 4000) -> list[Said]:
        """The last things said in private between a person and a model, by which a setting may be judged, oldest first."""
        rows = await self._execute(_SAID, user=user_id, since=since, first=first_id_at(since), limit=limit)
        return [Said(*row) for row in rows.all()[::-1]]


_ADD_BRIEF = insert_or_skip(StoredBrief)
_LAST_BRIEFS = (
    select(StoredBrief)
    .where(ours(StoredBrief), StoredBrief.user_id == given("user"))
    .order_by(StoredBrief.due_at.desc())
    .limit(given("limit"))
)


class Briefs(Repository):
    """The briefs that came, and those that did not."""

    async def add_once(self, **values: Any) -> bool:
        """Keep the brief of a person, slot and day; False where there is one. The values are the columns of `StoredBrief`."""
        return await self._insert(_ADD_BRIEF, id=new_id(), **values)

    async def latest(self, user_id: UUID, *, limit: int) -> Sequence[StoredBrief]:
        """A person's last briefs by the time they were due, newest first."""
        return await self._all(StoredBrief, _LAST_BRIEFS, user=user_id, limit=limit)
