"""The ledger's first half at work: claims a message, has it answered, and records turn and promised reply in one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bot.brain.brain import Brain, recalled
from bot.brain.budget import ALLOWANCE_SPENT, settle
from bot.brain.reactive import one_line, reactive_turn
from bot.domain.address import SessionType
from bot.domain.clock import Clock, new_id
from bot.domain.errors import Conflict, StorageUnavailable
from bot.domain.memory import PRIVATE_PLACE, place_of
from bot.domain.message import InboundKind, OutgoingKind
from bot.domain.thought import Question, Turn
from bot.hub.commands import Commands
from bot.hub.feed import Feed, Grown, Said
from bot.hub.files import Files
from bot.hub.keeping import remember
from bot.hub.outbox import Outbox
from bot.hub.owner import claim_of
from bot.hub.patience import outlast
from bot.hub.showing import Showing
from bot.learning.realtime import FACTS, Learning
from bot.learning.signals import heard
from bot.services.approvals import Approvals
from bot.services.experts import Experts
from storage.database import Database, UnitOfWork
from storage.models.messaging import InboxEvent, InboxState, Message
from storage.repositories.base import Claim
from storage.repositories.inbox import Asked

log = structlog.get_logger(__name__)

CRASHES_ALLOWED = 3
CLAIMS_ALLOWED = 25
"""A claim that was neither answered nor failed means that the process died; a message that has seen this many deaths may be their cause."""
FIRST_RETRY_SECONDS = 0.5
_TOLD = ("tier", "level", "provider", "model", "task_type", "confidence", "why", "latency_ms", "cost_usd", "offline")
"""What the details of an answer tell of its turn."""
REPAIRS = ("CredentialsRejected", "ModelNotServed")
"""Failures that only a person can mend; each is recorded once."""
FAILURES_AT_A_QUESTION = ("StreamBroken", "RequestRejected", "ContextTooLong")
"""Of a level that was there, and could not answer this."""

SET_ASIDE = (
    "Something about this message keeps tripping me up, so I have set it aside and made a note for whoever looks after me. "
    "Could you try it in other words?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What became of a claimed event. `rest`: seconds until its conversation is worth another look, None where nothing waits in it.

    `is_settled` is False for a late answer that still no level could give.
    """

    rest: float | None = None
    is_settled: bool = True


@dataclass(kw_only=True, eq=False)
class Thinkers:
    """Answers the messages of one conversation at a time, oldest first."""

    database: Database
    brain: Brain
    commands: Commands
    feed: Feed
    owner: str
    clock: Clock
    outbox: Outbox
    approvals: Approvals
    files: Files
    experts: Experts | None
    learning: Learning
    recorded: Callable[[Message | None, Turn, InboxEvent], None]
    _held: set[UUID] = field(default_factory=set, init=False)

    async def step(self, conversation_id: UUID) -> float | None:
        """Answer the oldest waiting message of a conversation; None where there is none that may be claimed."""
        came = await self._take(lambda work, claim: work.inbox.claim_next(conversation_id, claim))
        return came.rest if came else None

    async def step_late(self, event_id: UUID, *, others_answered: bool) -> bool | None:
        """Try again to answer what the offline rung answered; False where still no level can, None where it may not be tried now.

        `others_answered`: levels answered other questions since the last try in vain.
        """
        came = await self._take(lambda work, claim: work.inbox.claim_queued(event_id, claim), others_answered=others_answered)
        return came.is_settled if came else None

    async def renew(self) -> None:
        """Keep the leases of what is being answered now."""
        if self._held:
            async with self.database.unit_of_work() as work:
                await work.inbox.renew(self._held, claim_of(self.owner, self.clock))

    async def _take(self, claim: Callable[[UnitOfWork, Claim], Awaitable[InboxEvent | None]], **how: bool) -> _Outcome | None:
        """Claim an event and answer it; meanwhile its lease is renewed. None where there is none."""
        async with self.database.unit_of_work() as work:
            event = await claim(work, claim_of(self.owner, self.clock))
            asked = await work.inbox.load(event) if event else None
        if asked is None:
            return None
        self._held.add(asked.event.id)
        try:
            return await self._answer(asked, **how)
        finally:
            self._held.discard(asked.event.id)

    async def _answer(self, asked: Asked, *, others_answered: bool = False) -> _Outcome:
        """Answer and record a claimed event."""
        event = asked.event
        claim = partial(claim_of, self.owner, self.clock)
        stream = _Stream(database=self.database, feed=self.feed, asked=asked, claim=claim, outbox=self.outbox)
        try:
            if event.crashes >= CRASHES_ALLOWED or (event.attempts > CLAIMS_ALLOWED and not _is_late(event)):
                return await self._set_aside(asked, stream)
            try:
                turn = await outlast(lambda: self._think(asked, stream), what="a turn")
            except Conflict as error:  # of the handler's own making: nobody has taken anything over
                return await self._crashed(event, error)
            if turn.queued and _is_late(event):
                return await self._put_off(event, turn, is_to_blame=others_answered and not _is_outage(turn))
            return await self._record(asked, turn, stream=stream)
        except StorageUnavailable:
            raise
        except Conflict as error:
            return self._superseded(event, error)
        except Exception as error:  # a message that breaks its handler must not break the hub, nor be forgotten
            log.exception("turn.crashed", message=str(event.id), crashes=event.crashes + 1)
            return await self._crashed(event, error)
        finally:
            await stream.end()

    async def _think(self, asked: Asked, stream: _Stream) -> Turn:
        question = replace(_question(asked), attachments=await self.files.of(asked.message))
        stream.begin()
        if question.writer:
            return await self.brain.answer(question)
        listener = None if question.is_late or asked.is_held else stream
        crew = await self.experts.answer(question, listener) if self.experts else None
        return crew or await self.commands.run(question) or await self.brain.answer(question, listener)

    async def _record(self, asked: Asked, turn: Turn, *, stream: _Stream, state: InboxState = InboxState.ANSWERED) -> _Outcome:
        """One commit: the reply, the event's new state, the promise to deliver, what it cost."""
        event, state = asked.event, InboxState.QUEUED if turn.queued else state
        await stream.end()
        try:
            reply, has_more = await outlast(lambda: self._commit(asked, turn, stream=stream, state=state), what="a finished turn")
        except Conflict as error:
            return self._superseded(event, error)
        if reply is not None:
            self.feed.publish(reply.conversation_id, Said(message_id=reply.id, reply_to=reply.reply_to))
        self.recorded(reply, turn, event)
        return _Outcome(rest=0.0 if has_more else None)

    def _superseded(self, event: InboxEvent, error: Conflict) -> _Outcome:
        """Someone else answers it: whoever watches it grow here is to look there."""
        log.warning("turn.superseded", message=str(event.id), error=str(error))
        self.feed.publish(event.conversation_id, Said(message_id=event.id, reply_to=event.id))
        return _Outcome(rest=0.0)

    async def _commit(self, asked: Asked, turn: Turn, *, stream: _Stream, state: InboxState) -> tuple[Message | None, bool]:
        """The reply that was recorded, if any, and whether more waits in its conversation: a claim in vain would cost a commit."""
        event, now = asked.event, self.clock.now()
        async with self.database.unit_of_work() as work:
            turn = await self._with_notice(work, turn, asked)
            await work.inbox.settle(event, state, now=now, deferred_at=now if turn.queued else event.deferred_at)
            await self._record_usage(work, event.id, turn)
            if asked.message.kind == InboundKind.MESSAGE and not (asked.is_by_stranger or asked.is_held):
                await heard(work, asked.message, asked.user.id, event.received_at, self.learning)
            if not await self._is_told(work, asked, turn):
                if stream.is_promised or event.attempts > 1:  # what was shown of another answer stays as it is
                    await work.outbox.void(event.id)
                return None, await work.inbox.has_more(event.conversation_id)
            reply = _reply(asked, turn, id=new_id(), at=now)
            reply.recovered = await work.outbox.promise(
                reply,
                delivered=self.outbox.pulls(event.channel),
                streamed=stream.is_promised,
                retried=(event.attempts > 1 and not stream.is_open) or stream.is_doubtful,
                shown_in=stream.shown_in or _pressed(asked, turn),
                now=now,
            )
            await work.messages.add(reply)
            if not asked.is_by_stranger:
                await self._remember(work, asked, reply)
            if turn.kind in (OutgoingKind.ANSWER, OutgoingKind.LATE) and not asked.is_by_stranger:
                learned = {name: getattr(turn, name) for name in (*FACTS, "guess")}
                await work.feedback.open(user_id=asked.user.id, message_id=reply.id, at=reply.at, **learned)
            if asked.is_by_stranger:
                await work.contacts.wrote_to(asked.user.id, asked.event.account, now)
            return reply, await work.inbox.has_more(event.conversation_id)

    async def _is_told(self, work: UnitOfWork, asked: Asked, turn: Turn) -> bool:
        """Whether the turn's words go to who wrote; a press of a button may need none, and what is held goes to the owner first.

        Somebody outside gets an answer or nothing: makeshifts are made of what is private.
        """
        if asked.is_by_stranger or asked.is_held:
            if turn.kind not in (OutgoingKind.ANSWER, OutgoingKind.LATE):
                return False
            if asked.is_held:
                await self._propose(work, asked, turn)
                return False
        return bool(turn.text)

    async def _remember(self, work: UnitOfWork, asked: Asked, reply: Message) -> None:
        conversation = None if reply.session_type == "private" else await work.conversations.find_by_id(reply.conversation_id)
        place = place_of(conversation.channel, conversation.key, reply.session_type) if conversation else PRIVATE_PLACE
        await remember(work, reply, asked.user.person, place=place)

    async def _propose(self, work: UnitOfWork, asked: Asked, turn: Turn) -> None:
        message, sender = asked.message, asked.details.get("sender", {})
        about = {"subject": asked.details.get("thread", {}).get("subject", ""), **sender}
        where = {"conversation_id": message.conversation_id, "event_id": message.id}
        await self.approvals.propose_reply(work, **where, asked=message.text, about=about, text=turn.text)

    async def _with_notice(self, work: UnitOfWork, turn: Turn, asked: Asked) -> Turn:
        """Say once a day that the allowance is used up, to somebody whom that concerns."""
        if not turn.over_budget or asked.is_by_stranger or asked.is_held:
            return turn
        day = self.clock.now().astimezone(ZoneInfo(asked.user.timezone)).date()
        is_news = await work.incidents.add_once(
            kind="allowance", key=str(day), detail="today's allowance ruled out a level", now=self.clock.now()
        )
        return replace(turn, text=turn.text + ALLOWANCE_SPENT) if is_news and not turn.queued else turn

    async def _record_usage(self, work: UnitOfWork, event_id: UUID, turn: Turn) -> None:
        """What the turn cost; and, once each, what only a person can mend."""
        now = self.clock.now()
        await settle(work, turn.attempts, event_id=event_id, now=now)
        for attempt in turn.attempts:
            if attempt.error not in REPAIRS:
                continue
            key = f"{attempt.level}/{attempt.model}/{attempt.error}"
            if await work.incidents.add_once(kind="level", key=key, detail=attempt.detail, now=now):
                log.error("level.needs_repair", rung=attempt.level, model=attempt.model, error=attempt.error, detail=attempt.detail)

    async def _put_off(self, event: InboxEvent, turn: Turn, *, is_to_blame: bool) -> _Outcome:
        """Still no level can answer it: it waits on, and what is blamed as often as a crash would be is given up like one."""
        async with self.database.unit_of_work() as work:
            await work.inbox.settle(event, InboxState.QUEUED, now=self.clock.now(), crashes=event.crashes + int(is_to_blame))
            await self._record_usage(work, event.id, turn)
        return _Outcome(is_settled=False)

    async def _crashed(self, event: InboxEvent, error: Exception) -> _Outcome:
        """Try again a little later; the next claim sees how often it was tried."""
        crashes, now = event.crashes + 1, self.clock.now()
        wait = FIRST_RETRY_SECONDS * 2.0**event.crashes if crashes < CRASHES_ALLOWED else 0.0
        state = InboxState.QUEUED if _is_late(event) else InboxState.RECEIVED
        async with self.database.unit_of_work() as work:
            await work.inbox.settle(event, state, now=now, crashes=crashes, next_attempt_at=now + timedelta(seconds=wait))
            if crashes >= CRASHES_ALLOWED:
                detail = f"{type(error).__name__}: {error}"[:500]
                await work.incidents.add_once(kind="set_aside", key=str(event.id), detail=detail, now=now)
        return _Outcome(rest=wait)

    async def _set_aside(self, asked: Asked, stream: _Stream) -> _Outcome:
        """Stop trying; the person gets an honest line."""
        detail = f"given up after {asked.event.crashes} crashes and {asked.event.attempts} attempts"
        async with self.database.unit_of_work() as work:
            await work.incidents.add_once(kind="set_aside", key=str(asked.event.id), detail=detail, now=self.clock.now())
        text = f"{recalled(_question(asked))} {SET_ASIDE}" if _is_late(asked.event) else SET_ASIDE
        turn = reactive_turn(text, why="three tries failed on this message alone", kind=OutgoingKind.NOTICE)
        return await self._record(asked, turn, stream=stream, state=InboxState.SET_ASIDE)


class _Stream:
    """Shows a growing reply to whoever watches; the promise that it is being shown is committed before its first word is."""

    def __init__(self, *, database: Database, feed: Feed, asked: Asked, claim: Callable[[], Claim], outbox: Outbox) -> None:
        self._database = database
        self._feed = feed
        self._asked = asked
        self._event = asked.event
        self._claim = claim
        self._outbox = outbox
        self._channel: Showing | None = None
        self._is_barred = False
        self.is_open = False
        self.is_promised = False  # perhaps: the news that a commit arrived can be lost
        self.shown_in: str | None = None  # the channel's message, where one is known of
        self.is_doubtful = False  # the channel may show something that is not known of
        self.begin()

    def begin(self) -> None:
        """What comes next is the beginning of a reply: it stands in the place of whatever an earlier try has shown."""
        self._unseen, self._is_new, self._whole = "", True, ""

    async def end(self) -> None:
        """Let nothing more be seen of it on its channel; may be called twice."""
        if self._channel is not None:
            self.is_doubtful = not await self._channel.end()
            self.shown_in = self._channel.known

    async def token(self, text: str) -> None:
        """Show more text, if anybody looks."""
        self._unseen += text
        self._whole += text
        await self._show(whole=self._is_new)

    async def replace(self, text: str) -> None:
        """Show this text instead of what was shown."""
        self._unseen = self._whole = text
        await self._show(whole=True)

    async def _show(self, *, whole: bool) -> None:
        if not self.is_open and not await self._open():
            return
        self._feed.publish(self._event.conversation_id, Grown(event_id=self._event.id, text=self._unseen, whole=whole))
        self._unseen, self._is_new = "", False
        if self._channel is not None:
            self._channel.grow(self._whole)

    async def _open(self) -> bool:
        """Promise it first; what cannot be promised is not shown, and the answer comes in one piece."""
        shows = self._outbox.shows(self._event.channel)
        if self._is_barred or not (shows or self._feed.is_watched(self._event.conversation_id)):
            return False
        self.is_promised = True
        try:
            async with self._database.unit_of_work() as work:
                if not await work.inbox.is_held(self._event):  # it was changed, or passed to somebody else
                    self._is_barred = True
                    return False
                where = {"conversation_id": self._event.conversation_id, "event_id": self._event.id}
                item = await work.outbox.open_stream(**where, claim=self._claim())
                conversation = await work.conversations.find_by_id(self._event.conversation_id) if shows else None
        except StorageUnavailable as error:
            log.warning("stream.not_shown", error=str(error))
            self._is_barred = True
            return False
        is_lost = item.recovered and item.channel_message_id is None  # what a crash left nobody can change: no second one
        if conversation is not None and not is_lost:
            self._channel = self._outbox.showing(item, conversation, self._asked)
        self.is_open = True
        return True


def _is_late(event: InboxEvent) -> bool:
    """Whether the offline rung has answered it already, and this is the real answer's turn."""
    return event.state == InboxState.QUEUED


def _is_outage(turn: Turn) -> bool:
    """Whether a level that may yet answer was away, or not to be paid for."""
    own_fault = {attempt.level for attempt in turn.attempts if attempt.error in FAILURES_AT_A_QUESTION}
    return any(attempt.level not in own_fault for attempt in turn.attempts)


def _question(asked: Asked) -> Question:
    """What is to be answered; the owner reads along where the answer is held, so that it is not private."""
    return Question(
        id=asked.event.id,
        conversation_id=asked.event.conversation_id,
        person=asked.user.person,
        text=asked.message.text,
        asked_at=asked.message.at,
        session_type=SessionType.SHARED if asked.is_held else SessionType(asked.message.session_type),
        is_late=_is_late(asked.event),
        quoted=asked.details.get("quoted", ""),
        is_pressed=asked.message.kind == InboundKind.ACTION,
        writer=_writer(asked) if asked.is_by_stranger else "",
        channel=asked.event.channel,
    )


def _writer(asked: Asked) -> str:
    """Who wrote something that nobody vouches for, and about what; in one line."""
    sender, subject = asked.details.get("sender", {}), asked.details.get("thread", {}).get("subject", "")
    return one_line(f"{sender.get('name', '')} <{sender.get('account', '')}>, about: {subject or 'nothing in particular'}")


def _pressed(asked: Asked, turn: Turn) -> str | None:
    """The channel's message whose button was pressed, where the turn takes its place."""
    return asked.details.get("target") if turn.replaces else None


def _reply(asked: Asked, turn: Turn, *, id: UUID, at: datetime) -> Message:
    """The row of a reply; `details` is what `ask --json` tells."""
    question = asked.message
    return Message(
        organization_id=question.organization_id,
        id=id,
        conversation_id=question.conversation_id,
        user_id=question.user_id,
        direction="out",
        kind=turn.kind,
        text=turn.text,
        at=at,
        session_type=question.session_type,
        reply_to=question.id,
        personality=turn.personality or None,
        details={name: getattr(turn, name) for name in _TOLD}
        | {"latency_ms": round(turn.latency_ms, 1)}
        | ({"outside": True} if turn.is_untrusted else {})
        | ({"path": list(turn.path)} if turn.path else {})
        | ({"tools": list(turn.tools)} if turn.tools else {})
        | ({"recalled": [each.record for each in turn.recalled]} if turn.recalled else {})
        | {name: told for name in ("mentor", "pattern") if (told := getattr(turn, name))}
        | ({"buttons": [[button.label, button.command] for button in turn.buttons]} if turn.buttons else {})
        | ({"replaces": pressed} if (pressed := _pressed(asked, turn)) else {}),
    )
