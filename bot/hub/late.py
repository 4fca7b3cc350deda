"""Answers what the offline rung put off as soon as a level can: oldest first, ever more seldom while none can."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

import structlog

from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from bot.domain.thought import Tier, Turn
from bot.hub.thinking import Thinkers
from storage.database import Database

log = structlog.get_logger(__name__)

FIRST_REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 60.0
REST_FOR_EACH_SECOND = 20.0
"""A try in vain may have kept a model busy: what it took is followed by so many times as much rest, up to LONGEST_BUSY_REST_SECONDS."""
LONGEST_BUSY_REST_SECONDS = 300.0
FAILURES_PER_ROUND = 3
"""Not one: the oldest question may be one that no level can answer, and those behind it ones that any can."""
QUESTIONS_PER_ROUND = 100


class LateAnswers:
    """Looks after the questions that were put off."""

    def __init__(self, *, database: Database, thinkers: Thinkers, clock: Clock) -> None:
        self._database = database
        self._thinkers = thinkers
        self._clock = clock
        self._has_queued = False
        self._has_thought = False  # a model has answered something since the last try in vain
        self._rest = FIRST_REST_SECONDS
        self._rests: tuple[datetime, datetime] | None = None  # from, to
        self._news = asyncio.Event()
        self._is_closing = False

    async def look(self) -> None:
        """See whether there is anything to do. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            self._has_queued = bool(await work.inbox.queued(limit=1))
        if self._has_queued:
            self._news.set()

    def recorded(self, turn: Turn) -> None:
        """Note what became of a question: that one is put off, or that a model is back."""
        if turn.queued:
            self._has_queued, self._has_thought = True, False
        elif turn.tier is not Tier.REACTIVE:
            self._has_thought = True
            if self._has_queued:
                self._rests, self._rest = None, FIRST_REST_SECONDS
                self._news.set()

    def close(self) -> None:
        """Begin nothing any more; `run` ends."""
        self._is_closing = True
        self._news.set()

    async def run(self) -> None:
        """Work until closed."""
        while not self._is_closing:
            await self._news.wait()
            self._news.clear()
            if self._rests and self._rests[0] <= self._clock.now() < self._rests[1]:  # before its beginning: the clock was set back
                continue
            try:
                await self._round()
            except StorageError as error:
                log.warning("late.storage", error=str(error))
            except Exception:  # an edge that must survive
                log.exception("late.bug")
                self._rest_for(LONGEST_REST_SECONDS)

    async def _round(self) -> None:
        """Try the questions one after the other, until too many in a row fail."""
        began, failures = time.monotonic(), 0
        async with self._database.reading() as work:
            questions = await work.inbox.queued(limit=QUESTIONS_PER_ROUND)
        for event_id in questions:
            if self._is_closing:
                return
            has_thought, self._has_thought = self._has_thought, False
            is_settled = await self._thinkers.step_late(event_id, others_answered=has_thought)
            if is_settled is None:
                self._has_thought |= has_thought
            else:
                failures = 0 if is_settled else failures + 1
            if failures == FAILURES_PER_ROUND:
                break
        if failures and not self._has_thought:  # else a model answered while this one tried in vain
            rest = max(self._rest, min(REST_FOR_EACH_SECOND * (time.monotonic() - began), LONGEST_BUSY_REST_SECONDS))
            self._rest_for(rest)
            self._rest = min(self._rest * 2, LONGEST_REST_SECONDS)

    def _rest_for(self, seconds: float) -> None:
        now = self._clock.now()
        self._rests = now, now + timedelta(seconds=seconds)
