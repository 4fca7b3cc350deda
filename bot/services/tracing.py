"""Which rows an aim to forget is about: those that it names, what came of them, and what quotes them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from bot.brain.reactive import one_line
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
    "sayings": "saying",
    "answers": "answer",
    "notes": "note",
    "summaries": "summary",
    "cached": "ready answer",
    "patterns": "learned phrase",
    "proposals": "proposal",
    "journal": "line of the journal",
    "briefs": "brief",
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


async def every(database: Database, shelf: str, user_id: UUID) -> AsyncIterator[Any]:
    """All of a person's rows of a shelf, a few hundred at a time, so that nobody waits for the whole. Raises StorageUnavailable."""
    after = FIRST_ID
    while True:
        async with database.reading() as work:
            rows = await work.forgettings.rows(shelf, user_id, after)
        for row in rows:
            yield row
        if not rows:
            return
        after = getattr(rows[-1], EVERY[shelf].key)


async def trace(database: Database, user_id: UUID, aim: Aim, *, but: Collection[UUID] = ()) -> Trace:
    """What goes by *aim*; what goes already (`but`) is neither counted nor shown. Raises StorageUnavailable."""
    graph = _Graph(aim=aim, but=but)
    for shelf in SHELVES:
        async for row in every(database, shelf, user_id):
            graph.add(shelf, row)
    await _link_summaries(database, graph)
    goes = graph.reached()
    for shelf in QUOTING if graph.is_quotable(goes) else ():
        async for row in every(database, shelf, user_id):
            graph.quote(shelf, row, goes)
    goes = graph.reached()
    for shelf in STAY:
        async for row in every(database, shelf, user_id):
            graph.found.staying[shelf] += graph.made_of(shelf, row, goes)
    return graph.told(goes)


async def _link_summaries(database: Database, graph: _Graph) -> None:
    summaries = [row for row, shelf in graph.shelf.items() if shelf == "summaries"]
    for start in range(0, len(summaries), 500):
        async with database.reading() as work:
            for summary, memory in await work.forgettings.sources(summaries[start : start + 500]):
                graph.after[memory].append(summary)


class _Graph:
    """Rows, and which take others along; ids are unique among all tables."""

    def __init__(self, *, aim: Aim, but: Collection[UUID]) -> None:
        self._aim, self._but, self._patterns = aim, but, patterns(aim.words)
        self.found = Trace()
        self.shelf: dict[UUID, str] = {}
        self.kind: dict[UUID, str] = {}
        self.after: dict[UUID, list[UUID]] = defaultdict(list)
        self.seeds: set[UUID] = set()
        self.orders: set[UUID] = set()
        self.runs: set[tuple[str, ...]] = set()
        self.notes: list[str] = []
        self._texts: dict[UUID, str] = {}

    def add(self, shelf: str, row: Any) -> None:
        """Take a row in."""
        each = SHELVES[shelf]
        self.shelf[row.id], self.kind[row.id] = shelf, _kind(shelf, row)
        for cause in each.follows(row):
            if cause is not None:
                self.after[cause].append(row.id)
                if shelf == "messages" and cause == self._aim.order:
                    self.orders.add(row.id)
        if shelf == "memories" and row.message_id is not None:
            self.after[row.id].append(row.message_id)
        said = each.said(row)
        if shelf == "notes":
            self._texts[row.id] = _plain(said)
        if self._is_meant(shelf, row, said):
            self.seeds.add(row.id)
            self._sample(shelf, row, said)
            if shelf == "notes" or (shelf == "memories" and row.trust == Trust.OWN) or getattr(row, "direction", "") == "in":
                self.runs |= _runs(said)

    def quote(self, shelf: str, row: Any, goes: Collection[UUID]) -> None:
        """Have a row go that quotes what goes: a run of words, or the whole of a note."""
        if row.id in goes or getattr(row, "direction", "") == "in":
            return
        said = SHELVES[shelf].said(row)
        plain = f" {_plain(said)} " if self.notes else ""
        lines = {_plain(line.rpartition(": ")[2]) for line in said.splitlines()} if self.notes else set()
        is_note = any(f" {note} " in plain if note.count(" ") >= FEWEST - 1 else note in lines for note in self.notes)
        if is_note or not self.runs.isdisjoint(_runs(said)):
            self.seeds.add(row.id)

    def made_of(self, shelf: str, row: Any, goes: Collection[UUID]) -> bool:
        """Whether a row that stays came of what goes, or holds the words."""
        each = STAY[shelf]
        is_of_it = any(cause in goes for cause in each.follows(row))
        return is_of_it or (bool(self._patterns) and all(pattern.search(each.said(row)) for pattern in self._patterns))

    def is_quotable(self, goes: Collection[UUID]) -> bool:
        """Whether anything that goes can be known again where it is quoted."""
        self.notes = [text for note, text in self._texts.items() if note in goes and text]
        return bool(self.runs or self.notes)

    def told(self, goes: Collection[UUID]) -> Trace:
        """What goes; the aim itself and its preview go too, and do not count."""
        for each in sorted(goes):
            self.found.rows[self.shelf[each]].append(each)
            self.found.counts[self.kind[each]] += each != self._aim.order and each not in self.orders and each not in self._but
        return self.found

    def reached(self) -> set[UUID]:
        """What is meant, and all that it takes along."""
        goes: set[UUID] = set()
        line = [*self.seeds]
        while line:
            each = line.pop()
            if each not in goes:
                goes.add(each)
                line.extend(next_one for next_one in self.after[each] if next_one in self.shelf)
        return goes

    def _is_meant(self, shelf: str, row: Any, said: str) -> bool:
        aim = self._aim
        if row.id == aim.order or self._is_named(row):
            return True
        if aim.begins:
            return shelf in DATED and row.id.hex.startswith(aim.begins)
        if row.id > aim.order or not (aim.words or aim.is_all or (aim.since and shelf in DATED)) or not said:
            return False
        at = getattr(row, SHELVES[shelf].at)
        if aim.since and aim.until and not aim.since <= at < aim.until:
            return False
        held = [word for word, pattern in zip(aim.words, self._patterns, strict=True) if pattern.search(said)]
        is_all = len(held) == len(aim.words)
        if self.kind[row.id] == "sayings" and row.id not in self._but:
            self.found.holding.update(held)
            self.found.partly += bool(held) and not is_all
        return is_all

    def _is_named(self, row: Any) -> bool:
        """Whether its id is named, or that of the message it is the memory of."""
        return row.id in self._aim.ids or getattr(row, "message_id", None) in self._aim.ids

    def _sample(self, shelf: str, row: Any, said: str) -> None:
        """Show the first few in their own words, but none that were said in another tone."""
        if shelf == "memories":
            is_shown = row.part == 0 and (row.trust == Trust.OWN or (self._is_named(row) and row.trust != Trust.INTIMATE))
        else:
            is_shown = shelf == "notes"
        sample = one_line(said, 100)
        if is_shown and row.id not in self._but and len(self.found.samples) < SAMPLES and sample not in self.found.samples:
            self.found.samples.append(sample)


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


def counted(counts: Counter[str]) -> str:
    """`3 sayings, 1 note`."""
    told = [(counts[kind], name) for kind, name in _NAMES.items() if counts[kind]]
    plural = {"line of the journal": "lines of the journal", "summary": "summaries"}
    return ", ".join(f"{number} {name if number == 1 else plural.get(name, f'{name}s')}" for number, name in told)
