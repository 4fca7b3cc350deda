"""Learns from what becomes of an answer, in the commit that writes it down: its score, and what leans on scores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database import UnitOfWork
from storage.dialects import lock_until_commit
from storage.models.decisions import Feedback
from storage.models.messaging import Message
from storage.repositories.messaging import DELETED

ANSWERS = ("answer", "late")
FACTS = ("tier", "level", "task_type", "mentor", "pattern", "latency_ms", "cost_usd", "confidence")  # as a message's `details` tell them
LOCK = "learning"  # among several hubs too: what is made anew of all rows must see those of whoever came before


def takes_word(message: Message) -> bool:
    """Whether it is an answer that may be judged: a model's, or one of a pattern; not what a command said."""
    told = message.details or {}
    return message.kind in ANSWERS and bool(told.get("model") or told.get("pattern"))


def score_of(value: float | None, signals: Mapping[str, float]) -> float | None:
    """How well an answer served (0 to 1): what its person said of it (-1 to 1; 0: taken back), else what they did, added up; else None."""
    if not value and not signals:
        return None
    return (1 + (value or max(-1.0, min(1.0, sum(signals.values()))))) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning:
    """Learns in the act that writes. Each of `learners` is told there of every row whose score changed (None: it counts no more)."""

    learners: Sequence[Callable[[UnitOfWork, Feedback, datetime], Awaitable[None]]] = ()

    async def rate(
        self, work: UnitOfWork, user_id: UUID, message: Message, *, value: float, source: str, detail: str, now: datetime
    ) -> None:
        """Keep somebody's last word on what Robbie said, and learn from it; it counts as well where another had asked."""
        await lock_until_commit(work.connection, LOCK)
        facts = {name: told for name in FACTS if (told := (message.details or {}).get(name)) is not None}
        await work.feedback.open(user_id=user_id, message_id=message.id, at=now, **facts)
        await work.feedback.give(user_id=user_id, message_id=message.id, value=value, source=source, detail=detail, at=now)
        await self._learn(work, user_id, message.id, now)

    async def note(self, work: UnitOfWork, row: Feedback, signals: Mapping[str, float], now: datetime) -> None:
        """Keep what somebody did about an answer, each deed once by its name, and learn from it."""
        await lock_until_commit(work.connection, LOCK)
        known = await work.feedback.find(row.user_id, row.message_id)
        if known is not None and not signals.keys() <= known.signals.keys():
            await work.feedback.change(row.user_id, row.message_id, signals={**signals, **known.signals})
            await self._learn(work, row.user_id, row.message_id, now)

    async def unlearn(self, work: UnitOfWork, question_id: UUID, now: datetime) -> None:
        """A question was withdrawn: what its answer taught is taken back."""
        await lock_until_commit(work.connection, LOCK)
        reply = await work.messages.find_reply(question_id, ANSWERS)
        for row in await work.feedback.on(reply.id) if reply else ():
            await self._learn(work, row.user_id, row.message_id, now)

    async def _learn(self, work: UnitOfWork, user_id: UUID, message_id: UUID, now: datetime) -> None:
        """Score an answer by its row, and pass on what that changes; what was withdrawn, or is no answer, has no score."""
        row, answer = await work.feedback.find(user_id, message_id), await work.messages.find_by_id(message_id)
        asked = await work.messages.find_by_id(answer.reply_to) if answer and answer.kind in ANSWERS and answer.reply_to else None
        score = score_of(row.value, row.signals) if row and asked and asked.kind != DELETED else None
        if row is not None and score != row.score:
            row.score, row.scored_at = score, None if score is None else now
            await work.feedback.change(user_id, message_id, score=score, scored_at=row.scored_at)
            for learner in self.learners:
                await learner(work, row, now)
