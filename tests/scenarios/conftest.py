"""The house that scenarios play in; each scenario runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.scenarios.house import FakeDoor, House, open_house


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong here is meant to: nobody needs to read it."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sqlite_original(opened_before: Path) -> Path:
    """Scenarios play in a house that was opened before."""
    return opened_before


@pytest.fixture(scope="session")
def postgres_original(opened_before_on_a_server: str) -> str:
    """The same, on a server."""
    return opened_before_on_a_server


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
