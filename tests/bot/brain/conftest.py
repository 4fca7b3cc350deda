"""What the tests of thinking share: one embedded database (both are the contracts' business), and loops on which waiting is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.domain.address import Person
from tests.conftest import sqlite_url
from tests.stage import Stage


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the test's module names (`EVENT_LOOP = FakeTimeLoop`), else the usual one."""
    return {"loop": getattr(item.module, "EVENT_LOOP", asyncio.new_event_loop)}


@pytest.fixture
def database_url(sqlite_file: Path) -> str:
    """A database file with every table in it."""
    return sqlite_url(sqlite_file)


@pytest.fixture
def allan(stage: Stage) -> Person:
    """The owner, who lives in New York."""
    return Person(id=stage.allan.id, name="Allan", role="owner", timezone="America/New_York")


@pytest.fixture
def grace(stage: Stage) -> Person:
    """Another member of the household."""
    return Person(id=stage.grace.id, name="Grace", role="member", timezone="Europe/Berlin")
