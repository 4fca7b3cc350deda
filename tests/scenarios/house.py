"""Robbie as a whole for scenarios: `bot.app.build` on a real database, with a FAKE model and a FAKE channel in place of the outer world."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from bot.app import App, build
from bot.brain.chain import Rung
from bot.config import BrainConfig, BriefsConfig, Config, DatabaseConfig, EmailConfig, MemoryConfig, PersonConfig, RobbieConfig, WebConfig
from bot.domain.address import Address, Person, Sender, SessionType
from bot.domain.clock import Clock, SystemClock, new_id
from bot.domain.errand import Tool
from bot.domain.errors import ChannelUnavailable, ProviderError, ProviderUnavailable, StorageUnavailable, StreamBroken
from bot.domain.finding import Finding, Status
from bot.domain.message import Attachment, Inbound, Outgoing, Sent
from bot.domain.ports import Capabilities, Reception
from bot.domain.thought import Delta, Finish, Prompt
from bot.hub.hub import Receipt
from storage.database import Database
from storage.models.messaging import InboxEvent, Message
from tests.machine import PATIENCE_SECONDS

PUSH = "push"


class FakeModel:
    """FAKE: answers "re: QUESTION" in two pieces; can be told to fail or to wait, always or at some words."""

    provider = "local"
    model = "fake"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.prompts: list[Prompt] = []
        self.error: ProviderError | None = None
        self.slow_at = ""
        self.fails_at = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.middle = asyncio.Event()
        self.middle.set()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        question = prompt.lines[-1].text.rpartition("</memory>\n\n")[2]
        self.asked.append(question)
        self.prompts.append(prompt)
        if not self.slow_at or self.slow_at in question:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.fails_at and self.fails_at in question:
            raise StreamBroken("FAKE: nothing sensible to say")
        yield Delta(text="re: ")
        await self.middle.wait()
        yield Delta(text=question)
        yield Finish()

    async def models(self) -> tuple[str, ...]:
        return (self.model,)

    async def close(self) -> None:
        """Nothing is open."""

    def hold(self) -> None:
        """Think for ever, from now on."""
        self.gate.clear()

    def fall(self) -> None:
        """Be out of reach, from now on."""
        self.error = ProviderUnavailable("FAKE: out of reach")


class FakePush:
    """FAKE: a channel which messages are pushed to. It keeps what it took; it fails or waits as told, before or after taking it."""

    channel = PUSH

    def __init__(self, *, finds: bool = False, show_seconds: float = 0.0) -> None:
        self.capabilities = Capabilities(finds=finds, show_seconds=show_seconds)
        self.showed: list[Outgoing] = []
        self.hangs_at_show = False
        self.shows_vanish = False
        self.took: list[Outgoing] = []
        self.fails_before: deque[Exception] = deque()
        self.fails_after: deque[Exception] = deque()
        self.waits_before = ""
        self.waits_after = ""
        self.gate = asyncio.Event()

    @property
    def texts(self) -> list[str]:
        return [outgoing.text for outgoing in self.took]

    async def send(self, outgoing: Outgoing) -> Sent:
        if self.fails_before:
            raise self.fails_before.popleft()
        if self.waits_before and self.waits_before in outgoing.text:
            await self.gate.wait()
        self.took.append(outgoing)
        if self.fails_after:
            raise self.fails_after.popleft()
        if self.waits_after and self.waits_after in outgoing.text:
            await self.gate.wait()
        return Sent(channel_message_id=outgoing.channel_message_id or f"m{len(self.took)}")

    async def show(self, outgoing: Outgoing) -> Sent:
        self.showed.append(outgoing)
        if self.hangs_at_show:
            await asyncio.Event().wait()
        return Sent(channel_message_id=outgoing.channel_message_id or (None if self.shows_vanish else f"s{len(self.showed)}"))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        return next((Sent(channel_message_id="found") for took in self.took if took.id == outgoing.id), None)


class FakeDoor(FakePush):
    """FAKE: a channel that Robbie listens on: what it hears it is told by `hears`; it can be refused, fall, or go deaf."""

    routes = ()
    deaf_seconds = 5.0

    def __init__(self, channel: str, *, finds: bool = False, show_seconds: float = 0.0, answers_strangers: bool = True) -> None:
        super().__init__(finds=finds, show_seconds=show_seconds)
        self.channel = channel
        self.capabilities = Capabilities(
            finds=finds, show_seconds=show_seconds, buttons=answers_strangers, answers_strangers=answers_strangers
        )
        self.listens = 0
        self.falls: deque[Exception] = deque()
        self.files: dict[str, bytes] = {}

    async def listen(self, reception: Reception, told: Callable[[], None]) -> None:
        self.listens += 1
        if self.falls:
            raise self.falls.popleft()
        told()
        await asyncio.Event().wait()

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        if attachment.source not in self.files:
            raise ChannelUnavailable("FAKE: gone")
        into.write_bytes(self.files[attachment.source])

    async def close(self) -> None:
        """Nothing is open."""

    async def examine(self) -> Sequence[Finding]:
        return [Finding(part=self.channel, status=Status.OK, detail="FAKE")]

    def says(self, text: str, *, account: str, conversation: str = "", shared: bool = False, **more: Any) -> Inbound:
        """What somebody wrote on this channel."""
        kind = SessionType.SHARED if shared else SessionType.PRIVATE
        told = {"external_id": str(new_id()), "at": SystemClock().now(), **more}
        return Inbound(
            id=new_id(),
            address=Address(channel=self.channel, conversation=conversation or account, session_type=kind),
            sender=Sender(channel=self.channel, account=account, name=account.title()),
            text=text,
            **told,
        )


class FlakyDatabase(Database):
    """A real database that can be told to be away: FAKE only in that."""

    def __init__(self, url: str) -> None:
        super().__init__(url, organization="default")
        self.is_away = False

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[object]:
        self._check()
        async with super().unit_of_work(is_long=is_long) as work:
            yield work
            self._check()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[object]:
        self._check()
        async with super().reading() as work:
            yield work

    def _check(self) -> None:
        """Fail, if told to."""
        if self.is_away:
            raise StorageUnavailable("FAKE: the database is away")


@dataclass
class House:
    """What a scenario touches."""

    app: App
    owner: Person
    model: FakeModel
    push: FakePush

    async def hears(self, text: str, *, conversation: str = "main", channel: str = PUSH, external_id: str = "") -> Receipt:
        """The channel tells the hub what the owner wrote."""
        inbound = Inbound(
            id=new_id(),
            address=Address(channel=channel, conversation=conversation),
            sender=Sender(channel=channel, account=str(self.owner.id)),
            external_id=external_id or str(new_id()),
            text=text,
            at=self.app.clock.now(),
        )
        return await self.app.hub.receive(inbound, self.owner)

    async def reply(self, receipt: Receipt, *, seconds: float = PATIENCE_SECONDS) -> Message:
        """The reply, as a door that waits for it gets it."""
        return await self.app.hub.wait_for_reply(receipt, seconds=seconds)

    async def asks(self, text: str, **where: str) -> Message:
        """What is said, and the reply to it."""
        return await self.reply(await self.hears(text, **where))

    async def said(self, conversation_id: UUID) -> list[str]:
        """Everything Robbie said in a conversation, in order."""
        async with self.app.database.reading() as work:
            messages = await work.messages.latest(conversation_id, limit=1000)
        return [message.text for message in messages if message.direction == "out"]

    async def messages(self, conversation_id: UUID) -> list[Message]:
        """The transcript."""
        async with self.app.database.reading() as work:
            return list(await work.messages.latest(conversation_id, limit=1000))

    async def event(self, event_id: UUID) -> InboxEvent:
        """The ledger's row of a message."""
        async with self.app.database.reading() as work:
            found = await work.inbox.find_by_id(event_id)
        assert found is not None
        return found

    async def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """How many rows of inbox and outbox are in each state."""
        async with self.app.database.reading() as work:
            return await work.inbox.counts(), await work.outbox.counts()

    async def incidents(self) -> list[str]:
        """The kinds of incidents that were recorded."""
        async with self.app.database.reading() as work:
            return [incident.kind for incident in await work.incidents.latest(limit=50)]


def config_of(url: str, folder: Path, **brain: object) -> Config:
    """A household of one, Allan."""
    settings = {"turn_seconds": 30.0, "hedge_seconds": 0.0, "stall_seconds": 20.0} | brain
    return Config(
        robbie=RobbieConfig(owner="Allan", timezone="Europe/Berlin", data_dir=folder),
        database=DatabaseConfig(url=url),
        web=WebConfig(port=0),
        brain=BrainConfig.model_validate(settings),
        memory=MemoryConfig(embedder="none", recall_seconds=PATIENCE_SECONDS),
    )


@asynccontextmanager
async def open_house(
    url: str,
    folder: Path,
    *,
    model: FakeModel | None = None,
    push: FakePush | None = None,
    clock: Clock | None = None,
    database: Database | None = None,
    rungs: Sequence[Rung] | None = None,
    doors: Sequence[FakeDoor] = (),
    tools: Sequence[Tool] = (),
    people: Sequence[PersonConfig] = (),
    replies: str = "approve",
    owner: str = "Allan",
    process: str | None = None,
    tends: bool = True,
    briefs: Mapping[str, str] | None = None,
    **brain: object,
) -> AsyncIterator[House]:
    """A hub that runs while inside, and stops as SIGTERM stops it. Its supervisor is not begun."""
    model, push = model or FakeModel(), push or FakePush()
    rungs = rungs or [rung_of(model)]
    config = config_of(url, folder, **brain)
    email, robbie = (
        EmailConfig.model_validate({"replies": replies, "address": "robbie@home"}),
        config.robbie.model_copy(update={"owner": owner}),
    )
    told = {"people": tuple(people), "email": email, "robbie": robbie, "briefs": BriefsConfig.model_validate(briefs or {})}
    config = config.model_copy(update=told)
    clock = clock or SystemClock()
    parts: dict[str, Any] = {"rungs": rungs, "adapters": [push], "doors": doors, "clock": clock, "database": database}
    parts |= {"process": process, "tends": tends}
    parts |= {"tools": tools} if tools else {}
    async with build(config, environ={}, **parts) as app:
        person = await app.prepare()
        async with app.hub:
            yield House(app=app, owner=person, model=model, push=push)


def rung_of(model: FakeModel, level: str = "first") -> Rung:
    """The model as a level of the chain."""
    return Rung(level=level, provider=model, context=8000, max_output_tokens=200)


async def until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for something to become true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)
