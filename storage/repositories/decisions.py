"""Questions about what people decide, and what they think of what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy import bindparam as given

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.decisions import Feedback, Proposal, ProposalState
from storage.models.messaging import Message
from storage.repositories.base import Repository, first_id_at, ours

_ADD = insert_or_skip(Proposal)
_BY_CODE = select(Proposal).where(ours(Proposal), Proposal.code == given("code"))
_WAITING = (
    select(Proposal)
    .where(ours(Proposal), Proposal.state == ProposalState.WAITING)
    .where(Proposal.user_id == given("user"), Proposal.expires_at > given("now"))
    .order_by(Proposal.id)
)
_CHANGE = update(Proposal).where(
    ours(Proposal), Proposal.id == given("proposal"), Proposal.state == ProposalState.WAITING, Proposal.expires_at > given("now")
)
_GIVE = insert_or_replace(Feedback, "value", "source", "detail", "at")
_SAID = (
    select(Message.conversation_id, Message.at, Message.direction == "out", func.length(Message.text), Feedback.value)
    .outerjoin(
        Feedback,
        and_(Feedback.organization_id == Message.organization_id, Feedback.message_id == Message.id, Feedback.user_id == Message.user_id),
    )
    .where(ours(Message), Message.user_id == given("user"), Message.session_type == "private", Message.at > given("since"))
    .where(Message.id >= given("first"), or_(Message.direction == "in", Message.personality.is_not(None)))
    .order_by(Message.id.desc())
    .limit(given("limit"))
)
_GIVEN = select(Feedback).where(ours(Feedback), Feedback.message_id == given("message"))


class Proposals(Repository):
    """What waits for a person's yes or no; each is decided once."""

    async def add_once(self, **values: Any) -> bool:
        """Keep a proposal; False where its code is taken. The values are the columns of `Proposal`."""
        return await self._insert(_ADD, id=new_id(), state=ProposalState.WAITING, **values)

    async def find(self, code: str) -> Proposal | None:
        """The proposal of this code, decided or not."""
        return await self._first(Proposal, _BY_CODE, code=code)

    async def waiting(self, user_id: UUID, now: datetime) -> Sequence[Proposal]:
        """What this person has to decide, oldest first."""
        return await self._all(Proposal, _WAITING, user=user_id, now=now)

    async def change(self, proposal_id: UUID, *, now: datetime, **values: Any) -> bool:
        """Give one that still waits these values; whether it did, which of two deciders only one sees."""
        return await self._changes(_CHANGE, proposal=proposal_id, now=now, **values)


class Said(NamedTuple):
    """What a person wrote, or a model answered them, how long it is, and the person's rating if they gave one."""

    conversation_id: UUID
    at: datetime
    is_answer: bool
    letters: int
    rating: float | None


class Feedbacks(Repository):
    """What people think of answers."""

    async def said(self, user_id: UUID, *, since: datetime, limit: int = 4000) -> list[Said]:
        """The last things said in private between a person and a model, oldest first."""
        rows = await self._execute(_SAID, user=user_id, since=since, first=first_id_at(since), limit=limit)
        return [Said(*row) for row in rows.all()[::-1]]

    async def give(self, *, user_id: UUID, message_id: UUID, value: float, source: str, detail: str, at: datetime) -> None:
        """Keep somebody's last word on a message."""
        row = {"user_id": user_id, "message_id": message_id, "value": value, "source": source, "detail": detail, "at": at}
        await self._insert(_GIVE, **row)

    async def on(self, message_id: UUID) -> Sequence[Feedback]:
        """What was said of a message."""
        return await self._all(Feedback, _GIVEN, message=message_id)
