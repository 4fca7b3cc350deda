"""Questions about what Robbie can say without a model: patterns and cached answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import select, update
from sqlalchemy.sql.functions import max as greatest

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.learning import CachedAnswer, Habit, Pattern
from storage.repositories.base import Repository, ours

_ADD = insert_or_skip(Pattern)
_ALL = select(Pattern).where(ours(Pattern)).order_by(Pattern.id)
_CHANGED_AT = select(greatest(Pattern.changed_at)).where(ours(Pattern))
_CHANGE = update(Pattern).where(ours(Pattern), Pattern.id == given("which"))
_CACHE = insert_or_skip(CachedAnswer)
_CACHED = select(CachedAnswer).where(ours(CachedAnswer), CachedAnswer.user_id == given("user"), CachedAnswer.digest == given("words"))
_ALL_CACHED = select(CachedAnswer).where(ours(CachedAnswer)).order_by(CachedAnswer.id)
_CHANGE_CACHED = update(CachedAnswer).where(ours(CachedAnswer), CachedAnswer.id == given("which"))


class Patterns(Repository):
    """Phrases and what they mean."""

    async def add_once(self, **values: Any) -> bool:
        """Keep a pattern; False where its key is there. The values are the columns of `Pattern`."""
        return await self._insert(_ADD, **{"id": new_id(), "agreed": 0, "disagreed": 0, "used": 0, **values})

    async def all(self) -> Sequence[Pattern]:
        """Every pattern, in whatever state."""
        return await self._all(Pattern, _ALL)

    async def changed_at(self) -> datetime | None:
        """When a pattern changed last."""
        return await self._value(_CHANGED_AT)

    async def change(self, which: UUID, **values: Any) -> bool:
        """Give one these values; whether it was there."""
        return await self._changes(_CHANGE, which=which, **values)


class CachedAnswers(Repository):
    """What a person was told, and may be told again."""

    async def add_once(self, **values: Any) -> bool:
        """Keep an answer; False where these words have one. The values are the columns of `CachedAnswer`."""
        row = {"id": new_id(), "state": Habit.PROPOSED, "weight": 1.0, "agreed": 0, "disagreed": 0, "used": 0, **values}
        return await self._insert(_CACHE, **row)

    async def find(self, user_id: UUID, digest: str) -> CachedAnswer | None:
        """A person's answer to these words, fresh or not."""
        return await self._first(CachedAnswer, _CACHED, user=user_id, words=digest)

    async def all(self) -> Sequence[CachedAnswer]:
        """Every one, fresh or not."""
        return await self._all(CachedAnswer, _ALL_CACHED)

    async def change(self, which: UUID, **values: Any) -> bool:
        """Give one these values; whether it was there."""
        return await self._changes(_CHANGE_CACHED, which=which, **values)
