"""Gathers what is remembered that may bear on a question: what is to be done, what was decided, notes that hold, what was said."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice, zip_longest
from zoneinfo import ZoneInfo

import structlog

from bot.brain.memory import Recall, leave
from bot.brain.recall import COMMON, stems
from bot.brain.summaries import FRESH, aged, clipped
from bot.brain.tone import is_intimate
from bot.domain.clock import Clock
from bot.domain.memory import PRIVATE_PLACE, Scope, Trust, place_of
from bot.domain.message import OutgoingKind
from bot.domain.thought import Question, Recollection
from storage.database import Database
from storage.models.affairs import Task
from storage.models.decisions import Proposal, ProposalState
from storage.models.memory import Memory, StickyNote

log = structlog.get_logger(__name__)

FOUND, TOLD, LONGEST_QUESTION = 40, 20, 2_000
"""Memories that are looked at, and told at most; characters of a question by which they are found."""
PATIENCE = 0.5
"""The share of the time that what is near in meaning may take, so that words still answer while a model is loaded."""
NEAREST, BESIDE = 3, range(-2, 3)
NOTES, NOTES_LOOKED_AT = 8, 300
TASKS, DECISIONS = 3, 3
COMING, LATELY, WAITS = timedelta(days=30), timedelta(days=3), timedelta(days=7)
LONGEST = 360
"""Characters of one line, which a small model's share still holds; of a longer text the part with most of the question's words is told."""
DENYING = frozenset(("no", "not", "nor", "t"))
"""Common words that turn a sentence round: one with them is no repetition of one without."""
_WORD = re.compile(r"[^\W_]+")
FROM_OUTSIDE = ("reply", OutgoingKind.OUTREACH)
"""Kinds of proposal whose titles somebody outside may have worded."""


class Remembered:
    """What is remembered, in scope; without a `recall`, no more than lists hold. What takes longer than `seconds` is done without."""

    def __init__(self, *, database: Database, recall: Recall | None, clock: Clock, seconds: float) -> None:
        self._database, self._recall, self._clock, self._seconds = database, recall, clock, seconds
        self._late = set[asyncio.Task[None]]()
        self._is_down = False

    async def about(self, question: Question) -> tuple[Recollection, ...]:
        """What may bear on *question*, the most telling first; as much of it as there was time for. Raises nothing."""
        known = list[Recollection]()
        task = asyncio.create_task(self._gather(question, known), name="recall")
        leave(task, self._late)  # the driver of a database may take its time to hear that nobody waits any more
        try:
            await asyncio.wait({task}, timeout=self._seconds)
            trouble = task.exception() if task.done() else TimeoutError()
        finally:
            task.cancel()
        if bool(trouble) is not self._is_down:
            self._is_down = not self._is_down
            log.warning("recall.away" if trouble else "recall.back", error=f"{type(trouble).__name__}: {trouble}" if trouble else "")
        return tuple(known)

    async def _gather(self, question: Question, known: list[Recollection]) -> None:
        """Lists first, which are quick; beside that what was said is looked for, which then goes between the notes."""
        person, trusts = question.person, (Trust.OWN, Trust.ROBBIE, *([Trust.INTIMATE] * is_intimate(question)))
        now, asked = self._clock.now().astimezone(ZoneInfo(person.timezone)), question.text[:LONGEST_QUESTION]
        finding = asyncio.create_task(self._find(question, asked, trusts), name="recall what was said")
        leave(finding, self._late)
        try:
            notes = list[Recollection]()
            async with self._database.reading() as work:
                if question.is_private:
                    count, due = await work.tasks.next_due(person.id, limit=TASKS)
                    decided = await work.proposals.decided(person.id, since=now - LATELY, waits=WAITS, limit=DECISIONS)
                    held = await work.notes.holding(person.id, trusts, limit=NOTES_LOOKED_AT)
                    notes = list(notes_about(asked, held, now))
                    known += [*tasks_told(count, due, now.date()), *decisions_told(decided)]
            always = len(known)
            known += notes
            if memories := [each for each in await finding if each.message_id is None or each.message_id < question.id]:
                told = [each for pair in zip_longest(notes, memories_told(asked, memories, now)) for each in pair if each]
                known[always:] = islice(distinct(told, question.text), TOLD)
                ids = {each.id for each in known}
                known[:] = await self._aged(
                    known, [each for each in memories if str(each.id) in ids and now - each.at >= FRESH], asked, now
                )
        finally:
            finding.cancel()

    async def _find(self, question: Question, asked: str, trusts: tuple[Trust, ...]) -> list[Memory]:
        """What was said that may bear on the question, the best first; elsewhere than in private, only what was said in that very place."""
        place = PRIVATE_PLACE
        if self._recall is None or not stems(asked):
            return []
        if not question.is_private:
            async with self._database.reading() as work:
                conversation = await work.conversations.find_by_id(question.conversation_id)
            if not (place := place_of(conversation.channel, conversation.key, question.session_type) if conversation else PRIVATE_PLACE):
                return []
        scope = Scope(user_id=question.person.id, place=place, trusts=trusts)
        return [each.memory for each in await self._recall.find(asked, scope, limit=FOUND, patience=PATIENCE * self._seconds)]

    async def _aged(self, known: Sequence[Recollection], old: Sequence[Memory], asked: str, now: datetime) -> list[Recollection]:
        """The same, what was said longer ago as it reads at its age."""
        async with self._database.reading() as work:
            covering = await work.summaries.covering([each.id for each in old]) if old else {}
        read = zip(old, await asyncio.to_thread(aged, old, covering, now, question=asked), strict=True)
        told = {
            str(memory.id): {"text": each.head + line_of(memory, each.words, now), "summary": str(each.summary or "")}
            for memory, each in read
        }
        return [replace(each, **told.get(each.id, {})) for each in known]


def tasks_told(count: int, due: Sequence[Task], today: date) -> Iterator[Recollection]:
    """How much there is to do, and what comes next; nothing where there is nothing."""
    nearest = ", ".join(f"“{task.title}” ({task.due_on and _day(task.due_on, today)})" for task in due)
    text = f"{count} open task{'s' * (count != 1)}" + f"; due first: {nearest}" * bool(due)
    if count:
        yield Recollection(kind="tasks", text=_line(text), why="it always is")


def decisions_told(decided: Sequence[Proposal]) -> Iterator[Recollection]:
    """What was proposed and decided of late."""
    told = []
    for each in decided:
        what = "a mail" if each.kind in FROM_OUTSIDE else f"“{each.title}”" + (f" ({why})" if (why := each.details.get("why")) else "")
        told.append(f"{'no' if each.state == ProposalState.REJECTED else 'yes'} to {what}")
    if told:
        yield Recollection(kind="decisions", text=_line(f"Decided lately: {'; '.join(told)}"), why="it was lately")


def notes_about(question: str, notes: Iterable[StickyNote], now: datetime) -> Iterator[Recollection]:
    """The notes with something to say: first what the question names, then days to come, preferences and decisions."""
    asked, told, today = stems(question), list[tuple[int, StickyNote, str]](), now.date()
    for note in notes:
        shared = asked.keys() & stems(f"{note.topic} {note.text}").keys()
        if shared:
            told.append((10 + len(shared), note, f"it speaks of {', '.join(sorted(asked[each] for each in shared))}"))
        elif note.on and today <= note.on <= today + COMING:
            told.append((3, note, "its day is coming"))
        elif note.kind in ("preference", "decision"):
            told.append((2 if note.kind == "preference" else 1, note, f"it is a {note.kind}, and holds"))
    for _, note, why in sorted(told, key=lambda each: -each[0])[:NOTES]:
        on = f", for {_day(note.on, today)}" if note.on else ""
        text = f"{note.kind.capitalize()} of {_day(note.created_at.astimezone(now.tzinfo).date(), today)}{on}: {note.text}"
        yield Recollection(kind="note", id=str(note.id), text=_line(text), said=note.text, why=why)


def memories_told(question: str, memories: Sequence[Memory], now: datetime) -> Iterator[Recollection]:
    """What was said, by whom and when, and by which words it came to mind.

    Vectors find something for any question: what shares no word with it, nor stands beside what does, is told of the best few alone.
    """
    asked = stems(question)
    shared = [sorted(asked[each] for each in asked.keys() & stems(one.text).keys()) for one in memories]
    named = {(one.session, one.position + step) for one, words in zip(memories, shared, strict=True) if words for step in BESIDE}
    for at, (one, words) in enumerate(zip(memories, shared, strict=True)):
        if at < NEAREST or (one.session, one.position) in named:
            why = f"it speaks of {', '.join(words)}" if words else "it is near in meaning, or stands beside what is"
            text = line_of(one, clipped(one.text, LONGEST, asked), now)
            yield Recollection(kind="memory", id=str(one.id), text=text, said=one.text, why=why)


def line_of(memory: Memory, words: str, now: datetime) -> str:
    """A memory, or what is left of it, as a prompt tells it: who said it, on which day, and what."""
    said_on = _day(memory.at.astimezone(now.tzinfo).date(), now.date())
    return f"{memory.speaker}, {said_on}: {' '.join(words.split())}"


def distinct(told: Iterable[Recollection], question: str) -> Iterator[Recollection]:
    """What has a telling word that is not told yet; an older question that asks no more than this one is none."""
    asked, heard = _telling(question), list[set[str]]()
    for each in told:
        words = _telling(each.said)
        if not any(words <= other for other in heard) and not (each.said.rstrip().endswith("?") and words <= asked):
            heard.append(words)
            yield each


def _telling(text: str) -> set[str]:
    return {*_WORD.findall(text.casefold())} - (COMMON - DENYING)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _day(day: date, today: date) -> str:
    """A day as it is said; the year where it is another."""
    return "today" if day == today else f"{day.day} {day:%B}" + f" {day:%Y}" * (day.year != today.year)
