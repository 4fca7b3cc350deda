"""Lets a test module of this folder choose its event loop: `EVENT_LOOP = FakeTimeLoop` makes waiting free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the test's module names, else the usual one."""
    return {"loop": getattr(item.module, "EVENT_LOOP", asyncio.new_event_loop)}
