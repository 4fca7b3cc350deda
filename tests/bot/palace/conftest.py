"""The web door of the tests in this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.palace.web_house import House, open_house


@pytest.fixture
async def house(sqlite_file: Path) -> AsyncIterator[House]:
    async with open_house(sqlite_file) as built:
        yield built
