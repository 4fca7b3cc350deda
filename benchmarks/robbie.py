"""Robbie as a whole for benchmarks: `bot.app.build` on SQLite with a FAKE model that answers at once and a FAKE push channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event

from bot.app import App, build
from bot.brain.chain import Rung
from bot.config import BrainConfig, Config, IdentityConfig, PersonConfig, RobbieConfig, WebConfig
from bot.config import DatabaseConfig as DatabaseSection
from bot.domain.address import Address, Person, Sender
from bot.domain.clock import new_id
from bot.domain.errors import ChannelUnavailable
from bot.domain.message import Inbound, Outgoing, Sent
from bot.domain.ports import Capabilities
from bot.domain.thought import Delta, Finish, Prompt
from bot.hub.hub import Receipt

PULL, PUSH = "console", "push"


class InstantModel:
    """FAKE: answers in two pieces, at once."""

    provider = "local"
    model = "instant"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        """See `Provider.stream`."""
        yield Delta(text="re: ")
        yield Delta(text=prompt.lines[-1].text.rpartition("</memory>\n\n")[2])
        yield Finish()

    async def models(self) -> tuple[str, ...]:
        """Itself."""
        return (self.model,)

    async def close(self) -> None:
        """Nothing is open."""


class InstantPush:
    """FAKE: a channel that takes every message at once, unless it `refuses`; `said` is what it took, with the loop's time."""

    capabilities = Capabilities()

    def __init__(self, channel: str = PUSH) -> None:
        self.channel = channel
        self.took: dict[str, asyncio.Event] = {}
        self.said: list[tuple[float, Outgoing]] = []
        self.refuses = False

    async def send(self, outgoing: Outgoing) -> Sent:
        """Take it."""
        if self.refuses:
            raise ChannelUnavailable("FAKE: refused")
        self.said.append((asyncio.get_running_loop().time(), outgoing))
        self.took.setdefault(outgoing.reply_to or "", asyncio.Event()).set()
        return Sent(channel_message_id=str(outgoing.id))

    async def show(self, outgoing: Outgoing) -> Sent:
        """It shows nothing that grows."""
        return Sent()

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """It cannot tell."""
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What a benchmark drives."""

    app: App
    owner: Person
    push: InstantPush
    commits: Callable[[], int]

    async def bring(self, text: str, *, channel: str, conversation: str, external_id: str, **more: Any) -> None:
        """Something of the owner's comes in at a door, as that door brings it."""
        inbound = Inbound(
            id=new_id(),
            address=Address(channel=channel, conversation=conversation),
            sender=Sender(channel=channel, account="1"),
            external_id=external_id,
            text=text,
            at=self.app.clock.now(),
            **more,
        )
        await self.app.front.receive(inbound)

    async def hear(self, text: str, *, conversation: str, channel: str = PULL) -> tuple[Receipt, str]:
        """Receive one message; its receipt and the channel's id of it."""
        external_id = str(new_id())
        inbound = Inbound(
            id=new_id(),
            address=Address(channel=channel, conversation=conversation),
            sender=Sender(channel=channel, account="bench"),
            external_id=external_id,
            text=text,
            at=self.app.clock.now(),
        )
        return await self.app.hub.receive(inbound, self.owner), external_id

    async def turn(self, text: str, *, conversation: str, channel: str = PULL) -> None:
        """Receive one message and wait until its reply is there: recorded where readers pull, taken by the channel where it is pushed."""
        receipt, external_id = await self.hear(text, conversation=conversation, channel=channel)
        if channel == PUSH:
            await self.push.took.setdefault(external_id, asyncio.Event()).wait()
        else:
            await self.app.hub.wait_for_reply(receipt, seconds=60)


@asynccontextmanager
async def running(folder: Path, *, others: Sequence[InstantPush] = ()) -> AsyncIterator[Bench]:
    """A hub on a fresh SQLite file, while inside; the owner has the account "1" on each channel."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    accounts = tuple(IdentityConfig(platform=each.channel, id="1") for each in others)  # type: ignore[arg-type]
    config = Config(
        robbie=RobbieConfig(owner="Allan", timezone="UTC", data_dir=folder),
        database=DatabaseSection(url=f"sqlite+aiosqlite:///{folder / 'bench.db'}"),
        web=WebConfig(port=0),
        brain=BrainConfig(),
        people=(PersonConfig(name="Allan", role="owner", identities=accounts),),
    )
    push, count = InstantPush(), [0]
    rung = Rung(level="instant", provider=InstantModel(), context=8000, max_output_tokens=100)
    async with build(config, environ={}, rungs=[rung], adapters=[push, *others]) as app:

        @event.listens_for(app.database.engine.sync_engine, "commit")
        def committed(_: object) -> None:
            count[0] += 1

        owner = await app.prepare()
        async with app.hub:
            yield Bench(app=app, owner=owner, push=push, commits=lambda: count[0])
