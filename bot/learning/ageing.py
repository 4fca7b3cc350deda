"""Lets memories age, one small step at a time: they are summarised, and packed when they are old; what is stale in the house is cleared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import structlog

from bot.brain.budget import settle
from bot.brain.chain import FallbackChain
from bot.brain.context import PROMPTS
from bot.brain.summaries import FRESH, OLD, RECENT, WORDS, extract, is_fit, left_out
from bot.domain.clock import new_id
from bot.domain.errand import inert
from bot.domain.errors import AllLevelsFailed
from bot.domain.memory import Trust
from bot.domain.thought import Attempt, Line, Prompt, Role
from storage.database import Database, UnitOfWork
from storage.models.memory import Memory, Summary
from storage.repositories.summaries import MONTHS, PACKED, SESSIONS, STEP_OF_LEVEL, YEARS

log = structlog.get_logger(__name__)

EVERY, REST, LEASE = timedelta(hours=1), timedelta(milliseconds=200), timedelta(minutes=3)
"""How often it looks while nothing ages, how long it rests after a step, and how long a step is one process's."""
AT_ONCE = 200
"""Memories in a summary, or packed in a step: about what a month brings one person."""
ASKED_A_DAY, MODEL_SECONDS, WORTH_ASKING = 8, 60.0, 3
"""A model words at most so many summaries a day, each so long, and only of what is so many times longer than its summary may be."""
EXTRACT = "extract"
CLEARED_AFTER = timedelta(days=90)
"""Runs, incidents, codes and credentials that were over for so long are deleted."""
SUMMARISED = (Trust.OWN, Trust.ROBBIE)
LEVELS = {step: level for level, step in STEP_OF_LEVEL.items()}


Due = tuple[int, Sequence[Memory]]
"""A step, and the memories that are to take it; none where nothing is due."""


def said_before(step: int, now: datetime) -> datetime:
    """Whoever was said before then is to take the step. A month is summarised when all of it is 30 days old, a year when it is 180."""
    age = {SESSIONS: FRESH, MONTHS: RECENT}.get(step, OLD)
    return _span(now - age, step)[0] if step in (MONTHS, YEARS) else now - age


class Ageing:
    """A round. What is done is told by the memories' own rows: after a crash the step is made again, and no model is asked twice for it."""

    name = "ageing"

    def __init__(self, *, database: Database, chain: FallbackChain, owner: str) -> None:
        self._database = database
        self._chain = chain
        self._owner = owner
        self._again: datetime | None = None
        self._cleared: date | None = None
        self._prompt = (PROMPTS / "summary.md").read_text("utf-8").strip()

    async def look(self, now: datetime) -> datetime:
        """Make one step, if one is due. Raises StorageUnavailable."""
        if self._again is None or not now < self._again <= now + EVERY:
            self._again = now + (REST if await self._step(now) else EVERY)
        return self._again

    async def _step(self, now: datetime) -> bool:
        """Whether there may be more to do."""
        async with self._database.reading() as work:
            stale = await work.summaries.stale(limit=AT_ONCE)
            step, memories = (0, ()) if stale else await _due(work, now)
        if not (stale or memories) and self._cleared == now.date():
            return False
        async with self._database.unit_of_work() as work:
            if not (stale or memories):  # once a day, what serves the house alone is cleared of what is stale
                await work.housekeeping.clear(before=now - CLEARED_AFTER)
                self._cleared = now.date()
                return False
            if not await work.housekeeping.lease(self.name, owner=self._owner, now=now, until=now + LEASE):
                return False
            for each in stale:
                await work.summaries.supersede(each, now)
            if step == PACKED:
                await work.summaries.pack(memories)
        if step in LEVELS:
            # what strangers said, and what is intimate, only grows older
            sources = [each for each in memories if each.trust in SUMMARISED]
            summary, attempts = await self._made(sources, LEVELS[step], now) if sources else (None, ())
            await self._keep((step, memories), summary, sources, attempts, now)
        return True

    async def _keep(self, due: Due, summary: Summary | None, sources: Sequence[Memory], attempts: Sequence[Attempt], now: datetime) -> None:
        """All of a step in one commit. Raises Conflict where the memories changed while the summary was made."""
        async with self._database.unit_of_work() as work:
            await work.summaries.pass_on(*due)
            await settle(work, attempts, event_id=None, now=now)
            if summary is not None:
                await work.summaries.add(summary, sources)

    async def _made(self, sources: Sequence[Memory], level: int, now: datetime) -> tuple[Summary, Sequence[Attempt]]:
        """By extraction, and in a model's words where these are fit; what either leaves out is kept beside it."""
        first, text, made_by = sources[0], await asyncio.to_thread(extract, sources, WORDS[level]), EXTRACT
        material = "\n".join(f"{each.day}, {each.speaker}: {each.text}" for each in sources)
        is_worth_it = len(material.split()) > WORTH_ASKING * WORDS[level] and await self._may_ask(first, level, now)
        rewrite, model, attempts = await self._worded(material, text, WORDS[level]) if is_worth_it else ("", "", ())
        if rewrite and is_fit(rewrite, text, material, WORDS[level]):
            text, made_by = rewrite, model
        elif rewrite:
            log.info("ageing.rewrite_refused", model=model, level=level)
        summary = Summary(
            organization_id=first.organization_id,
            id=new_id(),
            user_id=first.user_id,
            level=level,
            place=first.place,
            text=text,
            facts=await asyncio.to_thread(left_out, sources, text),
            starts_at=min(each.at for each in sources),
            ends_at=max(each.at for each in sources),
            made_by=made_by,
            created_at=now,
        )
        return summary, attempts

    async def _may_ask(self, first: Memory, level: int, now: datetime) -> bool:
        """Whether today's calls are not used up, and this one was not made before a crash."""
        async with self._database.unit_of_work() as work:
            for number in range(ASKED_A_DAY if self._chain.rungs else 0):
                if await work.job_runs.mark(self.name, f"{now.date()}/{number}", now):
                    return await work.job_runs.mark(self.name, f"{now.date()}/{first.id}/{level}", now)
        return False

    async def _worded(self, material: str, text: str, words: int) -> tuple[str, str, Sequence[Attempt]]:
        """What a model makes of it, and which; no words where none is well, or where it was cut short."""
        system = self._prompt.format(words=words)
        framed = inert(f"{material}\n\nThe digest: {text}")
        lines = (Line(role=Role.USER, text=f"<said>\n{framed}\n</said>\n\nWord what it came to."),)
        try:
            completion = await self._chain.complete(Prompt(system=system, brief_system=system, lines=lines), seconds=MODEL_SECONDS)
        except AllLevelsFailed as error:
            return "", "", [each for each in error.attempts if isinstance(each, Attempt)]
        return "" if completion.is_cut else " ".join(completion.text.split()), completion.model, completion.attempts


async def _due(work: UnitOfWork, now: datetime) -> Due:
    """The first step that any memory waits for."""
    for step in (SESSIONS, MONTHS, PACKED, YEARS):
        before = said_before(step, now)
        if first := await work.summaries.next(step, before=before):
            if step == PACKED:
                return step, await work.summaries.to_pack(before=before, limit=AT_ONCE)
            since, until = _span(first.at, step)
            return step, await work.summaries.stretch(step, first, since=since, until=until, limit=AT_ONCE)
    return 0, ()


def _span(at: datetime, step: int) -> tuple[datetime, datetime]:
    """The month, or the year, that a moment falls into, in UTC."""
    midnight = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if step == YEARS:
        return midnight.replace(month=1), midnight.replace(year=midnight.year + 1, month=1)
    return midnight, (midnight + timedelta(days=32)).replace(day=1)
