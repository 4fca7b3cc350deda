"""Which rows an aim to forget is about: those that it names, what came of them, and what quotes them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from bot.brain.reactive import one_line
from bot.domain.errors import ToolFailed
from bot.domain.memory import Trust
from bot.services.aims import Aim, patterns
from storage.database import Database
from storage.repositories.base import FIRST_ID
from storage.repositories.forgetting import EVERY, SHELVES, STAY

SAMPLES = 5
RUN = 6
"""Words in a row that are nobody else's: what holds them quotes what was said."""
FEWEST = 3
"""Words of a note that is known again anywhere; a shorter one only where it stands alone in a line, as in a list."""
LONGEST_READ = 20_000
"""Characters of a text in which runs are looked for."""
QUOTING = ("messages", "journal", "briefs", "proposals", "cached")
DATED = ("memories", "messages", "notes")
"""What a time alone names; the rest goes with what it came of."""
_WORD = re.compile(r"[^\W_]+")
_NAMES = {
    "sayings": ("saying", "sayings"),
    "answers": ("answer", "answers"),
    "notes": ("note", "notes"),
    "summaries": ("summary", "summaries"),
    "cached": ("ready answer", "ready answers"),
    "patterns": ("learned phrase", "learned phrases"),
    "proposals": ("proposal", "proposals"),
    "journal": ("line of the journal", "lines of the journal"),
    "briefs": ("brief", "briefs"),
}


@dataclass(kw_only=True, slots=True)
class Trace:
    """What goes, by shelf; some of it in its own words; how many sayings hold a word and yet not all; what is made of it and stays."""

    rows: dict[str, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)
    holding: Counter[str] = field(default_factory=Counter)
    partly: int = 0
    staying: Counter[str] = field(default_factory=Counter)

    def counted(self) -> str:
        """`3 sayings, 1 note`."""
        return ", ".join(f"{self.counts[kind]} {names[self.counts[kind] != 1]}" for kind, names in _NAMES.items() if self.counts[kind])


async def every(database: Database, shelves: Iterable[str], user_id: UUID) -> AsyncIterator[tuple[str, Any]]:
    """All of a person's rows of these, a few hundred at a time, so that nobody waits for the whole. Raises StorageUnavailable."""
    for shelf in shelves:
        rows, after = [None], FIRST_ID
        while rows:
            async with database.reading() as work:
                rows = await work.forgettings.rows(shelf, user_id, after)
            for row in rows:
                yield shelf, row
                after = getattr(row, EVERY[shelf].key)


async def beginning(database: Database, user_id: UUID, begins: str) -> UUID:
    """The one memory, message or note of a person's whose id begins with these digits. Raises ToolFailed where it is none, or several."""
    before = UUID(int=max(int(begins[:32].ljust(32, "0"), 16) - 1, 0))
    async with database.reading() as work:
        rows = [row for shelf in DATED for row in await work.forgettings.rows(shelf, user_id, before, limit=SAMPLES)]
    ids: list[UUID] = [row.id for row in rows if row.id.hex.startswith(begins)]
    if len(ids) != 1:
        several = " or ".join(f"`{each}`" for each in ids[:SAMPLES])
        raise ToolFailed(f"Several begin so: {several}. Which one?" if ids else "Nothing of yours has that id.")
    return ids[0]


async def trace(database: Database, user_id: UUID, aim: Aim, *, but: Collection[UUID] = ()) -> Trace:
    """What goes by *aim*; what goes already (`but`) is neither counted nor shown. Raises StorageUnavailable."""
    graph = _Graph(aim=aim, but=but)
    async for shelf, row in every(database, SHELVES, user_id):
        graph.add(shelf, row)
    summaries = [which for which, (shelf, _) in graph.rows.items() if shelf == "summaries"]
    for start in range(0, len(summaries), 500):
        async with database.reading() as work:
            for summary, memory in await work.forgettings.sources(summaries[start : start + 500]):
                graph.after[memory].append(summary)
    if graph.is_quotable(goes := graph.reached()):
        async for shelf, row in every(database, QUOTING, user_id):
            graph.quote(shelf, row, goes)
        goes = graph.reached()
    async for shelf, row in every(database, STAY, user_id):
        graph.found.staying[shelf] += graph.is_made_of(shelf, row, goes)
    return graph.told(goes)


class _Graph:
    """Rows, each by its shelf and what it counts as, and which take others along; ids are unique among all tables."""

    def __init__(self, *, aim: Aim, but: Collection[UUID]) -> None:
        self._aim, self._patterns = aim, patterns(aim.words)
        self._uncounted = {aim.order, *but}
        self.found = Trace()
        self.rows: dict[UUID, tuple[str, str]] = {}
        self.after: dict[UUID, list[UUID]] = defaultdict(list)
        self._seeds: set[UUID] = set()
        self._runs: set[tuple[str, ...]] = set()
        self._notes: dict[UUID, str] = {}
        self._quoted: list[str] = []

    def add(self, shelf: str, row: Any) -> None:
        """Take a row in."""
        self.rows[row.id] = shelf, _kind(shelf, row)
        for cause in SHELVES[shelf].follows(row):
            self.after[cause].append(row.id)
            if shelf == "messages" and cause == self._aim.order:  # the preview
                self._uncounted.add(row.id)
        if shelf == "memories" and row.message_id is not None:
            self.after[row.id].append(row.message_id)
        said = SHELVES[shelf].said(row)
        if shelf == "notes":
            self._notes[row.id] = _plain(said)
        if self._is_meant(shelf, row, said):
            self._seeds.add(row.id)
            self._sample(shelf, row, said)
            if shelf == "notes" or (shelf == "memories" and row.trust == Trust.OWN) or getattr(row, "direction", "") == "in":
                self._runs |= _runs(said)

    def is_quotable(self, goes: Collection[UUID]) -> bool:
        """Whether anything that goes can be known again where it is quoted."""
        self._quoted = [text for note, text in self._notes.items() if note in goes and text]
        return bool(self._runs or self._quoted)

    def quote(self, shelf: str, row: Any, goes: Collection[UUID]) -> None:
        """Have a row go that quotes what goes: a run of words, or the whole of a note."""
        if row.id in goes or getattr(row, "direction", "") == "in":
            return
        said = SHELVES[shelf].said(row)
        plain = f" {_plain(said)} " if self._quoted else ""
        lines = {_plain(line.rpartition(": ")[2]) for line in said.splitlines()} if self._quoted else set()
        is_note = any(f" {note} " in plain if note.count(" ") >= FEWEST - 1 else note in lines for note in self._quoted)
        if is_note or not self._runs.isdisjoint(_runs(said)):
            self._seeds.add(row.id)

    def is_made_of(self, shelf: str, row: Any, goes: Collection[UUID]) -> bool:
        """Whether a row that stays came of what goes, or holds the words."""
        is_of_it = any(cause in goes for cause in STAY[shelf].follows(row))
        return is_of_it or (bool(self._patterns) and all(pattern.search(STAY[shelf].said(row)) for pattern in self._patterns))

    def reached(self) -> set[UUID]:
        """What is meant, and all that it takes along."""
        goes: set[UUID] = set()
        line = [*self._seeds]
        while line:
            each = line.pop()
            if each not in goes:
                goes.add(each)
                line.extend(which for which in self.after.get(each, ()) if which in self.rows)
        return goes

    def told(self, goes: Collection[UUID]) -> Trace:
        """What goes; the aim itself and its preview go too, and do not count."""
        for each in sorted(goes):
            shelf, kind = self.rows[each]
            self.found.rows[shelf].append(each)
            self.found.counts[kind] += each not in self._uncounted
        return self.found

    def _is_meant(self, shelf: str, row: Any, said: str) -> bool:
        aim = self._aim
        if row.id == aim.order or self._is_named(row):
            return True
        if row.id > aim.order or not (aim.words or aim.is_all or (aim.since and shelf in DATED)) or not said:
            return False
        if aim.since and aim.until and not aim.since <= getattr(row, SHELVES[shelf].at) < aim.until:
            return False
        held = [word for word, pattern in zip(aim.words, self._patterns, strict=True) if pattern.search(said)]
        is_all = len(held) == len(aim.words)
        if self.rows[row.id][1] == "sayings" and row.id not in self._uncounted:
            self.found.holding.update(held)
            self.found.partly += bool(held) and not is_all
        return is_all

    def _is_named(self, row: Any) -> bool:
        """Whether its id is named, or that of the message it is the memory of."""
        return row.id in self._aim.ids or getattr(row, "message_id", None) in self._aim.ids

    def _sample(self, shelf: str, row: Any, said: str) -> None:
        """Show the first few in their own words, but none that were said in another tone."""
        is_shown = shelf == "notes"
        if shelf == "memories":
            is_shown = row.part == 0 and (row.trust == Trust.OWN or (self._is_named(row) and row.trust != Trust.INTIMATE))
        samples, told = self.found.samples, one_line(said, 100)
        if is_shown and row.id not in self._uncounted and len(samples) < SAMPLES and told not in samples:
            samples.append(told)


def _kind(shelf: str, row: Any) -> str:
    """What a row counts as; a memory of a message, or a further part of a text, as nothing."""
    if shelf == "messages":
        return "sayings" if row.direction == "in" else "answers"
    if shelf == "memories":
        return "sayings" if row.message_id is None and row.part == 0 else ""
    return shelf


def _plain(said: str) -> str:
    return " ".join(_WORD.findall(said[:LONGEST_READ].lower()))


def _runs(said: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(said[:LONGEST_READ].lower())
    return {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}
