"""Gathers what is remembered that may bear on a question: what is to be done, what was decided, notes that hold, what was said."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice, zip_longest
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bot.brain.memory import Found, Recall
from bot.brain.recall import COMMON, terms
from bot.brain.summaries import FRESH, aged
from bot.brain.tone import is_intimate
from bot.domain.clock import Clock
from bot.domain.memory import PRIVATE_PLACE, Scope, Trust, place_of
from bot.domain.message import OutgoingKind
from bot.domain.thought import Question, Recollection
from storage.database import Database
from storage.models.affairs import Task
from storage.models.decisions import Proposal, ProposalState
from storage.models.memory import Memory, StickyNote, Summary

log = structlog.get_logger(__name__)
T = TypeVar("T")

FOUND, TOLD, LONGEST_QUESTION = 40, 20, 2_000
"""Memories that are looked at, and told at most; characters of a question by which they are found."""
NEAREST, BESIDE = 3, range(-2, 3)
NOTES, NOTES_LOOKED_AT = 8, 300
TASKS, DECISIONS = 3, 3
COMING, LATELY, WAITS = timedelta(days=30), timedelta(days=3), timedelta(days=7)
LONGEST = 280
"""Characters of one line; of a longer text the part is told that has most to do with the question."""
DENYING = frozenset(("no", "not", "nor", "t"))
"""Common words that turn a sentence round: one with them is no repetition of one without."""
_WORD = re.compile(r"[^\W_]+")
FROM_OUTSIDE = ("reply", OutgoingKind.OUTREACH)
"""Kinds of proposal whose titles somebody outside may have worded."""


class Remembered:
    """What is remembered, in scope; without a `recall`, no more than lists hold. What takes longer than `seconds` is done without."""

    def __init__(self, *, database: Database, recall: Recall | None, clock: Clock, seconds: float) -> None:
        self._database, self._recall, self._clock, self._seconds = database, recall, clock, seconds
        self._late = set[asyncio.Task[Any]]()
        self._is_down = False

    async def about(self, question: Question) -> tuple[Recollection, ...]:
        """What may bear on *question*, the most telling first; as much of it as there was time for. Raises nothing."""
        known = list[Recollection]()
        task = self._begin(self._gather(question, known))
        try:
            await asyncio.wait({task}, timeout=self._seconds)
        finally:
            is_done = task.done()
            task.cancel()
        trouble = task.exception() if is_done and not task.cancelled() else None if is_done else TimeoutError()
        if trouble and not self._is_down:
            log.warning("recall.away", error=f"{type(trouble).__name__}: {trouble}")
        elif self._is_down and not trouble:
            log.info("recall.back")
        self._is_down = trouble is not None
        return tuple(known)

    def _begin(self, what: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(what, name="recall")
        self._late.add(task)  # the driver of a database may take its time to hear that nobody waits any more
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # it was told, or comes too late to matter

    async def _gather(self, question: Question, known: list[Recollection]) -> None:
        """Lists, which are quick, while what was said is looked for; that goes between the notes."""
        person, trusts = question.person, (Trust.OWN, Trust.ROBBIE, *([Trust.INTIMATE] * is_intimate(question)))
        now, place, asked = self._clock.now().astimezone(ZoneInfo(person.timezone)), PRIVATE_PLACE, question.text[:LONGEST_QUESTION]
        if not question.is_private:
            async with self._database.reading() as work:
                conversation = await work.conversations.find_by_id(question.conversation_id)
            place = place_of(conversation.channel, conversation.key, question.session_type) if conversation else PRIVATE_PLACE
        is_asked = bool(self._recall and _stems(asked) and (place or question.is_private))
        scope = Scope(user_id=person.id, place=place, trusts=trusts)
        finding = self._begin(self._find(asked, scope, question.id)) if is_asked else None
        try:
            notes = await self._lists(question, trusts, now, known) if question.is_private else []
            always = len(known)
            known += notes
            if finding:
                found, summaries = await finding
                said = memories_told(asked, found, now, summaries)
                merged = (each for pair in zip_longest(notes, said) for each in pair if each)
                known[always:] = islice(distinct(merged, question.text), TOLD)
        finally:
            if finding:
                finding.cancel()

    async def _find(self, asked: str, scope: Scope, before: UUID) -> tuple[list[Found], Mapping[UUID, Sequence[Summary]]]:
        """What was said before the message of this id, and the summaries of it."""
        found = await self._recall.find(asked, scope, limit=FOUND) if self._recall else []
        earlier = [each for each in found if each.memory.message_id is None or each.memory.message_id < before]
        if not earlier:
            return [], {}
        async with self._database.reading() as work:
            return earlier, await work.summaries.covering([each.memory.id for each in earlier])

    async def _lists(self, question: Question, trusts: Sequence[Trust], now: datetime, known: list[Recollection]) -> list[Recollection]:
        """Tells what is always told, and returns the notes."""
        person = question.person
        async with self._database.reading() as work:
            count, due = await work.tasks.next_due(person.id, limit=TASKS)
            decided = await work.proposals.decided(person.id, since=now - LATELY, waits=WAITS, limit=DECISIONS)
            held = await work.notes.holding(person.id, trusts, limit=NOTES_LOOKED_AT)
        known += [*tasks_told(count, due, now.date()), *decisions_told(decided)]
        return list(notes_about(question.text[:LONGEST_QUESTION], held, now))


def tasks_told(count: int, due: Sequence[Task], today: date) -> list[Recollection]:
    """How much there is to do, and what comes next; nothing where there is nothing."""
    nearest = ", ".join(f"“{task.title}” ({task.due_on and _day(task.due_on, today)})" for task in due)
    text = f"{count} open task{'s' * (count != 1)}" + f"; due first: {nearest}" * bool(due)
    return [Recollection(kind="tasks", text=_line(text), why="it always is")] if count else []


def decisions_told(decided: Sequence[Proposal]) -> list[Recollection]:
    """What was proposed and decided of late."""
    told = []
    for each in decided:
        why = each.details.get("why", "")
        what = "a mail" if each.kind in FROM_OUTSIDE else f"“{each.title}”" + f" ({why})" * bool(why)
        told.append(f"{'no' if each.state == ProposalState.REJECTED else 'yes'} to {what}")
    return [Recollection(kind="decisions", text=_line(f"Decided lately: {'; '.join(told)}"), why="it was lately")] if told else []


def notes_about(question: str, notes: Iterable[StickyNote], now: datetime) -> Iterator[Recollection]:
    """The notes with something to say: first what the question names, then days to come, preferences and decisions."""
    asked, told, today = _stems(question), list[tuple[int, StickyNote, str]](), now.date()
    for note in notes:
        shared = asked.keys() & _stems(f"{note.topic} {note.text}").keys()
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


def memories_told(
    question: str, found: Sequence[Found], now: datetime, summaries: Mapping[UUID, Sequence[Summary]] | None = None
) -> Iterator[Recollection]:
    """What was said, by whom and when, as it reads at its age, and by which words it came to mind.

    Vectors find something for any question: what shares no word with it, nor stands beside what does, is told of the best few alone.
    """
    asked = _stems(question)
    shared = [sorted(asked[each] for each in asked.keys() & _stems(one.memory.text).keys()) for one in found]
    named = {(one.memory.session, one.memory.position) for one, words in zip(found, shared, strict=True) if words}

    def is_near(memory: Memory) -> bool:
        return any((memory.session, memory.position + step) in named for step in BESIDE)

    told = [(one, words) for at, (one, words) in enumerate(zip(found, shared, strict=True)) if at < NEAREST or is_near(one.memory)]
    read = aged([one for one, _ in told], summaries or {}, now, question=question)
    for (one, words), old in zip(told, read, strict=True):
        why = f"it speaks of {', '.join(words)}" if words else "it is near in meaning, or stands beside what is"
        text = line_of(one.memory, asked, now) if now - one.memory.at < FRESH else old
        yield Recollection(kind="memory", id=str(one.memory.id), text=text, said=one.memory.text, why=why)


def line_of(memory: Memory, asked: Iterable[str], now: datetime) -> str:
    """A memory as a prompt tells it: who said it, on which day, and what."""
    said_on = _day(memory.at.astimezone(now.tzinfo).date(), now.date())
    return f"{memory.speaker}, {said_on}: {excerpt(memory.text, asked)}"


def excerpt(text: str, asked: Iterable[str]) -> str:
    """*text* in one line, of a long one the part that holds most of the *asked* stems."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    low, stems = line.casefold(), tuple(asked)
    begins = max(reversed(range(0, len(line), LONGEST // 4)), key=lambda at: sum(each in low[at : at + LONGEST] for each in stems))
    at = line.rfind(" ", 0, begins) + 1
    return "…" * (at > 0) + line[at : at + LONGEST] + "…" * (at + LONGEST < len(line))


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


def _stems(text: str) -> dict[str, str]:
    return {word[:6]: word for word in terms(text)}  # as recall cuts them


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _day(day: date, today: date) -> str:
    """A day as it is said; the year where it is another."""
    return "today" if day == today else f"{day.day} {day:%B}" + f" {day:%Y}" * (day.year != today.year)
