"""Puts Robbie together, in reading order: the only file that knows every room."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry

from bot.adapters.markup import last_block, to_html
from bot.adapters.talk import Talk
from bot.adapters.web import CONSOLE, WebAdapter
from bot.brain.analytical import Council
from bot.brain.brain import Brain
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.confidence import Confidence
from bot.brain.context import ContextBuilder
from bot.brain.drill import Drill
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.levels import Gap, find_gaps, make_rungs
from bot.brain.mcp_tools import McpTools
from bot.brain.mesh import Mesh
from bot.brain.providers.offline import OfflineRung
from bot.brain.reactive import Reactive
from bot.brain.reflexes import Reflexes
from bot.brain.reputation import levels_of
from bot.brain.router import Router
from bot.config import Config
from bot.domain.address import Person
from bot.domain.clock import Clock, SystemClock, begin_ids_after
from bot.domain.errand import Tool
from bot.domain.errors import ConfigError
from bot.domain.memory import Embedder
from bot.domain.ports import Adapter, Card, Door, Provider
from bot.hub.auth import Auth
from bot.hub.doctor import Doctor
from bot.hub.feed import Feed
from bot.hub.files import Files
from bot.hub.home import RunningHub, announced, locked, make_folder
from bot.hub.hub import Hub
from bot.hub.identity import Directory
from bot.hub.metrics import TurnMetrics, gauge_nodes
from bot.hub.owner import name_myself
from bot.hub.reception import Front
from bot.hub.server import Server
from bot.hub.supervisor import Supervisor
from bot.hub.timekeeper import Timekeeper
from bot.palace.api import Api
from bot.palace.assets import Assets
from bot.palace.manners import MannersApi
from bot.palace.operations import Operations
from bot.palace.pages import Pages
from bot.palace.transcript import Transcripts
from bot.palace.view import View
from bot.rooms import Rooms, Thinking, furnish
from bot.services.experts import Experts, Limits
from bot.services.memory_tool import SearchMemory
from storage.database import Database
from storage.schema import Progress, SchemaStatus, upgrade

log = structlog.get_logger(__name__)

SDKS = {"slack": ("slack_bolt",), "email": ("imap_tools", "aiosmtplib", "mailparser_reply"), "telegram": ("telegram", "aiolimiter")}


@dataclass(frozen=True, kw_only=True)
class App:
    """All of Robbie, built and not yet running. `prepare` opens the data; `serve` is the hub with its doors.

    `gaps` are the levels that are skipped, can never be reached, or lack their file.
    """

    config: Config
    database: Database
    directory: Directory
    health: HealthBoard
    chain: FallbackChain
    hub: Hub
    front: Front
    supervisor: Supervisor
    timekeeper: Timekeeper
    rooms: Rooms
    doors: Sequence[Door]
    auth: Auth
    registry: CollectorRegistry
    troubles: Callable[[str], Sequence[str]]
    doctor: Doctor
    drill: Drill
    hub_token: str
    clock: Clock
    gaps: tuple[Gap, ...]

    async def migrate(self, progress: Progress = lambda done, total: None) -> SchemaStatus:
        """The database is there, in the present shape. Raises StorageError."""
        if self.database.file is not None:
            make_folder(self.database.file.parent)
        return await upgrade(self.database, progress)

    async def prepare(self, progress: Progress = lambda done, total: None) -> Person:
        """The data is ready, with everyone in it, and the breakers know what they knew; returns the owner. Raises StorageError."""
        make_folder(self.config.robbie.data_dir)
        await self.migrate(progress)
        owner = await self.directory.prepare()
        async with self.database.reading() as work:
            begin_ids_after(await work.messages.latest_id())
        await self.rooms.reflexes.prepare(self.clock.now())
        await self.health.load({rung.id: rung.level for rung in self.chain.rungs})
        return owner

    @asynccontextmanager
    async def serve(self, progress: Progress = lambda done, total: None) -> AsyncIterator[str]:
        """Run the hub and its web server while inside; gives a fresh sign-in link. Raises RobbieError where it cannot start."""
        data_dir = self.config.robbie.data_dir
        make_folder(data_dir)
        with locked(self.database.file):
            owner = await self.prepare(progress)
            async with self.hub, self.server as server:
                with announced(data_dir, RunningHub(url=server.url, token=self.hub_token, pid=os.getpid())):
                    log.info("hub.started", url=server.url)
                    base = self.config.web.public_url.rstrip("/") or server.url
                    try:
                        async with self.chain.mesh, self.supervisor, self.timekeeper:
                            yield base + await self.auth.create_link(owner.id)
                    finally:
                        await self.hub.finish()
            log.info("hub.stopped")

    @cached_property
    def server(self) -> Server:
        """The web server, and every page and route that is reached through it."""
        web, dialect, assets, clock = self.config.web, WebAdapter(), Assets(), self.clock
        view = View(assets=assets, markdown=to_html, last_block=last_block, clock=clock)
        transcripts = Transcripts(database=self.database, door=dialect, clock=clock)
        patience = self.config.brain.turn_seconds * 4
        api = Api(hub=self.hub, auth=self.auth, door=dialect, transcripts=transcripts, clock=clock, patience_seconds=patience)
        pages = Pages(hub=self.hub, door=dialect, transcripts=transcripts, view=view, clock=clock, attention=self._attention)
        operations = Operations(drill=self.drill, clock=clock, health=self.supervisor.health, mesh=self.chain.mesh)
        manners = MannersApi(manners=self.rooms.manners, journal=self.rooms.journal, clock=clock)
        own = (*self.auth.routes, *api.routes, *pages.routes, *assets.routes, *operations.routes, *manners.routes)
        return Server(
            host=web.host,
            port=web.port,
            public_url=web.public_url,
            routes=[*own, *(route for door in self.doors for route in door.routes)],
            middlewares=[self.auth.middleware],
            readiness=self._readiness,
            problem_page=view.problem,
            registry=self.registry,
        )

    async def _attention(self, person: Person) -> tuple[Sequence[str], Sequence[Card]]:
        """What is in trouble, and what waits for this person."""
        return self.troubles(person.timezone) if person.is_owner else (), await self.front.waiting(person)

    async def _readiness(self) -> Mapping[str, bool]:
        """Ready is who can store a message and has a level to ask."""
        has_level = any(self.health.breaker(rung.id).state is not BreakerState.OPEN for rung in self.chain.rungs)
        return {**await self.hub.readiness(), "level": has_level}

    def talk(self, person: Person) -> Talk:
        """A conversation in this process, on the console's own address."""
        return Talk(hub=self.hub, database=self.database, person=person, clock=self.clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of models, channels and data."""
        closing: list[Provider | Door | McpTools | Embedder] = [*(rung.provider for rung in self.chain.rungs), *self.doors, self.rooms.mcp]
        closing += [self.rooms.recall.embedder] if self.rooms.recall.embedder else []
        await asyncio.gather(*(each.close() for each in closing), return_exceptions=True)
        await self.database.close()


def build(
    config: Config,
    *,
    environ: Mapping[str, str],
    rungs: Sequence[Rung] | None = None,
    adapters: Sequence[Adapter] = (),
    doors: Sequence[Door] | None = None,
    tools: Sequence[Tool] = (),
    clock: Clock | None = None,
    database: Database | None = None,
    process: str | None = None,
    tends: bool = True,
    listens: bool = True,
) -> App:
    """Every room, each given what it needs. A test swaps parts by naming them; nothing is opened or contacted here.

    One that does not `listen` knows the web and the console alone, and needs no channel's SDK.
    """
    clock = clock or SystemClock()
    database = database or Database(config.database.url, organization=config.robbie.organization)
    directory = Directory(database=database, robbie=config.robbie, people=config.household(), clock=clock)

    gaps = () if rungs is not None else find_gaps(config.brain.levels, config.mesh.nodes, environ)
    rungs = make_rungs(config.brain.levels, config.mesh.nodes, environ) if rungs is None else rungs
    health = HealthBoard(database=database, clock=clock)
    mesh = Mesh(config=config.mesh, rungs=rungs, health=health, database=database, brief_at=lambda: rooms.briefs.coming_at)
    thinking = Thinking(config=config, database=database, clock=clock, rungs=rungs, health=health, mesh=mesh)
    chain = thinking.chain()
    skipped = sum(gap.is_skipped for gap in gaps)
    ways, reflexes = [rung.id for rung in rungs], Reflexes(database=database)

    def troubles(zone: str) -> Sequence[str]:
        return [*supervisor.troubles(zone), *mesh.troubles(zone)]

    reactive = Reactive(database=database, health=health, rungs=ways, clock=clock, skipped=skipped, reflexes=reflexes, troubles=troubles)
    owner, recall_seconds = config.robbie.owner, config.memory.recall_seconds
    context = ContextBuilder(database=database, owner=owner, clock=clock, recall=thinking.recall, recall_seconds=recall_seconds)
    offline = OfflineRung(database=database)
    router = Router(database=database, levels=levels_of(rungs, thinking.prices), risk=chain.risk)
    confidence = Confidence(database=database, clock=clock)

    parts: dict[str, Any] = {"reactive": reactive, "context": context, "offline": offline, "router": router, "confidence": confidence}

    def brain_over(chain: FallbackChain, **more: Any) -> Brain:
        return Brain(chain=chain, **parts, **more)

    door = WebAdapter()
    registry = CollectorRegistry()
    gauge_nodes(mesh, registry)
    doors = make_doors(config, database=database, clock=clock) if doors is None and listens else doors or ()
    channels: dict[str, Adapter] = {CONSOLE: door} | {adapter.channel: adapter for adapter in (door, *adapters, *doors)}
    folder = config.robbie.data_dir / "attachments"
    files = Files(database=database, doors={each.channel: each for each in doors}, folder=folder)
    mailbox = config.email.address if config.email.enabled or "email" in channels else ""
    off = [name for name in ("slack", "telegram", "email") if name not in channels and not getattr(config, name).enabled]

    tools = (SearchMemory(recall=thinking.recall, clock=clock), *tools)
    rooms = furnish(thinking, chain=chain, reactive=reactive, reflexes=reflexes, tools=tools, mailbox=mailbox, off=off, troubles=troubles)
    council = Council(chain=chain, mode=config.brain.council, usd=config.brain.council_usd)
    brain = brain_over(chain, toolbox=rooms.toolbox, council=council)
    limits = Limits(**config.experts.model_dump())
    hub = Hub(
        database=database,
        brain=brain,
        commands=rooms.commands,
        adapters=channels,
        feed=Feed(),
        owner=process or name_myself(),
        clock=clock,
        approvals=rooms.approvals,
        files=files,
        learning=rooms.learning,
        experts=Experts(brain=brain, database=database, owner=config.robbie.owner, limits=limits, clock=clock),
        metrics=TurnMetrics(registry),
        tends=tends,
    )
    front = Front(
        hub=hub,
        database=database,
        directory=directory,
        pairing=rooms.pairing,
        approvals=rooms.approvals,
        reactive=reactive,
        manners=rooms.manners,
        manner_commands=rooms.manner_commands,
        adapters=channels,
        replies=config.email.replies,
        clock=clock,
    )
    supervisor = Supervisor(doors=doors, reception=front, database=database, clock=clock, registry=registry)
    drill = Drill(chain=chain, brain_over=brain_over, database=database, clock=clock)
    hub_token = secrets.token_urlsafe(32)
    is_secure = config.web.public_url.startswith("https://")
    auth = Auth(database=database, directory=directory, clock=clock, secure=is_secure, hub_token=hub_token)
    doctor = Doctor(
        config=config,
        database=database,
        rungs=rungs,
        prices=thinking.prices,
        environ=environ,
        clock=clock,
        doors=doors,
        mcp=rooms.mcp,
        embedder=thinking.embedder,
    )
    return App(
        config=config,
        database=database,
        directory=directory,
        health=health,
        chain=chain,
        hub=hub,
        rooms=rooms,
        front=front,
        supervisor=supervisor,
        timekeeper=Timekeeper(rounds=rooms.rounds, clock=clock),
        doors=doors,
        auth=auth,
        registry=registry,
        troubles=troubles,
        doctor=doctor,
        drill=drill,
        hub_token=hub_token,
        clock=clock,
        gaps=gaps,
    )


def make_doors(config: Config, *, database: Database, clock: Clock) -> list[Door]:
    """The channels that config switches on; each imports its SDK only then. Raises ConfigError where that is not installed."""
    from bot.adapters.email import EmailAdapter  # not needed by a command that asks and goes
    from bot.adapters.slack import SlackAdapter
    from bot.adapters.telegram import TelegramAdapter

    for name, packages in SDKS.items():
        missing = [each for each in packages if getattr(config, name).enabled and find_spec(each) is None]
        if missing:
            repair = f"`make install`, or pip install 'robbie[{name}]'"
            raise ConfigError(f"{name} needs {', '.join(missing)}, not installed here", key=f"{name}.enabled", repair=repair)
    doors: list[Door] = []
    public_url, owner = config.web.public_url, name_myself()
    if config.slack.enabled:
        doors.append(SlackAdapter(config=config.slack, database=database, clock=clock, public_url=public_url))
    if config.email.enabled:
        doors.append(EmailAdapter(config=config.email, database=database, clock=clock, owner=owner))
    if config.telegram.enabled:
        doors.append(TelegramAdapter(config=config.telegram, database=database, clock=clock, owner=owner, public_url=public_url))
    return doors
