"""Questions about what Robbie learned: of his levels, of the world, and what he can say without a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, func, insert, select, update
from sqlalchemy import bindparam as given

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.learning import CachedAnswer, Habit, Insight, Pattern, RoutingArm
from storage.models.messaging import Message
from storage.repositories.base import Changing, Repository, first_id_at, ours

_ARMS = select(RoutingArm).where(ours(RoutingArm))
_ARMS_OF = _ARMS.where(RoutingArm.task_type == given("sort"))
_SAVE_ARM = insert_or_replace(RoutingArm, "good", "bad", "answers", "latency_ms", "cost_usd", "updated_at")
_LEAN = update(RoutingArm).where(ours(RoutingArm), RoutingArm.task_type == given("sort"), RoutingArm.level == given("whose"))
_ADD = insert(Insight)
_LATEST = select(Insight).where(ours(Insight), Insight.kind == given("of"), Insight.at >= given("since")).order_by(Insight.id)
_UNJUDGED = select(Insight).where(ours(Insight), Insight.kind == given("of"), Insight.judged_at.is_(None)).order_by(Insight.id)
_JUDGE = update(Insight).where(ours(Insight), Insight.id == given("which"), Insight.judged_at.is_(None))


class RoutingArms(Repository):
    """How good each level is at each task type."""

    async def all(self) -> Sequence[RoutingArm]:
        """Every cell that has evidence."""
        return await self._all(RoutingArm, _ARMS)

    async def at(self, task_type: str) -> Sequence[RoutingArm]:
        """The cells of a task type."""
        return await self._all(RoutingArm, _ARMS_OF, sort=task_type)

    async def save(self, **values: Any) -> None:
        """Keep a cell; the values are the columns of `RoutingArm`. How it leans is kept as it was, where it was there."""
        await self._insert(_SAVE_ARM, **values)

    async def lean(self, task_type: str, level: str, leaning: Sequence[Sequence[float]]) -> None:
        """Keep how a cell leans."""
        await self._changes(_LEAN, sort=task_type, whose=level, leaning=leaning)


class Insights(Repository):
    """What Robbie believes, and whether it came true."""

    async def add(self, **values: Any) -> UUID:
        """Keep a belief; the values are the columns of `Insight`. Returns its id."""
        row = {"id": new_id(), "due_at": None, "outcome": None, "judged_at": None, **values}
        await self._insert(_ADD, **row)
        return UUID(str(row["id"]))

    async def since(self, kind: str, since: datetime) -> Sequence[Insight]:
        """The beliefs of a kind since then, oldest first."""
        return await self._all(Insight, _LATEST, of=kind, since=since)

    async def unjudged(self, kind: str) -> Sequence[Insight]:
        """The beliefs of a kind of which it is not known whether they came true."""
        return await self._all(Insight, _UNJUDGED, of=kind)

    async def judge(self, which: UUID, *, outcome: float, judged_at: datetime) -> bool:
        """Say whether one came true; False where somebody has."""
        return await self._changes(_JUDGE, which=which, outcome=outcome, judged_at=judged_at)


_ADD_PATTERN = insert_or_skip(Pattern)
_KNOWN = (
    select(Pattern.key, Pattern.text, Pattern.intent, Pattern.state, Pattern.user_id, Pattern.weight)
    .where(ours(Pattern))
    .order_by(Pattern.id)
)
_STATES = [func.sum(case((Pattern.state == state, 1), else_=0)) for state in Habit]
_STANDING = select(func.max(Pattern.changed_at), func.sum(Pattern.weight), func.sum(Pattern.agreed), *_STATES).where(ours(Pattern))
_PATTERN = select(Pattern).where(ours(Pattern), Pattern.key == given("the_key"))
_CACHE = insert_or_skip(CachedAnswer)
_CACHED = select(CachedAnswer).where(ours(CachedAnswer), CachedAnswer.user_id == given("user"), CachedAnswer.digest == given("words"))

_ANSWERS = (
    select(Message)
    .where(ours(Message), Message.id >= given("first"), Message.at >= given("since"), Message.at < given("before"))
    .where(Message.kind == "answer", Message.session_type == "private")
    .order_by(Message.id)
    .limit(given("limit"))
)


class Patterns(Changing[Pattern]):
    """Phrases and what they mean."""

    table = Pattern

    async def add_new(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep patterns; those whose key is there stay as they are. The values are the columns of `Pattern`."""
        await self._insert_all(_ADD_PATTERN, [{"id": new_id(), "agreed": 0, "disagreed": 0, **row} for row in rows])

    async def propose(self, user_id: UUID, phrase: str, intent: str, now: datetime, **values: Any) -> None:
        """Keep a phrase of one person's, unless there is one."""
        about = {"user_id": user_id, "key": f"{user_id}/{phrase}", "text": phrase, "intent": intent, "created_at": now, "changed_at": now}
        await self.add_new([{**about, "state": Habit.PROPOSED, "origin": "learned", "weight": 1.0, **values}])

    async def known(self) -> Sequence[Row[str, str, str, str, UUID | None, float]]:
        """Of every pattern its key, text, intent, state, user_id and weight: hundreds are read at every start."""
        return (await self._execute(_KNOWN)).all()

    async def standing(self) -> tuple[Any, ...]:
        """A few figures, other ones whenever a pattern was added or changed, by whatever clock."""
        return tuple((await self._execute(_STANDING)).one())

    async def find(self, key: str) -> Pattern | None:
        """The pattern of this key."""
        return await self._first(Pattern, _PATTERN, the_key=key)


class CachedAnswers(Changing[CachedAnswer]):
    """What a person was told, and may be told again."""

    table = CachedAnswer

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
