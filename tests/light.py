"""What makes tests light and leaves what they prove as it is: a house that was opened before, statements compiled once, few authorities."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from sqlalchemy import Connection, Engine, event

from bot.brain.reflexes import Reflexes
from storage.database import Database
from tests.postgres import Postgres

ORGANIZATION = "default"
END = "-----END CERTIFICATE-----\n"


class CompiledOnce(dict[Any, Any]):
    """Statements by what they say and the kind of database, not by whose engine: each test opens engines of its own."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_of_any_engine(key), compiled)


def _of_any_engine(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (type(key[0]), *key[1:])


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """As in a hub that has run for a while: a statement that was asked before is not compiled anew."""
    compiled = CompiledOnce()

    def share(connection: Connection) -> None:
        connection.execution_options(compiled_cache=compiled)

    event.listen(Engine, "engine_connect", share)
    yield
    event.remove(Engine, "engine_connect", share)


@pytest.fixture(scope="session", autouse=True)
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody here calls the internet, and each client of a vendor would take 30 ms to read all who vouch for somebody there."""
    one = tmp_path_factory.mktemp("authorities") / "one.pem"
    one.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(END)[0] + END, encoding="utf-8")
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(one)
    yield
    os.environ.pop("SSL_CERT_FILE")
    if before is not None:
        os.environ["SSL_CERT_FILE"] = before


@pytest.fixture(scope="session")
def opened_before(sqlite_template: Path) -> Path:
    """A file as any house has that was opened before: it knows the phrases that come with it, which takes longest to put in."""
    file = Path(shutil.copy(sqlite_template, sqlite_template.with_name("house.db")))
    _furnish(f"sqlite+aiosqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def opened_before_on_a_server(postgres: Postgres, postgres_template: str) -> str:
    """The same, on a server."""
    name = postgres.create(postgres_template)
    _furnish(postgres.url(name))
    return name


def _furnish(url: str) -> None:
    async def furnish() -> None:
        async with Database(url, organization=ORGANIZATION) as opened:
            await Reflexes(database=opened).prepare(datetime(2026, 1, 1, tzinfo=UTC))

    asyncio.run(furnish())
