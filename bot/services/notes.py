"""Sticky notes: a person's own words, kept until they are wanted; what they are, how they are told, and where each came from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, holds, title_of
from bot.services.dates import Unclear, When, find_when
from bot.services.journal import added, record
from bot.services.note_keeping import BY_HAND, BY_RULES, keep_note
from bot.services.noticing import by_hand
from storage.database import UnitOfWork
from storage.models.memory import StickyNote

MOST = 10_000
"""Notes that are looked through, the newest first; by that number in their list they are named."""

LISTED = 20
TITLES = {
    "date": "Dates",
    "promise": "Promises",
    "decision": "Decisions",
    "preference": "Preferences",
    "fact": "Facts",
    "note": "Notes",
}  # fmt: skip
DATED = ("date", "promise")
"""Kinds of which a day is expected: one that cannot be understood is asked about, rather than silently dropped."""


class Notes(Book[StickyNote]):
    """The notes of each person."""

    table, noun = "notes", "note"

    async def take(self, errand: Errand, words: str) -> tuple[StickyNote, str]:
        """Keep these words, once for the errand. Raises ToolFailed where there are none."""
        if not words.strip():
            raise ToolFailed("What shall I note? Write it after the word: `/note Dana likes tulips`.")
        now = self._clock.now()
        one = by_hand(words, now=self.local(errand.person))
        async with self._database.unit_of_work() as work:
            said = await work.memories.of_messages([errand.source_id]) if errand.source_id else []
            memory_id = said[0].id if said else None
            note, text = await keep_note(work, errand, one, made_by=BY_HAND, now=now, memory_id=memory_id)
        if note is None:
            raise ToolFailed("That note is no more.")
        when = find_when(words, now=self.local(errand.person)) if one.kind in DATED and one.on is None else None
        return note, f"{text} I put no day to it: {when.question}" if isinstance(when, Unclear) else text

    def line(self, row: StickyNote, now: datetime) -> str:
        """A note in its own words."""
        return f"{row.text}, {_on(row, now)}" if row.on else row.text

    async def told(self, person: Person, words: str) -> str:
        """The notes that hold and have these words, by kind; `all` those too that were superseded; a number where that one came from."""
        every, now = words.strip().lower() == "all", self.local(person)
        async with self._database.reading() as work:
            rows = [row for row in await work.notes.latest(person.id, limit=MOST) if row.forgotten_by is None] if every else []
            held = list(enumerate(await self._standing(work, person.id), start=1))
        if words.strip().isdecimal() and 0 < int(words) <= len(held):
            return await self._whence(held[int(words) - 1][1], now)
        found = [pair for pair in held if every or holds(f"{pair[1].kind} {pair[1].topic} {pair[1].text}", words)]
        if not found and not rows:
            return f"No note has “{one_line(words, 60)}” in it." if held else "You have no notes yet. `/note` and some words keeps one."
        lines = [(row, f"**{place}** {_line(row, now)}") for place, row in found[: None if words.strip() else LISTED]]
        lines += [(row, f"~~{one_line(row.text)}~~ (until {_day(row.valid_until, now)})") for row in rows if row.valid_until]
        parts = [
            "\n".join([f"**{title}**", "", *(f"- {line}" for line in same)])
            for kind, title in TITLES.items()
            if (same := [line for row, line in lines if row.kind == kind])
        ]
        more = f"And {len(found) - LISTED} more: `/notes all`, or `/notes` and a word." if not words.strip() and len(found) > LISTED else ""
        return "\n\n".join(filter(None, [*parts, more]))

    async def _whence(self, row: StickyNote, now: datetime) -> str:
        """A note, and where it came from."""
        async with self._database.reading() as work:
            said = await work.memories.by_ids([row.memory_id]) if row.memory_id else []
        how = {BY_HAND: "you wanted it noted", BY_RULES: "I noticed it in what you said"}.get(
            row.made_by, f"{row.made_by} noticed it in what you said"
        )
        quoted = "".join(f"\n\n> {one_line(each.text, LONGEST)}" for each in said if each.forgotten_by is None)
        return f"{_line(row, now)}\n\nA {row.kind}: {how}.{quoted}"

    async def edit(self, errand: Errand, row: StickyNote, words: str) -> str:
        """Give a note other words: it is another, in its place, and what it came from is not told again."""
        if not words.strip():
            raise ToolFailed("What shall it become? For example `/note edit 1 Dana likes roses`.")
        one, text, now = by_hand(words, now=self.local(errand.person)), f"Changed: {words}", self._clock.now()
        about = {"kind": one.kind, "topic": one.topic, "on": one.on, "made_by": BY_HAND}
        async with self._database.unit_of_work() as work:
            if (line := await work.activities.find_by_key(errand.key)) is not None:
                return line.text
            old = await work.notes.find_by_id(row.id)
            if old is None or old.user_id != errand.person.id or old.superseded_by:
                raise ToolFailed("That note is no more.")
            note = await work.notes.add(user_id=old.user_id, text=words, now=old.created_at, source_id=errand.source_id, **about)
            await work.notes.supersede(old, note, now)
            await record(work, errand, "note.edit", text, now=now, undo=added("notes", note.id))
        return text

    async def remove(self, errand: Errand, row: StickyNote, words: str = "") -> str:
        """Throw a note away, for good, with what it was before it was edited."""
        text = f"Removed the note: {title_of(row)}"
        async with self._database.unit_of_work() as work:
            if row.user_id == errand.person.id and await record(work, errand, "note.remove", text, now=self._clock.now()):
                while earlier := await work.notes.edited_into(row):
                    await work.notes.remove(earlier[0].id)
                await work.notes.remove(row.id)
        return text

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[StickyNote]:
        return list(await work.notes.holding(user_id, limit=MOST))


def _line(row: StickyNote, now: datetime) -> str:
    """A note in a list: its words, its day, and when it was said."""
    return f"{one_line(row.text)} ({f'{_on(row, now)}; ' if row.on else ''}said {_day(row.created_at, now)})"


def _on(row: StickyNote, now: datetime) -> str:
    return When(date=row.on, spans=()).spoken(now) if row.on else ""


def _day(moment: datetime | None, now: datetime) -> str:
    local = (moment or now).astimezone(now.tzinfo)
    return f"{local.day} {local:%b}" + f" {local.year}" * (local.year != now.year)
