"""What the tests with model servers share: aimock, which breaks on demand, and a real model behind two cloud protocols."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.model_servers import AIMOCK_MISSING, EMBEDDED_MISSING, Aimock, Embedded, aimock, embedded


@pytest.fixture(scope="module")
def mock() -> Iterator[Aimock]:
    """A running aimock."""
    if AIMOCK_MISSING is not None:
        pytest.skip(AIMOCK_MISSING)
    with aimock() as running:
        yield running


@pytest.fixture(scope="module")
def real() -> Iterator[Embedded]:
    """The embedded model in a server of its own."""
    if EMBEDDED_MISSING is not None:
        pytest.skip(EMBEDDED_MISSING)
    with embedded() as running:
        yield running
