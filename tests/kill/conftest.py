"""Who is killed lives in a house that was opened before: what puts in its phrases has tests of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sqlite_original(opened_before: Path) -> Path:
    """The file a hub is killed over."""
    return opened_before


@pytest.fixture(scope="session")
def postgres_original(opened_before_on_a_server: str) -> str:
    """The same, on a server."""
    return opened_before_on_a_server
