"""What waits for a person's yes: proposed once, changed at will, and done exactly once when it is approved."""

from __future__ import annotations

import asyncio
import difflib
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand, Risk
from bot.domain.errors import Conflict, NotAllowed, StorageError, ToolFailed
from bot.domain.message import Button, OutgoingKind
from bot.domain.ports import Card
from bot.services.journal import record
from bot.services.notices import bare_line, private_place, say, tell
from storage.database import Database, UnitOfWork
from storage.models.decisions import Proposal, ProposalState

log = structlog.get_logger(__name__)

WAITS = timedelta(days=7)
BATCH = timedelta(hours=1)
"""What ran out within so long is told in one message."""
LEASE = timedelta(minutes=1)
"""Whoever does an approved thing has so long before it is taken for undone; RUN_SECONDS is well within."""
RUN_SECONDS = 40.0
TRIES_FOR = timedelta(hours=1)
REPLY = "reply"
"""The kind of proposal that answers somebody."""
CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that are taken for one another."""
MOST_LETTERS = 16
EXCERPT = 700
"""Characters of what somebody wrote that are shown to whoever decides about the answer."""
LONGEST_NAME = 200
TOO_LATE = "That was decided a moment ago."
GOING_ON = "That takes longer than it should. I go on with it, and tell you what came of it."
GIVEN_UP = "I tried for an hour, and it could not be done."
NO_WORDS = "There are no words in that to change. `/reject {code}`, and tell me what you would rather have."


@dataclass(frozen=True, kw_only=True, slots=True)
class Later:
    """What a runner answers that cannot do it yet: what there is to say, and when it is to be asked again."""

    text: str
    at: datetime


Runner = Callable[[UnitOfWork, Proposal, datetime], Awaitable[str | Later]]
"""Does what was approved, of one kind, in the act of the approval, and says what was done. Raises ToolFailed, NotAllowed: it waits on."""
Doer = Callable[[Proposal], Awaitable[str]]
"""Does it after the approval is kept, in acts of its own or out in the world, at most once for the proposal's key. Raises the same."""


def make_code(length: int) -> str:
    """A word that people can read to one another."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(length))


async def propose(
    work: UnitOfWork,
    errand: Errand,
    *,
    kind: str,
    action: str,
    risk: Risk,
    title: str,
    about: str,
    now: datetime,
    text: str = "",
    details: Mapping[str, Any] | None = None,
) -> Proposal:
    """Have the errand's person asked, in private, whether this may be done; once for the errand's key. The proposal, new or known.

    `kind` names what does it, `action` is what the ladder knows it by. Shown are `title`, `about` (Markdown) and `text`, the words that
    would be said, which may be edited. `details` are for its runner, which gets the errand again from `errand_of`.
    """
    place = errand.conversation_id or (await private_place(work, errand.person.id, now=now)).id
    known = {"action": action, "risk": int(risk), "about": about, "why": errand.why, **(details or {})}
    what = {"kind": kind, "user_id": errand.person.id, "title": title, "text": text, "details": known, "key": errand.key}
    return await _proposed(work, **what, conversation_id=place, event_id=errand.source_id, now=now)


async def errand_of(work: UnitOfWork, proposal: Proposal) -> Errand:
    """The errand of something approved: Robbie's, vouched for by whoever said yes. Raises NotAllowed where they have left."""
    user = await work.people.find_user_by_id(proposal.user_id)
    if user is None or user.role not in ("owner", "member"):
        raise NotAllowed("whoever approved it has left")
    person = user.person
    why = "; ".join(filter(None, (proposal.details.get("why"), "you approved it")))
    where, source = proposal.conversation_id, proposal.event_id
    return Errand(person=person, key=proposal.key or str(proposal.id), why=why, actor="robbie", conversation_id=where, source_id=source)


async def _proposed(work: UnitOfWork, *, now: datetime, **values: Any) -> Proposal:
    """Keep a proposal and tell of it, unless there is one of its key."""
    if (known := await work.proposals.find_by_key(values["key"])) is not None:
        return known
    code = make_code(4)
    while not await work.proposals.add_once(**values, code=code, created_at=now, expires_at=now + WAITS):
        if (known := await work.proposals.find_by_key(values["key"])) is not None:
            return known
        code = make_code(6)
    made = await work.proposals.find(code)
    assert made is not None
    await tell(work, made.user_id, _shown(made), now=now, buttons=choices(made))
    return made


class Approvals:
    """Proposals, and the one who may decide about each. `runners` and `doers` do what was approved, by its kind.

    It is a round, too: what ran out is told, and what was approved and could not be done yet, or whose process died, is done.
    """

    name = "approvals"

    def __init__(
        self, *, database: Database, clock: Clock, runners: Mapping[str, Runner] | None = None, doers: Mapping[str, Doer] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._runners: dict[str, Runner] = {REPLY: _send, **(runners or {})}
        self._doers = doers or {}
        self._expires_at: datetime | None = None

    async def propose_reply(
        self, work: UnitOfWork, *, conversation_id: UUID, event_id: UUID, asked: str, about: dict[str, Any], text: str
    ) -> None:
        """Have the owner asked whether *text* may answer what somebody wrote; all in the act of *work*, so that it is asked once.

        `about` is what is known of the writer: `name`, `account`, `subject`, and `is_verified`.
        """
        now, owner, about = self._clock.now(), await work.people.owner(), about | {"asked": asked[:EXCERPT]}
        title = f"Mail from {_writer(about)}: {bare_line(about.get('subject', ''), LONGEST_NAME) or '(no subject)'}"
        what = {"kind": REPLY, "user_id": owner.id, "title": title, "text": text, "details": about, "key": f"reply/{event_id}"}
        await _proposed(work, **what, conversation_id=conversation_id, event_id=event_id, now=now)

    async def waiting(self, person: Person) -> Sequence[Card]:
        """What this person has to decide."""
        async with self._database.reading() as work:
            proposals = await work.proposals.waiting(person.id, self._clock.now())
        return [Card(text=_shown(proposal, EXCERPT), buttons=choices(proposal)) for proposal in proposals]

    async def draft(self, person: Person, code: str) -> str | None:
        """The words that wait under *code* for this person's decision; None also where there are none to change."""
        async with self._database.reading() as work:
            found = await self._found(work, person, code)
        return found.text or None if isinstance(found, Proposal) else None

    async def approve(self, person: Person, code: str, text: str = "") -> str:
        """Do it, with other words where some are given; what there is to say about it."""
        try:
            async with self._database.unit_of_work() as work:
                found = await self._found(work, person, code)
                came = found if isinstance(found, str) else await self._approved(work, found, text)
        except (ToolFailed, NotAllowed) as error:
            return _plain(error)
        return came if isinstance(came, str) else await self._do(came, is_asked=True)

    async def _approved(self, work: UnitOfWork, found: Proposal, text: str) -> str | Proposal:
        """What came of it, or the proposal where it is done only after this act."""
        if text and not found.text:
            return NO_WORDS.format(code=found.code)
        now, details = self._clock.now(), found.details | ({"edited": True} if text else {})
        values: dict[str, Any] = {"text": text or found.text, "details": details, "decided_at": now, "run_at": now + LEASE}
        if not await work.proposals.change(found.id, now=now, state=ProposalState.APPROVED, **values):
            return TOO_LATE
        kept = replace(found, **values)
        return kept if kept.kind in self._doers else await self._run(work, kept, now)

    async def edit(self, person: Person, code: str, text: str) -> str:
        """Give a proposal other words; it goes on waiting."""
        async with self._database.unit_of_work() as work:
            found = await self._found(work, person, code)
            if isinstance(found, str):
                return found
            if not found.text:
                return NO_WORDS.format(code=found.code)
            if not text:
                return f"Write the words that I shall send instead: `/edit {found.code} Dear Bob, …`"
            now, told = self._clock.now(), f"{_headed(found.title, found.details)}\n\nI would now answer:\n\n{_quoted(text)}"
            if not await work.proposals.change(found.id, now=now, text=text, details=found.details | {"edited": True}):
                return TOO_LATE
            await tell(work, person.id, told, now=now, buttons=choices(found))
            return ""

    async def reject(self, person: Person, code: str, _: str = "") -> str:
        """It will not be done."""
        async with self._database.unit_of_work() as work:
            found, now = await self._found(work, person, code), self._clock.now()
            if isinstance(found, str):
                return found
            is_done = await work.proposals.change(found.id, now=now, state=ProposalState.REJECTED, decided_at=now)
            return f"Left {'unsent' if found.text else 'undone'}: {found.title}." if is_done else TOO_LATE

    async def look(self, now: datetime) -> datetime | None:
        """Tell what ran out, hourly; do what was approved and is not done. Raises StorageUnavailable."""
        if self._expires_at is None or self._expires_at <= now:
            await self._expire(now)
            self._expires_at = now + BATCH
        async with self._database.reading() as work:
            to_run = await work.proposals.to_run(now)
        for proposal in to_run:
            taken = replace(proposal, run_at=now + LEASE)
            async with self._database.unit_of_work() as work:
                is_ours = await work.proposals.settle(proposal, run_at=taken.run_at)
            if is_ours:
                await self._do(taken, is_asked=False)
        return None

    async def _expire(self, now: datetime) -> None:
        """One message to each, of all that ran out."""
        lapsed: dict[UUID, list[str]] = defaultdict(list)
        async with self._database.unit_of_work() as work:
            for proposal in await work.proposals.expire(now):
                lapsed[proposal.user_id].append(f"- {proposal.title}")
            for user_id, titles in lapsed.items():
                await tell(work, user_id, "\n".join(["Nobody decided about this in time, so it is off:\n", *titles]), now=now)

    async def _run(self, work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
        """Do it in this act, or put it off; what there is to say."""
        if (runner := self._runners.get(proposal.kind)) is None:
            raise ToolFailed("I do not know any more how to do that.")
        came = await runner(work, proposal, now)
        if not await work.proposals.settle(proposal, **({"run_at": came.at} if isinstance(came, Later) else {"state": ProposalState.DONE})):
            raise Conflict(f"proposal {proposal.code} was taken by somebody else meanwhile")
        return came.text if isinstance(came, Later) else came

    async def _do(self, proposal: Proposal, *, is_asked: bool) -> str:
        """Do what is approved already; what came of it, which is also told where nobody asks for it."""
        try:
            async with asyncio.timeout(RUN_SECONDS):
                if (doer := self._doers.get(proposal.kind)) is None:
                    return await self._run_late(proposal)
                came, state = await doer(proposal), ProposalState.DONE
        except (ToolFailed, NotAllowed) as error:
            came, state = _plain(error), ProposalState.FAILED
        except StorageError:
            raise
        except Exception:  # an edge that must survive: what a tool or its server does is not foreseen
            log.exception("approved.not_done", code=proposal.code)
            if self._clock.now() - (proposal.decided_at or proposal.created_at) < TRIES_FOR:
                return GOING_ON  # the round tries again when the lease has run out
            came, state = GIVEN_UP, ProposalState.FAILED
        async with self._database.unit_of_work() as work:
            if await work.proposals.settle(proposal, state=state) and not is_asked:
                await tell(work, proposal.user_id, f"{proposal.title}: {came}", now=self._clock.now())
        return came

    async def _run_late(self, proposal: Proposal) -> str:
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            said = await self._run(work, proposal, now)
            await tell(work, proposal.user_id, said, now=now)
        return said

    async def _found(self, work: UnitOfWork, person: Person, code: str) -> Proposal | str:
        """What this person can decide about now, or why not; what belongs to somebody else does not even exist."""
        proposal, now = await work.proposals.find(code.upper()[:MOST_LETTERS]), self._clock.now()
        if proposal is None or proposal.user_id != person.id:
            codes = [each.code for each in await work.proposals.waiting(person.id, now)]
            nearest = "".join(f" Did you mean `{near}`?" for near in difflib.get_close_matches(code.upper()[:MOST_LETTERS], codes, n=1))
            return f"Nothing waits under that name.{nearest} `/approve` alone shows what does."
        if proposal.state == ProposalState.EXPIRED or (proposal.state == ProposalState.WAITING and proposal.expires_at <= now):
            return "That has waited too long, and is off."
        is_yes = proposal.state in (ProposalState.DONE, ProposalState.FAILED)
        already = f"That was {'approved' if is_yes else proposal.state} already: {proposal.title}."
        return proposal if proposal.state == ProposalState.WAITING else already


async def _send(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
    """The runner of replies."""
    conversation = await work.conversations.find_by_id(proposal.conversation_id)
    asked = await work.messages.find_by_id(proposal.event_id) if proposal.event_id else None
    assert conversation is not None
    assert asked is not None
    writer = _writer(proposal.details)
    await record(work, await errand_of(work, proposal), "mail.reply", f"answered {writer}", now=now)
    await work.contacts.wrote_to(proposal.user_id, proposal.details.get("account", ""), now)
    await say(work, conversation, asked.user_id, proposal.text, now=now, kind=OutgoingKind.ANSWER, reply_to=asked.id)
    return f"On its way to {writer}."


def choices(proposal: Proposal) -> tuple[Button, ...]:
    """What can be done about a proposal; only words can be edited."""
    verbs = ("approve", "edit", "reject") if proposal.text else ("approve", "reject")
    return tuple(Button(label=verb.title(), command=f"/{verb} {proposal.code}") for verb in verbs)


def _shown(proposal: Proposal, longest: int | None = None) -> str:
    """A proposal as whoever decides about it reads it: who wants what, and the words that would be said."""
    about = proposal.details.get("about") or f"{_quoted(proposal.details.get('asked', ''))}\n\nI would answer:"
    words = [_quoted(proposal.text[:longest])] if proposal.text else []
    return "\n\n".join([_headed(proposal.title, proposal.details), about, *words])


def _headed(title: str, details: Mapping[str, Any]) -> str:
    """The title, and the doubt about who wrote, wherever somebody is to decide."""
    is_doubtful = "asked" in details and not details.get("is_verified")
    return f"**{title}**" + ("\n\n*I cannot tell whether it really comes from that address.*" if is_doubtful else "")


def _plain(error: ToolFailed | NotAllowed) -> str:
    """What a person is told: of these two, only the one is meant for them."""
    return str(error) if isinstance(error, ToolFailed) else "That is not allowed."


def _writer(about: Mapping[str, Any]) -> str:
    name, account = (bare_line(about.get(key) or "", LONGEST_NAME) for key in ("name", "account"))
    account = account or "somebody"
    return f"{name} ({account})" if name and name != account else account


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.strip().splitlines()) or "> "
