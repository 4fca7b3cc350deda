"""A whole web door for tests: the real server, sign-in, pages, API, hub and SQLite, over a FAKE brain that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from yarl import URL

from bot.adapters.markup import last_block, to_html
from bot.adapters.web import WebAdapter
from bot.brain.reactive import reactive_turn
from bot.config import PersonConfig, RobbieConfig
from bot.domain.address import Person
from bot.domain.clock import Clock, SystemClock
from bot.domain.message import OutgoingKind
from bot.domain.ports import Card, Listener
from bot.domain.thought import Question, TaskType, Tier, Turn
from bot.hub.auth import Auth
from bot.hub.feed import Feed
from bot.hub.files import Files
from bot.hub.hub import Hub
from bot.hub.identity import Directory
from bot.hub.owner import name_myself
from bot.hub.server import Server
from bot.learning.realtime import Learning
from bot.palace.api import Api
from bot.palace.assets import Assets
from bot.palace.manners import MannersApi
from bot.palace.pages import Pages
from bot.palace.transcript import Transcripts
from bot.palace.view import View
from bot.services.approvals import Approvals
from bot.services.journal import Journal
from bot.services.manners import Manners
from storage.database import Database

HUB_TOKEN = "the-command-line-of-this-machine"


class FakeBrain:
    """FAKE: says the reply that was set for a text (or "heard: TEXT"), piece by piece where it is a list; `hold` keeps it thinking."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.replies: dict[str, str | Sequence[str]] = {}
        self.kind = OutgoingKind.ANSWER
        self.gate = asyncio.Event()
        self.gate.set()
        self.before_piece: Callable[[], Awaitable[None]] | None = None

    async def answer(self, question: Question, listener: Listener | None = None) -> Turn:
        self.asked.append(question.text)
        await self.gate.wait()
        reply = self.replies.get(question.text, f"heard: {question.text}")
        pieces = [] if isinstance(reply, str) else list(reply)
        for piece in pieces:
            if self.before_piece is not None:
                await self.before_piece()
            if listener is not None:
                await (listener.replace(piece[1:]) if piece.startswith("\x01") else listener.token(piece))
        text = reply if isinstance(reply, str) else _final(pieces)
        return _turn(text, self.kind)


class NoCommands:
    """FAKE: knows no slash command."""

    async def run(self, question: Question) -> None:
        return None


class Attention:
    """FAKE: what a person should see to, as it is set."""

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.cards: list[Card] = []

    async def of(self, person: Person) -> tuple[Sequence[str], Sequence[Card]]:
        return self.troubles, self.cards


@dataclass
class House:
    """What a test touches."""

    attention: Attention

    database: Database
    directory: Directory
    owner: Person
    grace: Person
    brain: FakeBrain
    hub: Hub
    auth: Auth
    server: Server
    anonymous: aiohttp.ClientSession
    sessions: AsyncExitStack
    is_ready: dict[str, bool]

    async def script(self, person: Person | None = None) -> aiohttp.ClientSession:
        """A client with a bearer token of this person."""
        _, secret = await self.auth.create_token((person or self.owner).id, "test")
        return await self._session({"Authorization": f"Bearer {secret}"})

    async def command_line(self) -> aiohttp.ClientSession:
        """A client with the hub's own token."""
        return await self._session({"Authorization": f"Bearer {HUB_TOKEN}"})

    async def browser(self, person: Person | None = None) -> aiohttp.ClientSession:
        """A client that opened a sign-in link."""
        session = await self._session({"Origin": self.server.url})
        async with session.get(await self.auth.create_link((person or self.owner).id), allow_redirects=False) as response:
            assert response.status == 303
        return session

    async def _session(self, headers: dict[str, str]) -> aiohttp.ClientSession:
        jar = aiohttp.CookieJar(unsafe=True)
        return await self.sessions.enter_async_context(aiohttp.ClientSession(URL(self.server.url), headers=headers, cookie_jar=jar))


@asynccontextmanager
async def open_house(
    file: Path, *, patience_seconds: float = 5.0, public_url: str = "", clock: Clock | None = None
) -> AsyncIterator[House]:
    """The house on this database file, with Allan who owns it and Grace."""
    clock, brain, door, is_ready = clock or SystemClock(), FakeBrain(), WebAdapter(), {"database": True, "levels": True}
    robbie = RobbieConfig(data_dir=file.parent)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(f"sqlite+aiosqlite:///{file}", organization="default"))
        directory = Directory(database=database, robbie=robbie, people=[PersonConfig(name="Grace")], clock=clock)
        owner = await directory.prepare()
        grace = await directory.by_name("Grace")
        assert grace is not None
        hub = await stack.enter_async_context(
            Hub(
                database=database,
                brain=brain,
                commands=NoCommands(),
                adapters={"web": door},
                feed=Feed(),
                owner=name_myself(),
                clock=clock,
                approvals=Approvals(database=database, clock=clock),
                files=Files(database=database, doors={}, folder=file.parent),
                learning=Learning(),
            )
        )
        auth = Auth(database=database, directory=directory, clock=clock, secure=public_url.startswith("https"), hub_token=HUB_TOKEN)
        transcripts = Transcripts(database=database, door=door, clock=clock)
        assets = Assets()
        view = View(assets=assets, markdown=to_html, last_block=last_block, clock=clock)
        api = Api(hub=hub, auth=auth, door=door, transcripts=transcripts, clock=clock, patience_seconds=patience_seconds)
        attention, journal = Attention(), Journal(database=database, clock=clock)
        manners = MannersApi(manners=Manners(database=database, clock=clock), journal=journal, clock=clock)
        pages = Pages(hub=hub, door=door, transcripts=transcripts, view=view, clock=clock, attention=attention.of, look_seconds=0.05)

        async def readiness() -> dict[str, bool]:
            return is_ready

        server = Server(
            host="127.0.0.1",
            port=0,
            public_url=public_url,
            routes=[*auth.routes, *api.routes, *manners.routes, *pages.routes, *assets.routes],
            middlewares=[auth.middleware],
            readiness=readiness,
            problem_page=view.problem,
            registry=CollectorRegistry(),
        )
        await stack.enter_async_context(server)
        sessions = await stack.enter_async_context(AsyncExitStack())
        anonymous = await sessions.enter_async_context(aiohttp.ClientSession(URL(server.url), cookie_jar=aiohttp.DummyCookieJar()))
        yield House(
            attention=attention,
            database=database,
            directory=directory,
            owner=owner,
            grace=grace,
            brain=brain,
            hub=hub,
            auth=auth,
            server=server,
            anonymous=anonymous,
            sessions=sessions,
            is_ready=is_ready,
        )


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The server-sent events of an answer: name and data."""
    fields: dict[str, list[str]] = defaultdict(list)
    async for raw in response.content:
        line = raw.decode("utf-8").rstrip("\n")
        if line:
            name, _, value = line.partition(":")
            fields[name].append(value.removeprefix(" "))
        elif "data" in fields:
            yield "".join(fields["event"]), "\n".join(fields["data"])
            fields.clear()


async def error_of(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """Status and code of a refusal, having checked its shape."""
    body: dict[str, Any] = json.loads(await response.text())
    assert set(body["error"]) == {"code", "message"}
    return response.status, body["error"]["code"]


def _final(pieces: Sequence[str]) -> str:
    text = ""
    for piece in pieces:
        text = piece[1:] if piece.startswith("\x01") else text + piece
    return text


def _turn(text: str, kind: OutgoingKind) -> Turn:
    if kind is not OutgoingKind.ANSWER:
        return reactive_turn(text, why="a test wants it", kind=kind)
    return Turn(
        text=text,
        kind=kind,
        tier=Tier.DIRECT,
        level="embedded",
        provider="local",
        model="smollm2-135m-instruct",
        task_type=TaskType.QUICK,
        why="embedded answered",
        latency_ms=2300.0,
    )
