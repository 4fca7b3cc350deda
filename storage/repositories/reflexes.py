"""Questions about what Robbie can say without a model: patterns and cached answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, func, select, update
from sqlalchemy import bindparam as given

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.learning import CachedAnswer, Habit, Pattern
from storage.models.messaging import Message
from storage.repositories.base import Repository, first_id_at, ours

_ADD = insert_or_skip(Pattern)
_ALL = select(Pattern).where(ours(Pattern)).order_by(Pattern.id)
_KNOWN = _ALL.with_only_columns(Pattern.key, Pattern.text, Pattern.intent, Pattern.state, Pattern.user_id, Pattern.weight)
_STATES = [func.sum(case((Pattern.state == state, 1), else_=0)) for state in Habit]
_STANDING = select(func.max(Pattern.changed_at), func.sum(Pattern.weight), func.sum(Pattern.agreed), *_STATES).where(ours(Pattern))
_BY_KEY = select(Pattern).where(ours(Pattern), Pattern.key == given("the_key"))
_CHANGE = update(Pattern).where(ours(Pattern), Pattern.id == given("which"))
_CACHE = insert_or_skip(CachedAnswer)
_CACHED = select(CachedAnswer).where(ours(CachedAnswer), CachedAnswer.user_id == given("user"), CachedAnswer.digest == given("words"))
_ALL_CACHED = select(CachedAnswer).where(ours(CachedAnswer)).order_by(CachedAnswer.id)
_CHANGE_CACHED = update(CachedAnswer).where(ours(CachedAnswer), CachedAnswer.id == given("which"))

_ANSWERS = (
    select(Message)
    .where(ours(Message), Message.id >= given("first"), Message.at >= given("since"), Message.at < given("before"))
    .where(Message.kind == "answer", Message.session_type == "private")
    .order_by(Message.id)
    .limit(given("limit"))
)


class Patterns(Repository):
    """Phrases and what they mean."""

    async def add_new(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep patterns; those whose key is there stay as they are. The values are the columns of `Pattern`."""
        await self._insert_all(_ADD, [{"id": new_id(), "agreed": 0, "disagreed": 0, **row} for row in rows])

    async def propose(self, user_id: UUID, phrase: str, intent: str, now: datetime, **values: Any) -> None:
        """Keep a phrase of one person's, unless there is one."""
        about = {"user_id": user_id, "key": f"{user_id}/{phrase}", "text": phrase, "intent": intent, "created_at": now, "changed_at": now}
        await self.add_new([{**about, "state": Habit.PROPOSED, "origin": "learned", "weight": 1.0, **values}])

    async def all(self) -> list[Pattern]:
        """Every pattern, in whatever state."""
        return await self._all(Pattern, _ALL)

    async def known(self) -> Sequence[Row[str, str, str, str, UUID | None, float]]:
        """Of every pattern its key, text, intent, state, user_id and weight: hundreds are read at every start."""
        return (await self._connection.execute(_KNOWN, {"organization": self._organization})).all()

    async def standing(self) -> tuple[Any, ...]:
        """A few figures, other ones whenever a pattern was added or changed, by whatever clock."""
        return tuple((await self._execute(_STANDING)).one())

    async def find(self, key: str) -> Pattern | None:
        """The pattern of this key."""
        return await self._first(Pattern, _BY_KEY, the_key=key)

    async def change(self, which: UUID, **values: Any) -> bool:
        """Give one these values; whether it was there."""
        return await self._changes(_CHANGE, which=which, **values)


class CachedAnswers(Repository):
    """What a person was told, and may be told again."""

    async def add_once(self, **values: Any) -> bool:
        """Keep an answer; False where these words have one. The values are the columns of `CachedAnswer`."""
        row = {"id": new_id(), "state": Habit.PROPOSED, "weight": 1.0, "agreed": 0, "disagreed": 0, **values}
        return await self._insert(_CACHE, **row)

    async def candidates(self, since: datetime, before: datetime, *, limit: int) -> list[Message]:
        """What was answered to anybody in private between these moments, oldest first."""
        return await self._all(Message, _ANSWERS, first=first_id_at(since), since=since, before=before, limit=limit)

    async def find(self, user_id: UUID, digest: str) -> CachedAnswer | None:
        """A person's answer to these words, fresh or not."""
        return await self._first(CachedAnswer, _CACHED, user=user_id, words=digest)

    async def all(self) -> Sequence[CachedAnswer]:
        """Every one, fresh or not."""
        return await self._all(CachedAnswer, _ALL_CACHED)

    async def change(self, which: UUID, **values: Any) -> bool:
        """Give one these values; whether it was there."""
        return await self._changes(_CHANGE_CACHED, which=which, **values)
