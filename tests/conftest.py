"""What every test may ask for: a database (each test then runs on both), a server of PostgreSQL, a clock."""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.schema import upgrade
from tests.clock import FakeClock
from tests.light import (  # noqa: F401  (fixtures are found where they are named)
    ORGANIZATION,
    _compiled_once,
    _few_authorities,
    opened_before,
    opened_before_on_a_server,
)
from tests.machine import free_port
from tests.postgres import Postgres, running_postgres, why_missing
from tests.stage import Stage, set_stage

BOTH = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `pytest` can be told beyond its own options."""
    parser.addoption("--both", action="store_true", help="run tests marked `either` on both databases too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of the data runs on both databases; one of what people see (`either`) on one, by its name: a third on PostgreSQL."""
    if config.getoption("--both"):
        return
    left_out = [
        item for item in items if item.get_closest_marker("either") and not item.get_closest_marker("both") and _falls_elsewhere(item)
    ]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


def _falls_elsewhere(item: pytest.Item) -> bool:
    database = next((name for name in BOTH if name in re.split(r"[\[\]-]", item.name)), None)
    bare = item.name.replace(str(database), "")
    return database is not None and database != BOTH[zlib.crc32(bare.encode()) % 3 == 0]


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector of garbage need not look through it again and again."""
    gc.freeze()


@pytest.fixture
def unused_tcp_port() -> int:
    """In the place of the one that comes with pytest-asyncio, which anybody may take before the test does."""
    return free_port()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; skips where there is none."""
    if reason := why_missing():
        pytest.skip(reason)
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """A database with every table in it, to be copied."""
    name = postgres.create()
    _migrate(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every table in it, to be copied."""
    file = tmp_path_factory.mktemp("template") / "robbie.db"
    _migrate(sqlite_url(file))
    return file


@pytest.fixture(scope="session")
def sqlite_original(sqlite_template: Path) -> Path:
    """What a test's file is a copy of; a folder of tests may name another one."""
    return sqlite_template


@pytest.fixture(scope="session")
def postgres_original(postgres_template: str) -> str:
    """What a test's database on a server is a copy of."""
    return postgres_template


@pytest.fixture
def sqlite_file(tmp_path: Path, sqlite_original: Path) -> Path:
    """A database file with every table in it."""
    return Path(shutil.copy(sqlite_original, tmp_path / "robbie.db"))


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_original: str) -> Iterator[str]:
    """A PostgreSQL database with every table in it."""
    name = postgres.create(postgres_original)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with every table in it; a test that asks for it runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("sqlite_file"))
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table; a test that asks for it runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.db")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with every table in it and no row; a test that asks for it runs on both."""
    async with Database(database_url, organization=ORGANIZATION) as opened:
        yield opened


@pytest.fixture
async def stage(database: Database, clock: FakeClock) -> Stage:
    """A household on the open database; a test that asks for it runs on both."""
    return await set_stage(database, clock)


def sqlite_url(file: Path) -> str:
    """How config names this file."""
    return f"sqlite+aiosqlite:///{file}"


def _migrate(url: str) -> None:
    async def migrate() -> None:
        async with Database(url, organization=ORGANIZATION) as opened:
            await upgrade(opened)

    asyncio.run(migrate())
