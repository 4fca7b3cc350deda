"""The one door to the data: a unit of work is one transaction, committed on leaving it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import Conflict, StorageError, StorageUnavailable
from storage.dialects import SQLITE_BUSY_SECONDS, enter_organization, is_sqlite, make_postgres_engine, make_sqlite_engine
from storage.repositories.affairs import Activities, Contacts, Deals, Tasks
from storage.repositories.decisions import Feedbacks, Proposals
from storage.repositories.forgetting import Forgettings
from storage.repositories.housekeeping import Credentials, Housekeeping, Incidents, JobRuns
from storage.repositories.inbox import Inbox
from storage.repositories.learning import CachedAnswers, Insights, Patterns, RoutingArms
from storage.repositories.manners import Briefs, Settings
from storage.repositories.memory import Memories, StickyNotes
from storage.repositories.messaging import Attachments, Conversations, Messages
from storage.repositories.models import ModelHealths, ModelUsages
from storage.repositories.outbox import Outbox, ToSend
from storage.repositories.people import People
from storage.repositories.summaries import Summaries
from storage.scrubbing import MERGED_PAGES, empty_log, merge_words, vacuum
from storage.shared_commit import SharedCommit
from storage.vector_index import VectorIndex

ACT_SECONDS = 15.0
"""How long a server may take for all that an act asks of it, which is milliseconds' work; ending it takes the driver up to ten more."""
LEAST_FREE_BYTES = 1 << 20
"""A message may have so many."""


class UnitOfWork:
    """The repositories, all inside one transaction and one organization."""

    def __init__(self, connection: AsyncConnection, organization: str, indexes: dict[str, VectorIndex]) -> None:
        self.connection = connection
        self.organization = organization
        self.people = People(connection, organization)
        self.conversations = Conversations(connection, organization)
        self.messages = Messages(connection, organization)
        self.attachments = Attachments(connection, organization)
        self.inbox = Inbox(connection, organization)
        self.outbox = Outbox(connection, organization)
        self.notes = StickyNotes(connection, organization)
        self.memories = Memories(connection, organization, indexes)
        self.summaries = Summaries(connection, organization)
        self.forgettings = Forgettings(connection, organization, self.memories, self.summaries)
        self.usage = ModelUsages(connection, organization)
        self.health = ModelHealths(connection, organization)
        self.incidents = Incidents(connection, organization)
        self.credentials = Credentials(connection, organization)
        self.housekeeping = Housekeeping(connection, organization)
        self.proposals = Proposals(connection, organization)
        self.feedback = Feedbacks(connection, organization)
        self.contacts = Contacts(connection, organization)
        self.deals = Deals(connection, organization)
        self.tasks = Tasks(connection, organization)
        self.activities = Activities(connection, organization)
        self.settings = Settings(connection, organization)
        self.briefs = Briefs(connection, organization)
        self.job_runs = JobRuns(connection, organization)
        self.patterns = Patterns(connection, organization)
        self.cached_answers = CachedAnswers(connection, organization)
        self.routing_arms = RoutingArms(connection, organization)
        self.insights = Insights(connection, organization)


class Database:
    """The data of one organization, on SQLite or PostgreSQL. An async context manager: leaving it closes every connection.

    `file` is that of an embedded database; `place` is where the data are, as an operator may read it: no secret is in it. `on_promised`
    is told, after the commit, of each message that is to be sent unasked.
    """

    def __init__(
        self,
        url: str,
        *,
        organization: str,
        busy_seconds: float = SQLITE_BUSY_SECONDS,
        act_seconds: float = ACT_SECONDS,
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        self.url = url
        self._act_seconds = act_seconds
        self._least_free_bytes = least_free_bytes
        self.organization = organization
        self.file = file_of(url)
        self.place = str(self.file or make_url(url).set(username=None, password=None, query={}))
        self._shared: SharedCommit | None = None
        self._indexes: dict[str, VectorIndex] = {}
        self.on_promised: Callable[[ToSend], None] = lambda to_send: None
        if is_sqlite(url):
            self.engine = make_sqlite_engine(url, writes=True, busy_seconds=busy_seconds)
            self._shared = SharedCommit(self.engine)
            self._reader = make_sqlite_engine(url, writes=False, busy_seconds=busy_seconds)
        else:
            self.engine = self._reader = make_postgres_engine(url)

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[UnitOfWork]:
        """Read and write as one act: all of it is kept on leaving, or none. Raises StorageUnavailable, Conflict.

        Never hold one across a network or model call: on SQLite it keeps every other writer waiting. One that is not long is given up
        when a server does not answer.
        """
        with storage_errors(self.place):
            async with self._bound(is_long=is_long), self._shared.unit() if self._shared else self.engine.begin() as connection:
                await enter_organization(connection, self.organization)
                work = UnitOfWork(connection, self.organization, self._indexes)
                yield work
        for to_send in work.outbox.to_send:
            self.on_promised(to_send)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[UnitOfWork]:
        """Read only, beside whoever writes. Raises StorageUnavailable."""
        with storage_errors(self.place):
            async with self._bound(), self._reader.connect() as connection:
                await enter_organization(connection, self.organization)
                yield UnitOfWork(connection, self.organization, self._indexes)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[UnitOfWork]:
        """Read one moment's state, however long that takes; an embedded database is not written meanwhile. Raises StorageUnavailable."""
        if is_sqlite(self.url):
            async with self.unit_of_work() as work:
                yield work
            return
        frozen = self.engine.execution_options(isolation_level="REPEATABLE READ")
        with storage_errors(self.place):
            async with frozen.connect() as connection:
                await enter_organization(connection, self.organization)
                yield UnitOfWork(connection, self.organization, self._indexes)

    @asynccontextmanager
    async def _bound(self, *, is_long: bool = False) -> AsyncIterator[None]:
        """A server that froze says nothing for ever. (A local file answers; its lock has a bound of its own.)"""
        bound = asyncio.timeout(None if is_long or self._shared else self._act_seconds)
        try:
            async with bound:
                yield
        except TimeoutError as error:
            if bound.expired():
                raise StorageUnavailable(f"{self.place}: no answer for {self._act_seconds:g} s") from error
            raise

    async def check(self) -> None:
        """Ask the database for a sign of life, and whether an embedded one has room to write. Raises StorageUnavailable."""
        async with self.reading() as work:
            await work.connection.execute(text("SELECT 1"))
        if self.file is not None and _free_bytes(self.file.parent) < self._least_free_bytes:
            raise StorageUnavailable(f"{self.place}: database or disk is full")

    async def check_writing(self) -> None:
        """Ask for leave to write, and write nothing. Raises StorageUnavailable: locked, read-only."""
        async with self.unit_of_work() as work:
            read_only = await work.connection.scalar(text("SELECT 'off'" if self._shared else "SHOW transaction_read_only"))
        if read_only == "on":
            raise StorageUnavailable(f"{self.place}: read-only")

    async def scrub(self) -> None:
        """Leave no trace of what was deleted in files. Raises StorageUnavailable.

        SQLite: the words' index is merged a little at a time (deleted words stand in it until then) and the log is emptied. A server: what
        was deleted is vacuumed where that is allowed; else its own vacuum does it later.
        """
        if self.file is None:
            await vacuum(self.engine)
            return
        pages = -MERGED_PAGES  # the first call wants everything merged, those after it go on with that
        while True:
            async with self.unit_of_work() as work:
                if not await merge_words(work.connection, pages):
                    break
            pages = MERGED_PAGES
        with storage_errors(self.place):
            await asyncio.to_thread(empty_log, self.file)

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        if self._shared:
            await self._shared.close()
        await self._reader.dispose()
        await self.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def file_of(url: str) -> Path | None:
    """The file of an embedded database."""
    name = make_url(url).database
    return Path(name) if is_sqlite(url) and name else None


def _free_bytes(folder: Path) -> int:
    """Room on the disk; none where the folder is gone."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """What the drivers raise becomes StorageUnavailable or Conflict, in one line that begins with the *place* of the data.

    A statement or value that the database refuses is a StorageError: waiting would not mend it.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict(_plain(place, error)) from error
    except (DataError, ProgrammingError, NotSupportedError) as error:
        raise StorageError(_plain(place, error)) from error
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        raise StorageUnavailable(_plain(place, error)) from error


def _plain(place: str, error: Exception) -> str:
    """The driver's own words, in one line, without statement and parameters (which hold what people said)."""
    return f"{place}: " + " ".join(str(getattr(error, "orig", None) or error).split())
