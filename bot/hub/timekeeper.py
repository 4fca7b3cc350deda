"""Looks after what is due by the clock: each round in a task of its own, so that a slow or broken one delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

import structlog

from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from bot.domain.ports import Round
from bot.hub.patience import comes_within, see_out

log = structlog.get_logger(__name__)

LONGEST_REST_SECONDS = 2.0
"""Another process, or a command, may have made something due meanwhile."""
BROKEN_REST_SECONDS = 10.0
STOP_SECONDS = 1.0


class Timekeeper:
    """Goes the rounds from entering to leaving."""

    def __init__(self, *, rounds: Sequence[Round], clock: Clock) -> None:
        self._rounds = rounds
        self._clock = clock
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._go(each), name=f"round {each.name}") for each in self._rounds]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        await see_out(self._tasks, STOP_SECONDS)

    async def _go(self, each: Round) -> None:
        rest = 0.0
        while not await comes_within(rest, self._closing):
            try:
                now = self._clock.now()
                due = await each.look(now)
                rest = LONGEST_REST_SECONDS if due is None else min(max((due - now).total_seconds(), 0.0), LONGEST_REST_SECONDS)
            except StorageError as error:
                log.warning("round.not_made", round=each.name, error=str(error))
                rest = BROKEN_REST_SECONDS
            except Exception:  # an edge that must survive: a bug in one round is not the others'
                log.exception("round.bug", round=each.name)
                rest = BROKEN_REST_SECONDS
