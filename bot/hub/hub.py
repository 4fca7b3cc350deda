"""The life of one message: stored once, answered once, delivered once; what a crash left behind is taken up again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from bot.brain.brain import Brain
from bot.domain.address import Address, Person
from bot.domain.clock import Clock
from bot.domain.errors import StorageError, StorageUnavailable
from bot.domain.message import ASKING, Inbound, OutgoingKind
from bot.domain.ports import Adapter
from bot.domain.thought import Turn
from bot.hub import changes
from bot.hub.commands import Commands
from bot.hub.feed import Feed, Said
from bot.hub.files import Files
from bot.hub.keeping import AS_USUAL, Terms, keep
from bot.hub.late import LateAnswers
from bot.hub.metrics import TurnMetrics
from bot.hub.outbox import Outbox
from bot.hub.owner import is_dead
from bot.hub.patience import comes_within, see_out
from bot.hub.thinking import Thinkers
from bot.hub.workers import ConversationPool
from bot.learning.realtime import Learning
from bot.services.approvals import Approvals
from bot.services.correspondence import heard
from bot.services.experts import Experts
from storage.database import Database
from storage.models.messaging import InboxEvent, InboxState, Message
from storage.repositories.outbox import ToSend

log = structlog.get_logger(__name__)

THINKERS = 64
"""Conversations thought about at once; the models are the limit, not this process."""
TEND_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""Another process may be the one that answers; its replies are looked for this often."""
FINISH_SECONDS = 4.0
"""Of the ten that a stop may take: turns under way may end while those who watch them still can. The web server may need two more."""
DRAIN_SECONDS = 2.0
KNOWN_CONVERSATIONS = 10_000
"""Addresses whose conversation is remembered; any other is looked up."""
REPLIES = (OutgoingKind.ANSWER, OutgoingKind.OFFLINE, OutgoingKind.NOTICE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A stored message; its row in the transcript has the event's id. `is_new` is False for one that was known already."""

    event_id: UUID
    conversation_id: UUID
    is_new: bool


@dataclass(kw_only=True, eq=False)
class Hub:
    """Receives, has thought about, delivers; tends the ledger while it runs. An async context manager: leaving it drains.

    One that does not tend (a single `robbie ask` without a running hub) answers what it received itself, and nothing else.
    """

    database: Database
    brain: Brain
    commands: Commands
    adapters: Mapping[str, Adapter]
    feed: Feed
    owner: str
    clock: Clock
    approvals: Approvals
    files: Files
    learning: Learning
    experts: Experts | None = None
    metrics: TurnMetrics | None = None
    tends: bool = True

    def __post_init__(self) -> None:
        self._conversations: dict[Address, UUID] = {}
        self._queues_at_doors: WeakValueDictionary[Address, asyncio.Lock] = WeakValueDictionary()
        self._unanswered: set[UUID] = set()  # received here, and not answered as far as is known here
        self._waiting: dict[UUID, list[asyncio.Future[Message]]] = defaultdict(list)
        self._outbox = Outbox(database=self.database, adapters=self.adapters, files=self.files, owner=self.owner, clock=self.clock)
        self.database.on_promised = self._promised
        self._thinkers = Thinkers(
            database=self.database,
            brain=self.brain,
            commands=self.commands,
            feed=self.feed,
            owner=self.owner,
            clock=self.clock,
            outbox=self._outbox,
            approvals=self.approvals,
            files=self.files,
            experts=self.experts,
            learning=self.learning,
            recorded=self._recorded,
        )
        self._pool = ConversationPool(name="think", step=self._think, width=THINKERS)
        self._late = LateAnswers(database=self.database, thinkers=self._thinkers, clock=self.clock)
        self._closing = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []

    async def receive(self, inbound: Inbound, person: Person, terms: Terms = AS_USUAL) -> Receipt:
        """Store *inbound* once, however often its channel repeats it; the channel may be told as soon as this returns.

        Raises StorageUnavailable: then nothing is stored, and the channel must not be told.
        """
        async with self._queues_at_doors.setdefault(inbound.address, asyncio.Lock()):  # what came first is stored first
            return await self._store(inbound, person, terms)

    async def _store(self, inbound: Inbound, person: Person, terms: Terms) -> Receipt:
        conversation_id = await self._conversation(inbound, person)
        is_asked, is_message = inbound.kind in ASKING and not terms.is_noted, inbound.kind in ASKING
        state = InboxState.RECEIVED if is_asked else InboxState.NOTED
        async with self.database.unit_of_work() as work:
            is_new = await keep(work, inbound, person, conversation_id, terms=terms, state=state, now=self.clock.now())
            if is_new and is_message and terms.is_stranger:
                await heard(work, inbound, person, can_meet=is_asked, now=self.clock.now())
            elif is_new and is_message and inbound.sender.channel == "email" and inbound.wants_reply:
                await work.contacts.spoke_with(inbound.sender.account, self.clock.now())
            if is_new and not is_message:
                is_asked = await changes.apply(work, inbound, person.id, clock=self.clock, learning=self.learning)
        if not is_new:
            return await self._known(inbound)
        if is_asked and not is_message:
            await self._changed(inbound)
        elif is_asked:
            if len(self._unanswered) >= KNOWN_CONVERSATIONS:
                self._unanswered.clear()
            self._unanswered.add(inbound.id)
            self.feed.publish(conversation_id, Said(message_id=inbound.id))
            self._pool.wake(conversation_id)
        return Receipt(event_id=inbound.id, conversation_id=conversation_id, is_new=True)

    async def _changed(self, inbound: Inbound) -> None:
        """A conversation (a change may come by another address than the message did) has something to answer again."""
        async with self.database.reading() as work:
            event = await work.inbox.find(channel=inbound.sender.channel, account=inbound.sender.account, external_id=inbound.target)
        if event is not None:
            self._pool.wake(event.conversation_id)

    async def wait_for_reply(self, receipt: Receipt, *, seconds: float) -> Message:
        """The reply to a received message, as soon as it is recorded. Raises TimeoutError; the turn goes on all the same."""
        event_id = receipt.event_id
        told: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[event_id].append(told)
        try:
            async with asyncio.timeout(seconds):
                if event_id in self._unanswered:  # it came in here a moment ago: there is nothing to see yet
                    await asyncio.wait([told], timeout=LOOK_SECONDS)
                while not told.done():
                    with suppress(StorageUnavailable):  # the answer is kept meanwhile, and so is whoever waits for it
                        if (reply := await self._find_reply(event_id)) is not None:
                            return reply
                    if not self.tends:  # nobody else looks whether whoever holds the conversation has died
                        self._pool.nudge(receipt.conversation_id)
                    await asyncio.wait([told], timeout=LOOK_SECONDS)
                return told.result()
        finally:
            self._unanswered.discard(event_id)
            self._waiting[event_id].remove(told)
            if not self._waiting[event_id]:
                del self._waiting[event_id]

    async def finish(self) -> None:
        """Let the turns under way come to their end, for a moment; what cannot is cut off on leaving, and taken up at the next start."""
        await self._pool.finish(FINISH_SECONDS)

    async def readiness(self) -> Mapping[str, bool]:
        """Whether messages can be stored."""
        try:
            async with asyncio.timeout(3):
                await self.database.check()
        except (StorageError, TimeoutError):
            return {"database": False}
        return {"database": True}

    async def __aenter__(self) -> Self:
        await self.resume()
        self._watches = [asyncio.create_task(self._tend(), name="tend the ledger")]
        if self.tends:
            self._watches.append(asyncio.create_task(self._late.run(), name="answer late"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._late.close()
        await asyncio.gather(self._pool.drain(DRAIN_SECONDS), see_out(self._watches, DRAIN_SECONDS))
        await self._outbox.drain(1.0)
        await self._let_go({self.owner})

    async def resume(self) -> None:
        """Take up what dead processes of this host left behind. Raises StorageUnavailable."""
        async with self.database.reading() as work:
            owners = await work.inbox.owners() | await work.outbox.owners()
        if dead := {owner for owner in owners if is_dead(owner, self.owner)}:
            await self._let_go(dead)
        if self.tends:
            await self._wake_all()

    async def _think(self, conversation_id: UUID) -> float | None:
        """One step of a conversation's thinking: anyone's, or of a hub that does not tend, only as far as its own questions need it."""
        return await self._thinkers.step(conversation_id) if self.tends or self._unanswered else None

    async def _let_go(self, owners: set[str]) -> None:
        """What these owners were answering is free again; what they, or anyone whose lease ran out, were sending may have arrived."""
        try:
            async with self.database.unit_of_work() as work:
                await work.inbox.release(owners)
                await work.outbox.give_up_on(owners, self.clock.now())
        except StorageError as error:
            log.warning("ledger.not_released", error=str(error))

    async def _tend(self) -> None:
        """Renew leases, and look for work that nobody was woken for: retries that are due, and what other processes left."""
        while not await comes_within(TEND_SECONDS, self._closing):
            try:
                await self._thinkers.renew()
                await self._outbox.renew()
                if self.tends:
                    await self.resume()
            except StorageError as error:
                log.warning("ledger.not_tended", error=str(error))
            except Exception:  # an edge that must survive: without it leases run out
                log.exception("ledger.bug")

    async def _wake_all(self) -> None:
        now = self.clock.now()
        async with self.database.reading() as work:
            to_answer, to_send = await work.inbox.waiting(now), await work.outbox.waiting(now)
            has_lapsed = await work.outbox.lapsed(now)
        for conversation_id in to_answer:
            self._pool.wake(conversation_id)
        for conversation_id, channel in to_send:
            self._outbox.wake(channel, conversation_id)
        if has_lapsed:
            await self._let_go(set())
        await self._late.look()

    def _promised(self, to_send: ToSend) -> None:
        """Something is to be said that nobody asked for: whoever looks at the page sees it, and the workers are woken.

        Those who think as well: somebody may have been let in, and be owed the answer to what they wrote first.
        """
        self.feed.publish(to_send.conversation_id, Said(message_id=to_send.message_id))
        self._outbox.wake(to_send.channel, to_send.conversation_id)
        self._pool.wake(to_send.conversation_id)

    def _recorded(self, reply: Message | None, turn: Turn, event: InboxEvent) -> None:
        """Tell whoever waits for this reply, deliver it where that is still to be done, and catch up once a model is back."""
        if self.metrics is not None:
            self.metrics.count(turn)
        self._unanswered.discard(event.id)
        if reply is not None:
            for told in self._waiting.get(event.id, ()):
                if not told.done():
                    told.set_result(reply)
            self._outbox.wake(event.channel, reply.conversation_id)
        self._late.recorded(turn)

    async def _conversation(self, inbound: Inbound, person: Person) -> UUID:
        known = self._conversations.get(inbound.address)
        if known is not None:
            return known
        async with self.database.unit_of_work() as work:
            conversation = await work.conversations.at(inbound.address, person.id, self.clock.now())
        if len(self._conversations) >= KNOWN_CONVERSATIONS:
            self._conversations.clear()
        self._conversations[inbound.address] = conversation.id
        return conversation.id

    async def _known(self, inbound: Inbound) -> Receipt:
        async with self.database.reading() as work:
            event = await work.inbox.find(channel=inbound.sender.channel, account=inbound.sender.account, external_id=inbound.external_id)
        assert event is not None
        return Receipt(event_id=event.id, conversation_id=event.conversation_id, is_new=False)

    async def _find_reply(self, event_id: UUID) -> Message | None:
        async with self.database.reading() as work:
            return await work.messages.find_reply(event_id, REPLIES)
