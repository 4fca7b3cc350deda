"""What waits for a person's yes: proposed once, changed at will, and done exactly once when it is approved."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.message import Button, OutgoingKind
from bot.domain.ports import Card
from bot.services.notices import bare_line, say, tell
from storage.database import Database, UnitOfWork
from storage.models.decisions import Proposal, ProposalState

WAITS = timedelta(days=7)
REPLY = "reply"
"""The kind of proposal that answers somebody."""
CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that are taken for one another."""
EXCERPT = 700
"""Characters of what somebody wrote that are shown to whoever decides about the answer."""
LONGEST_NAME = 200
TOO_LATE = "That was decided a moment ago."


def make_code(length: int) -> str:
    """A word that people can read to one another."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(length))


class Approvals:
    """Proposals, and the one who may decide about each."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def propose_reply(
        self, work: UnitOfWork, *, conversation_id: UUID, event_id: UUID, asked: str, about: dict[str, Any], text: str
    ) -> None:
        """Have the owner asked whether *text* may answer what somebody wrote; all in the act of *work*, so that it is asked once.

        `about` is what is known of the writer: `name`, `account`, `subject`, and `is_verified`.
        """
        now, owner, about = self._clock.now(), await work.people.owner(), about | {"asked": asked[:EXCERPT]}
        title = f"Mail from {_writer(about)}: {bare_line(about.get('subject', ''), LONGEST_NAME) or '(no subject)'}"
        what = {"kind": REPLY, "user_id": owner.id, "title": title, "text": text}
        values = {**what, "conversation_id": conversation_id, "event_id": event_id, "details": about}
        code = make_code(4)
        while not await work.proposals.add_once(**values, code=code, created_at=now, expires_at=now + WAITS):
            code = make_code(6)
        await tell(work, owner.id, _told(title, about, text), now=now, buttons=choices(code))

    async def waiting(self, person: Person) -> Sequence[Card]:
        """What this person has to decide."""
        async with self._database.reading() as work:
            proposals = await work.proposals.waiting(person.id, self._clock.now())
        return [Card(text=_told(p.title, p.details, p.text[:EXCERPT]), buttons=choices(p.code)) for p in proposals]

    async def draft(self, person: Person, code: str) -> str | None:
        """The words that wait under *code* for this person's decision."""
        async with self._database.reading() as work:
            found = await work.proposals.find(code.upper())
        return found.text if found is not None and self._why_not(found, person) is None else None

    async def approve(self, person: Person, code: str, text: str = "") -> str:
        """Do it, with other words where some are given; what there is to say about it."""
        return await self._decided(person, code, lambda work, found: self._send(work, found, text or found.text))

    async def edit(self, person: Person, code: str, text: str) -> str:
        """Give a proposal other words; it goes on waiting."""

        async def edited(work: UnitOfWork, found: Proposal) -> str:
            if not text:
                return f"Write the words that I shall send instead: `/edit {found.code} Dear Bob, …`"
            now, told = self._clock.now(), f"{_headed(found.title, found.details)}\n\nI would now answer:\n\n{_quoted(text)}"
            await work.proposals.change(found.id, now=now, text=text)
            await tell(work, person.id, told, now=now, buttons=choices(found.code))
            return ""

        return await self._decided(person, code, edited)

    async def reject(self, person: Person, code: str, _: str = "") -> str:
        """It will not be done."""

        async def rejected(work: UnitOfWork, found: Proposal) -> str:
            now = self._clock.now()
            is_done = await work.proposals.change(found.id, now=now, state=ProposalState.REJECTED, decided_at=now)
            return f"Left unsent: {found.title}." if is_done else TOO_LATE

        return await self._decided(person, code, rejected)

    async def _decided(self, person: Person, code: str, decide: Callable[[UnitOfWork, Proposal], Awaitable[str]]) -> str:
        """What comes of a decision about what waits under *code*, or why it cannot be decided by this person, or now."""
        async with self._database.unit_of_work() as work:
            found = await work.proposals.find(code.upper())
            why_not = self._why_not(found, person)
            return await decide(work, found) if found is not None and why_not is None else why_not or ""

    async def _send(self, work: UnitOfWork, proposal: Proposal, text: str) -> str:
        now = self._clock.now()
        if not await work.proposals.change(proposal.id, now=now, state=ProposalState.APPROVED, decided_at=now, text=text):
            return TOO_LATE
        conversation = await work.conversations.find_by_id(proposal.conversation_id)
        asked = await work.messages.find_by_id(proposal.event_id) if proposal.event_id else None
        assert conversation is not None
        assert asked is not None
        await say(work, conversation, asked.user_id, text, now=now, kind=OutgoingKind.ANSWER, reply_to=asked.id)
        return f"On its way to {_writer(proposal.details)}."

    def _why_not(self, proposal: Proposal | None, person: Person) -> str | None:
        """Why this person cannot decide about it (now); what belongs to somebody else does not even exist."""
        if proposal is None or proposal.user_id != person.id:
            return "Nothing waits under that name. `/approve` alone shows what does."
        if proposal.state != ProposalState.WAITING:
            return f"That was {proposal.state} already: {proposal.title}."
        return "That has waited too long, and is off." if proposal.expires_at <= self._clock.now() else None


def choices(code: str) -> tuple[Button, ...]:
    """What can be done about a proposal."""
    return (
        Button(label="Approve", command=f"/approve {code}"),
        Button(label="Edit", command=f"/edit {code}"),
        Button(label="Reject", command=f"/reject {code}"),
    )


def _told(title: str, about: dict[str, Any], text: str) -> str:
    """A proposal as whoever decides about it reads it: who wrote what, and what the answer would be."""
    return f"{_headed(title, about)}\n\n{_quoted(about.get('asked', ''))}\n\nI would answer:\n\n{_quoted(text)}"


def _headed(title: str, about: dict[str, Any]) -> str:
    """The title, and the doubt about who wrote, wherever somebody is to decide."""
    return f"**{title}**" + ("" if about.get("is_verified") else "\n\n*I cannot tell whether it really comes from that address.*")


def _writer(about: dict[str, Any]) -> str:
    name, account = (bare_line(about.get(key) or "", LONGEST_NAME) for key in ("name", "account"))
    account = account or "somebody"
    return f"{name} ({account})" if name and name != account else account


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.strip().splitlines()) or "> "
