"""A Robbie to be measured: `bot.app.build` on a SQLite file with synchronous=FULL; FAKE models at 0 ms, a FAKE push channel."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import event

from bot.app import App, build
from bot.brain.chain import Rung
from bot.config import Config, DatabaseConfig, RobbieConfig, WebConfig
from bot.domain.address import Address, Person, Sender
from bot.domain.clock import new_id
from bot.domain.message import Inbound, Outgoing, Sent
from bot.domain.ports import Adapter, Capabilities
from bot.domain.thought import Delta, Finish, Prompt
from storage.database import Database


class InstantModel:
    """FAKE: a model that answers at once."""

    provider = "local"
    model = "instant"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        """Two words and the end."""
        yield Delta(text="Yes, ")
        yield Delta(text="indeed.")
        yield Finish()

    async def models(self) -> tuple[str, ...]:
        """Its own name."""
        return (self.model,)

    async def close(self) -> None:
        """Nothing is open."""


class InstantPush:
    """FAKE: a push channel that takes every message at once."""

    channel = "push"
    capabilities = Capabilities()

    def __init__(self) -> None:
        self.took: list[Outgoing] = []

    async def send(self, outgoing: Outgoing) -> Sent:
        """Take it."""
        self.took.append(outgoing)
        return Sent(channel_message_id=str(len(self.took)))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """It cannot tell."""
        return None


@asynccontextmanager
async def robbie(folder: Path, *, adapters: tuple[Adapter, ...] = ()) -> AsyncIterator[tuple[App, Person]]:
    """A Robbie whose one level answers at once, with its hub running and no web server."""
    config = Config(
        robbie=RobbieConfig(data_dir=folder),
        database=DatabaseConfig(url=f"sqlite+aiosqlite:///{folder}/robbie.db"),
        web=WebConfig(port=0),
    )
    rung = Rung(level="instant", provider=InstantModel(), context=8000, max_output_tokens=500)
    async with build(config, environ={}, rungs=[rung], adapters=adapters) as app:
        owner = await app.prepare()
        async with app.hub:
            yield app, owner


def message(person: Person, *, channel: str = "web", conversation: str = "main", text: str = "Is it so?") -> Inbound:
    """Something a person says; each with an id of its own."""
    event_id = new_id()
    return Inbound(
        id=event_id,
        address=Address(channel=channel, conversation=conversation),
        sender=Sender(channel=channel, account=str(person.id)),
        external_id=str(event_id),
        text=text,
        at=app_now(),
    )


def app_now() -> object:
    """The time, for messages."""
    from bot.domain.clock import SystemClock

    return SystemClock().now()


def raw_commits_per_second(folder: Path, seconds: float = 1.0) -> float:
    """How many commits of one small row SQLite does alone on this disk, in WAL with synchronous=FULL."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT)")
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (b) VALUES (?)", ("x" * 100,))
        connection.execute("COMMIT")
        count += 1
    connection.close()
    return count / (time.perf_counter() - began)


async def unit_of_work_ms(database: Database, times: int = 200) -> float:
    """The median of a bare unit of work: one small insert, committed."""
    took = []
    for index in range(times):
        began = time.perf_counter()
        async with database.unit_of_work() as work:
            await work.incidents.add_once(kind="bench", key=f"{began}-{index}", detail="", now=app_now())
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


class CommitCount:
    """Counts the commits of a database's writer."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        event.listen(database.engine.sync_engine, "commit", self._add)

    def _add(self, _: object) -> None:
        self.count += 1


async def gather_in_waves(jobs: list, width: int) -> list:
    """Run coroutines, so many at a time."""
    gate = asyncio.Semaphore(width)

    async def one(job):
        async with gate:
            return await job

    return await asyncio.gather(*(one(job) for job in jobs))
