"""The house that scenarios play in; each scenario runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from bot.brain.reflexes import Reflexes
from storage.database import Database
from tests.conftest import ORGANIZATION, sqlite_url
from tests.postgres import Postgres
from tests.scenarios.house import FakeDoor, House, open_house


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong here is meant to: nobody needs to read it."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sqlite_template(sqlite_template: Path) -> Path:
    """As any house is that was opened before: it knows the phrases that come with it, which takes longest to put in."""
    file = Path(shutil.copy(sqlite_template, sqlite_template.with_name("house.db")))
    _furnish(sqlite_url(file))
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres, postgres_template: str) -> str:
    """The same, on a server."""
    name = postgres.create(postgres_template)
    _furnish(postgres.url(name))
    return name


def _furnish(url: str) -> None:
    async def furnish() -> None:
        async with Database(url, organization=ORGANIZATION) as opened:
            await Reflexes(database=opened).prepare(datetime(2026, 1, 1, tzinfo=UTC))

    asyncio.run(furnish())


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def chat() -> FakeDoor:
    """A channel that Allan has an account on."""
    return FakeDoor("slack")


@pytest.fixture
def phone() -> FakeDoor:
    """A channel on which he has none yet."""
    return FakeDoor("telegram")
