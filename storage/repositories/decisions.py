"""Questions about what people decide, and what they think of what they were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, exists, func, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased
from sqlalchemy.sql.functions import count

from bot.domain.clock import new_id
from bot.domain.thought import Tier
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.affairs import Task
from storage.models.decisions import Feedback, Proposal, ProposalState
from storage.models.messaging import Message, OutboxItem, OutboxState
from storage.repositories.base import Repository, Rows, first_id_at, make, ours
from storage.repositories.messaging import DELETED

_ADD = insert_or_skip(Proposal)
_BY_CODE = select(Proposal).where(ours(Proposal), Proposal.code == given("code")).with_for_update()
_WAITING = (
    select(Proposal)
    .where(ours(Proposal), Proposal.state == ProposalState.WAITING)
    .where(Proposal.user_id == given("user"), Proposal.expires_at > given("now"))
    .order_by(Proposal.id)
)
_CHANGE = update(Proposal).where(
    ours(Proposal), Proposal.id == given("proposal"), Proposal.state == ProposalState.WAITING, Proposal.expires_at > given("now")
)
_BY_KEY = select(Proposal).where(ours(Proposal), Proposal.key == given("the_key"))
_EXPIRE = (
    update(Proposal)
    .where(ours(Proposal), Proposal.state == ProposalState.WAITING, Proposal.expires_at <= given("now"))
    .values(state=ProposalState.EXPIRED, decided_at=given("now"))
    .returning(Proposal)
)
_APPROVED = ours(Proposal), Proposal.state == ProposalState.APPROVED
_TO_RUN = select(Proposal).where(*_APPROVED, Proposal.run_at <= given("now")).order_by(Proposal.run_at).limit(50)
_SETTLE = update(Proposal).where(*_APPROVED, Proposal.id == given("which"), Proposal.run_at == given("was"))
_DECIDED = (
    select(Proposal)
    .where(ours(Proposal), Proposal.state.in_((ProposalState.APPROVED, ProposalState.DONE, ProposalState.REJECTED)))
    .where(Proposal.id > given("first"), Proposal.user_id == given("user"), Proposal.decided_at > given("since"))
    .order_by(Proposal.decided_at.desc())
    .limit(given("limit"))
)
_COUNT = (
    select(count()).select_from(Proposal).where(ours(Proposal), Proposal.user_id == given("user"), Proposal.created_at > given("since"))
)
_GIVE = insert_or_replace(Feedback, "value", "source", "detail")
_OPEN = insert_or_skip(Feedback)
_OUTCOME = select(Feedback).where(ours(Feedback), Feedback.message_id == given("message"), Feedback.user_id == given("user"))
_OUTCOMES = select(Feedback).where(
    ours(Feedback), Feedback.user_id == given("user"), Feedback.message_id.in_(given("those", expanding=True))
)
_CHANGE_OUTCOME = update(Feedback).where(ours(Feedback), Feedback.message_id == given("message"), Feedback.user_id == given("user"))
_reply, _question = aliased(Message), aliased(Message)
_SCORED = (
    select(Feedback.level, Feedback.user_id, Feedback.at, Feedback.value, Feedback.score, Feedback.latency_ms, Feedback.cost_usd)
    .where(ours(Feedback), Feedback.task_type == given("sort"), Feedback.tier == Tier.DIRECT, Feedback.score.is_not(None))
    .join(_reply, (_reply.organization_id == Feedback.organization_id) & (_reply.id == Feedback.message_id))
    .join(_question, (_question.organization_id == _reply.organization_id) & (_question.id == _reply.reply_to))
    .where(_reply.kind != DELETED, _question.kind != DELETED)
    .order_by(Feedback.message_id.desc())
    .limit(given("limit"))
)
_SCORED_AT_LEVEL = _SCORED.add_columns(func.substr(_question.text, 1, given("letters"))).where(Feedback.level == given("whose"))
_GIVEN = select(Feedback).where(ours(Feedback), Feedback.message_id == given("message"))
_ANSWERED = select(Feedback).join(Message).where(ours(Feedback), Message.kind.in_(("answer", "late")))
_said = aliased(Message)
_LAST_BEFORE = (
    select(_said.id)
    .where(ours(_said), _said.conversation_id == given("conversation"), _said.id < given("before"), _said.user_id == given("user"))
    .where(_said.kind.not_in((DELETED, "action")))
    .order_by(_said.id.desc())
    .limit(1)
    .scalar_subquery()
)
_LAST_ANSWERED = (
    _ANSWERED.add_columns(_question.text)
    .join(_question, and_(_question.organization_id == Message.organization_id, _question.id == Message.reply_to))
    .where(Message.id == _LAST_BEFORE, Feedback.user_id == given("user"))
)
_SINCE = _ANSWERED.where(Feedback.at >= given("since")).order_by(Feedback.at)
_IS_WEIGHED = ours(Feedback), Feedback.guess.is_not(None), Feedback.score.is_not(None)
_GUESSED = select(Feedback.tier, Feedback.guess, Feedback.score).where(*_IS_WEIGHED).order_by(Feedback.at.desc()).limit(given("limit"))
_OF_MODELS = _ANSWERED.where(Feedback.tier != "reactive", Feedback.user_id == Message.user_id)
_is_unseen = exists().where(
    OutboxItem.organization_id == Message.organization_id, OutboxItem.event_id == Message.reply_to, OutboxItem.state != OutboxState.SENT
)
_UNOPPOSED = _OF_MODELS.where(Feedback.at >= given("since"), Feedback.at < given("until"), Feedback.score.is_(None), ~_is_unseen).limit(
    given("limit")
)
_TASKS_DONE = select(Task.source_id).where(ours(Task), Task.done_at >= given("since"))
_YESES = select(Proposal.event_id).where(ours(Proposal), Proposal.state.in_(("approved", "done")), Proposal.decided_at >= given("since"))
_FOLLOWED = _OF_MODELS.where(Message.reply_to.in_(_TASKS_DONE.union(_YESES)))
_SCORES = (
    select(Feedback.score)
    .where(ours(Feedback), Feedback.pattern == given("whose"), Feedback.score.is_not(None))
    .order_by(Feedback.message_id.desc())
    .limit(500)
)
_SPOKE = ours(Feedback), Feedback.user_id == given("user"), Feedback.mentor != "", Feedback.score.is_not(None)
_BY_MENTOR = select(Feedback.mentor, Feedback.score).where(*_SPOKE).order_by(Feedback.at.desc()).limit(500)


class Scored(NamedTuple):
    """What became of an answer: see the columns of `Feedback`; the question where it is asked for."""

    level: str
    user_id: UUID
    at: datetime
    value: float | None
    score: float
    latency_ms: float
    cost_usd: float
    question: str = ""


class Proposals(Rows[Proposal]):
    """What waits for a person's yes or no; each is decided once."""

    table = Proposal

    async def add_once(self, **values: Any) -> bool:
        """Keep a proposal; False where its code or key is taken. The values are the columns of `Proposal`."""
        return await self._insert(_ADD, id=new_id(), state=ProposalState.WAITING, **values)

    async def find(self, code: str) -> Proposal | None:
        """The proposal of this code, decided or not; whoever else would decide, or edit, waits until this act has ended."""
        return await self._first(Proposal, _BY_CODE, code=code)

    async def waiting(self, user_id: UUID, now: datetime) -> Sequence[Proposal]:
        """What this person has to decide, oldest first."""
        return await self._all(Proposal, _WAITING, user=user_id, now=now)

    async def decided(self, user_id: UUID, *, since: datetime, waits: timedelta, limit: int) -> Sequence[Proposal]:
        """What this person said yes or no to since then, the last first; nothing *waits* longer for it."""
        return await self._all(Proposal, _DECIDED, user=user_id, since=since, first=first_id_at(since - waits), limit=limit)

    async def change(self, proposal_id: UUID, *, now: datetime, **values: Any) -> bool:
        """Give one that still waits these values; whether it did, which of two deciders only one sees."""
        return await self._changes(_CHANGE, proposal=proposal_id, now=now, **values)

    async def find_by_key(self, key: str) -> Proposal | None:
        """The proposal of what this key names."""
        return await self._first(Proposal, _BY_KEY, the_key=key)

    async def count_since(self, user_id: UUID, since: datetime) -> int:
        """How often this person was asked since then."""
        return await self._value(_COUNT, user=user_id, since=since) or 0

    async def expire(self, now: datetime) -> Sequence[Proposal]:
        """What nobody decided in time is off, and given to one who asks."""
        return await self._all(Proposal, _EXPIRE, now=now)

    async def to_run(self, now: datetime) -> Sequence[Proposal]:
        """What was approved and is not done, whose time has come; oldest first."""
        return await self._all(Proposal, _TO_RUN, now=now)

    async def settle(self, proposal: Proposal, **values: Any) -> bool:
        """Give an approved one these values: another time, or that it is done; False where somebody else has taken it since."""
        return await self._changes(_SETTLE, which=proposal.id, was=proposal.run_at, **values)


class Feedbacks(Repository):
    """What people think of answers."""

    async def give(self, *, user_id: UUID, message_id: UUID, value: float, source: str, detail: str, at: datetime) -> None:
        """Keep somebody's last word on a message; `at` is for a row that is not there yet."""
        row = {"user_id": user_id, "message_id": message_id, "value": value, "source": source, "detail": detail, "at": at}
        await self._insert(_GIVE, **row)

    async def open(self, *, user_id: UUID, message_id: UUID, at: datetime, **values: Any) -> None:
        """Begin the record of what becomes of an answer, for whoever asked; the values are the columns of `Feedback`."""
        await self._insert(_OPEN, user_id=user_id, message_id=message_id, value=None, source="", detail="", at=at, **values)

    async def find(self, user_id: UUID, message_id: UUID) -> Feedback | None:
        """What became of an answer for this person."""
        return await self._first(Feedback, _OUTCOME, user=user_id, message=message_id)

    async def of(self, user_id: UUID, message_ids: Sequence[UUID]) -> Mapping[UUID, Feedback]:
        """What became of these answers for this person, by their ids."""
        return {row.message_id: row for row in await self._all(Feedback, _OUTCOMES, user=user_id, those=message_ids)}

    async def change(self, user_id: UUID, message_id: UUID, **values: Any) -> bool:
        """Give a row these values; whether it was there."""
        return await self._changes(_CHANGE_OUTCOME, user=user_id, message=message_id, **values)

    async def scored(self, task_type: str, *, limit: int, level: str | None = None, letters: int = 0) -> list[Scored]:
        """The last answers at a task type of which it is known how good they were, newest first by their ids, which no wrong clock
        disturbs, without what was withdrawn or had several models think; those of *level*, with the first *letters* of their questions.
        """
        statement, more = (_SCORED, {}) if level is None else (_SCORED_AT_LEVEL, {"whose": level, "letters": letters})
        return [Scored(*row) for row in await self._execute(statement, sort=task_type, limit=limit, **more)]

    async def by_mentor(self, user_id: UUID) -> list[tuple[str, float]]:
        """Who spoke in the last of this person's answers that were scored, and the score."""
        return [(who, score) for who, score in await self._execute(_BY_MENTOR, user=user_id)]

    async def scores_of(self, pattern: str) -> Sequence[float]:
        """How well the last answers served that came from a pattern."""
        return [score for score in await self._values(_SCORES, whose=pattern) if score is not None]

    async def on(self, message_id: UUID) -> Sequence[Feedback]:
        """What was said of a message."""
        return await self._all(Feedback, _GIVEN, message=message_id)

    async def last_answered(self, user_id: UUID, conversation_id: UUID, *, before: UUID) -> tuple[Feedback, str] | None:
        """Of the last thing, but presses, said by or to this person in a conversation before a message: its row, and what it answered."""
        row = (await self._execute(_LAST_ANSWERED, user=user_id, conversation=conversation_id, before=before)).first()
        return None if row is None else (make(Feedback, row), row[-1])

    async def aftermath(self, since: datetime, until: datetime, *, limit: int) -> Mapping[str, Sequence[Feedback]]:
        """The models' answers of this time that arrived, of which nothing is known; those since then that led to a task done or a yes."""
        silent = await self._all(Feedback, _UNOPPOSED, since=since, until=until, limit=limit)
        return {"unopposed": silent, "followed": await self._all(Feedback, _FOLLOWED, since=since)}

    async def since(self, moment: datetime) -> Sequence[Feedback]:
        """What became of each answer since then, oldest first; without those that were withdrawn."""
        return await self._all(Feedback, _SINCE, since=moment)

    async def guessed(self, *, limit: int) -> Sequence[tuple[str, float, float]]:
        """Tier, raw confidence and score of the last answers that have both."""
        return [(tier, guess, score) for tier, guess, score in await self._execute(_GUESSED, limit=limit)]
