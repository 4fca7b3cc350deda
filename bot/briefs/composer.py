"""Composes a brief: asks every source at once, within a bound, orders what they tell; a model words the opening if one is well."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import structlog

from bot.brain.budget import settle
from bot.brain.chain import FallbackChain
from bot.brain.context import PROMPTS, spoken_date
from bot.brain.personality import Personality, personality_of
from bot.brain.reactive import one_line
from bot.briefs.wording import NICE, PRESSING, is_borne_out, plain_opening, tone_of
from bot.domain.address import Person
from bot.domain.brief import BriefSource, Day, Item, Section, Slot
from bot.domain.clock import Clock
from bot.domain.errors import AllLevelsFailed, StorageError
from bot.domain.message import Button
from bot.domain.thought import Attempt, Line, Prompt, Role
from bot.services.notices import bare_line
from storage.database import Database, UnitOfWork

log = structlog.get_logger(__name__)

EMAIL = "email"
"""Where a mailbox may be read by others, so that the tone is professional."""
SOURCE_SECONDS = 5.0
OPENING_SECONDS = 15.0
MOST_BUTTONS = 8
LONGEST_LABEL = 28
"""Characters of an item's text on its button."""
SHORT_ITEMS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Brief:
    """A composed brief; `notes` are what must be said about itself: that it is late, or what was left out before it."""

    slot: Slot
    title: str
    sections: tuple[Section, ...]
    opening: str
    notes: tuple[str, ...] = ()
    personality: Personality = field(default_factory=Personality)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing in it is more than nice to know."""
        return all(section.weight <= NICE for section in self.sections)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The few that matter most, each named after its item."""
        return tuple(
            Button(label=f"{button.label}: {one_line(bare_line(item.text, 100), LONGEST_LABEL)}", command=button.command)
            for item in _with_buttons(self.sections)
            for button in item.buttons
        )

    @property
    def text(self) -> str:
        """All of it, in Markdown. What no button stands for is followed by the words that do the same."""
        pressed = _with_buttons(self.sections)
        parts = [f"# {self.title}", *(f"*{note}*" for note in self.notes), self.opening]
        for section in self.sections:
            by_words = [f" (`{item.buttons[0].command}`)" if item.buttons and item not in pressed else "" for item in section.items]
            lines = [f"- {item.text}{words}" for item, words in zip(section.items, by_words, strict=True)]
            more = [f"- … and {section.more} more"] if section.more else []
            parts.append("\n".join([f"**{section.title}**", "", *lines, *more]))
        return "\n\n".join(parts)

    @property
    def short_text(self) -> str:
        """At most six lines: its most pressing items alone."""
        head = " ".join([*self.notes, self.opening, f"`/brief {self.slot}` shows all."])
        items = [f"- {section.title}: {item.text}" for section in self.sections for item in section.items]
        return "\n".join([f"# {self.title}", head, *items[:SHORT_ITEMS]])

    @property
    def quiet_text(self) -> str:
        """One line for when there is nothing to say."""
        return " ".join([self.opening, *self.notes])


class Composer:
    """Makes briefs out of sources; without a *chain* that may word one, every word is code's."""

    def __init__(self, *, sources: Sequence[BriefSource], database: Database, chain: FallbackChain | None, clock: Clock) -> None:
        self._sources = sources
        self._database = database
        self._chain = chain
        self._clock = clock
        self._prompt = (PROMPTS / "brief_opening.md").read_text("utf-8").strip()

    async def compose(
        self, person: Person, slot: Slot, *, now: datetime, since: datetime, on: date | None = None, channel: str = ""
    ) -> Brief:
        """The brief as of now, of today or the day *on* which it was due, for a private conversation on a *channel*.

        Complete without any model. Raises StorageUnavailable.
        """
        local = now.astimezone(ZoneInfo(person.timezone))
        async with self._database.reading() as work:
            personality = await personality_of(work, person, context="brief", now=now, is_private_chat=channel != EMAIL)
        day = Day(slot=slot, date=on or local.date(), now=local, since=since, room=personality.tasks_per_day)
        told = await asyncio.gather(*(self._ask(source, person, day, personality.brief_items) for source in self._sources))
        ordered = sorted((section for sections in told for section in sections if section.items), key=lambda section: -section.weight)
        title = f"{slot.capitalize()} brief, {spoken_date(datetime.combine(day.date, time()))}"
        opening = plain_opening(slot, ordered, personality)
        return Brief(slot=slot, title=title, sections=tuple(ordered), opening=opening, personality=personality)

    async def worded(self, brief: Brief, person: Person) -> Brief:
        """With a model's opening, if one is well and says nothing that is not in the brief. Raises StorageUnavailable."""
        if self._chain is None or not self._chain.rungs or brief.is_quiet:
            return brief
        now = self._clock.now()
        words = self._words(brief, person)
        attempts: Sequence[object] = ()
        try:
            completion = await self._chain.complete(words, seconds=OPENING_SECONDS)
            attempts, opening = completion.attempts, " ".join(completion.text.split())
            is_fit = not completion.is_cut and is_borne_out(opening, f"{brief.text} {person.name}")
        except AllLevelsFailed as error:
            attempts, opening, is_fit = error.attempts, "", False
        made = [each for each in attempts if isinstance(each, Attempt)]
        await self._keep(lambda work: settle(work, made, event_id=None, now=now))  # else what was set aside stays spent: the safe side
        return replace(brief, opening=opening) if is_fit else brief

    async def _ask(self, source: BriefSource, person: Person, day: Day, longest: int) -> Sequence[Section]:
        """What a source tells; one that breaks or hangs is passed over, and that is said."""
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await source.sections(person, day, longest=longest)
        except Exception as error:  # an edge that must survive: the other parts are worth having
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(source).__name__).lower()
            log.exception("brief.part_missing", source=name)
            what = {"kind": "brief_part", "key": f"{name}/{day.date}", "detail": one_line(f"{type(error).__name__}: {error}")}
            await self._keep(lambda work: work.incidents.add_once(**what, now=self._clock.now()))
            item = Item(text=f"I could not look at one part just now ({name}); it is noted, and the rest is complete.")
            return [Section(key=f"missing {name}", title="Missing here", items=[item], weight=PRESSING - 1)]

    async def _keep(self, act: Callable[[UnitOfWork], Awaitable[object]]) -> None:
        """Do it in a transaction of its own, if the database can be had."""
        try:
            async with self._database.unit_of_work() as work:
                await act(work)
        except StorageError as error:
            log.warning("brief.not_kept", error=str(error))

    def _words(self, brief: Brief, person: Person) -> Prompt:
        system = self._prompt.format(person=person.name, tone=tone_of(brief.personality))
        material = re.sub(r"<\s*/?\s*brief", "‹brief", brief.text, flags=re.I)
        text = f"<brief>\n{material}\n</brief>\n\nWrite the opening of this {brief.slot} brief."
        return Prompt(system=system, brief_system=system, lines=(Line(role=Role.USER, text=text),))


def _with_buttons(sections: Sequence[Section]) -> list[Item]:
    """The first items whose buttons find room, all of an item's or none."""
    room, found = MOST_BUTTONS, []
    for item in (item for section in sections for item in section.items if item.buttons):
        room -= len(item.buttons)
        if room < 0:
            break
        found.append(item)
    return found
