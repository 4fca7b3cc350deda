"""Has a model read what the rules may have missed: once a session fell silent, in one call, within the day's allowance, off the road."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.brain.budget import settle
from bot.brain.chain import FallbackChain
from bot.brain.context import PROMPTS, cleaned
from bot.domain.errors import AllLevelsFailed
from bot.domain.thought import Attempt, Line, Prompt, Role
from bot.services.affairs import folded
from bot.services.note_keeping import is_speaker, keep_noticed
from bot.services.noticing import FEWEST_WORDS, KINDS, LONGEST_SENTENCE, MOST, Noticed, by_hand, is_void, topic_of
from storage.database import Database
from storage.models.memory import Memory
from storage.models.people import User

CURSOR = "notes read"
SILENCE, LOOKS_EVERY = timedelta(minutes=10), timedelta(minutes=1)
BATCH, FEWEST_CHARACTERS, LONGEST = 200, 80, 6_000
"""Memories of one look; characters of a session below which no call is worth it, and that a call is given."""
MOST_A_DAY, CALL_SECONDS, ANSWER_TOKENS = 20, 30.0, 400
"""Calls for one person, how long each may take, and how long its answer may be."""
LATELY = 50
"""Notes, and lines of the journal, of which a model's are no repetition."""


class NoteReading:
    """A round. Without a model worth asking it does nothing; what it began with, a crash, or a model that fails leaves to the rules."""

    name = "note reading"

    def __init__(self, *, database: Database, chain: FallbackChain) -> None:
        self._database = database
        self._chain = chain
        self._words = (PROMPTS / "notes.md").read_text("utf-8").strip()
        self._next: datetime | None = None

    async def look(self, now: datetime) -> datetime | None:
        """Read what fell silent since the last look. Raises StorageUnavailable."""
        if not self._chain.rungs or (self._next is not None and now < self._next <= now + LOOKS_EVERY):
            return self._next
        self._next = now + LOOKS_EVERY
        async with self._database.reading() as work:
            cursor = await work.housekeeping.cursor(CURSOR)
            rows = await work.notes.said_since(UUID(cursor), until=now - SILENCE, limit=BATCH) if cursor else []
            people = {user.id: user.person for user in await work.people.users()} if rows else {}
            reached = rows[-1].id if rows else UUID(cursor) if cursor else await work.memories.newest_id()
        own = [row for row in rows if row.message_id or (row.user_id in people and is_speaker(people[row.user_id], row.speaker))]
        for _, said in groupby(sorted(own, key=lambda row: (*_whose(row), row.number)), key=_whose):
            await self._read(list(said), now)
        if str(reached) != cursor:
            async with self._database.unit_of_work() as work:
                await work.housekeeping.set_cursor(CURSOR, str(reached))
        return self._next

    async def _read(self, said: Sequence[Memory], now: datetime) -> None:
        if (user := await self._reader(said, now)) is None:
            return
        text = re.sub(r"<(?=\s*/?\s*said)", "‹", cleaned("\n".join(row.text for row in said))[:LONGEST])
        lines = (Line(role=Role.USER, text=f"<said>\n{text}\n</said>"),)
        system = self._words.format(person=user.name)
        prompt = Prompt(system=system, brief_system=system, lines=lines, max_output_tokens=ANSWER_TOKENS)
        attempts: Sequence[object]
        try:
            completion = await self._chain.complete(prompt, seconds=CALL_SECONDS)
            attempts, by = completion.attempts, completion.model
            made = list(islice(quoted(completion.text, said, user.timezone), MOST))
        except AllLevelsFailed as error:
            attempts, by, made = error.attempts, "", []
        async with self._database.unit_of_work() as work:
            await settle(work, [each for each in attempts if isinstance(each, Attempt)], event_id=None, now=now)
            # what is noted, and what was done of late: a note that was taken back is not made again
            notes, acts = await work.notes.holding(user.id, limit=LATELY), await work.activities.latest(user.id, limit=LATELY)
            lately = [*(folded(note.text) for note in notes), *(folded(act.text) for act in acts)]
            for memory, one in made:
                if not any(one.value in each or each in one.value for each in lately):
                    await keep_noticed(work, user.person, memory, one, made_by=by, now=memory.at)

    async def _reader(self, said: Sequence[Memory], now: datetime) -> User | None:
        """For whom a session is to be read, once; None where that is not worth a call, or enough was read that day."""
        if sum(len(row.text) for row in said) < FEWEST_CHARACTERS:
            return None
        async with self._database.unit_of_work() as work:
            user = await work.people.find_user_by_id(said[0].user_id)
            if user is None or not await work.job_runs.mark(CURSOR, f"{said[0].session}/{said[-1].number}", now):
                return None
            day = now.astimezone(ZoneInfo(user.timezone)).date()
            for place in range(MOST_A_DAY):
                if await work.job_runs.mark(f"{CURSOR} a day", f"{user.id}/{day}/{place}", now):
                    return user
        return None


def _whose(row: Memory) -> tuple[UUID, UUID]:
    """In a channel others speak in the same session; each is read alone."""
    return row.session, row.user_id


def quoted(answer: str, said: Sequence[Memory], timezone: str) -> Iterator[tuple[Memory, Noticed]]:
    """The notes in a model's answer: lines of JSON as asked for, whose quote stands in one of the memories and is nothing void."""
    for line in answer.splitlines():
        try:
            told = json.loads(line)
            kind, quote, topic = (str(told[name]) for name in ("kind", "quote", "topic"))
        except (ValueError, KeyError, TypeError):
            continue
        memory = next((row for row in said if " ".join(quote.split()) in " ".join(row.text.split())), None)
        is_fit = len(quote.split()) >= FEWEST_WORDS and len(quote) <= LONGEST_SENTENCE and not is_void(quote)
        if memory is not None and is_fit and kind in KINDS and folded(topic):
            read = by_hand(quote, now=memory.at.astimezone(ZoneInfo(timezone)))
            yield memory, Noticed(kind=kind, text=quote, topic=topic_of(topic), value=folded(quote), on=read.on, deed=read.deed)
