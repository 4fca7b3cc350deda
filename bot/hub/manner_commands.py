"""Commands, buttons and plain words that set how Robbie is: /mood, /gandhi, /cocktail, /flirty."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, NORMAL, PARTS, RIGHT, SLIDERS
from bot.brain.reactive import IN_PRIVATE
from bot.domain.address import Person, SessionType
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.message import Button
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.manners import PLACES, Changes, Manners, Standing, bar, spoken_end

_PLACE = re.compile(rf"\b(?:in|for|on) (?:the )?(?:({'|'.join(CONTEXTS)})s?|(mail)s?|({'|'.join(PARTS)}))\b", re.I)
_POLITE = re.compile(r"(?:(?:please|hey|ok|okay|robbie)\b[,:]?\s+)*(.*?)(?:,?\s+(?:please|robbie|again))*[\s.!]*", re.I | re.DOTALL)
_TIMED = re.compile(r"(?:until|till|to|for|today|tonight|this|now)\b", re.I)
_WORDS = tomllib.loads((Path(__file__).parent / "manner_words.toml").read_text("utf-8"))
_MEANT = {sentence: command for command, sentences in _WORDS.items() for sentence in sentences}


class FindEnd(Protocol):
    """Reads until when something holds out of words such as "until 6pm" or "today"."""

    def __call__(self, text: str, *, now: datetime) -> datetime | None:
        """The moment at which that ends, or None where the words name none; `now` is in the person's zone."""


class MannerCommands:
    """The table of its commands, and the plain words that stand for them."""

    def __init__(self, *, manners: Manners, find_end: FindEnd, clock: Clock) -> None:
        self._manners = manners
        self._find_end = find_end
        self._clock = clock
        self.table: Mapping[str, Command] = {"mood": self._mood, **{name: self._slider(name) for name in SLIDERS}}

    def plain(self, text: str) -> str:
        """The command that the whole of *text* stands for; empty where it stands for none, or something of it is not understood."""
        found = _POLITE.fullmatch(text)
        words = found.group(1).split() if found else []
        for count in range(len(words), 0, -1):
            command = _MEANT.get(" ".join(words[:count]).casefold().rstrip(",").replace("’", "'"))
            if command is not None:
                rest = " ".join(words[count:])
                return f"/{command} {rest}".strip() if self._is_understood(rest) else ""
        return ""

    def _is_understood(self, rest: str) -> bool:
        _, when = _split(rest)
        return not when or (_TIMED.match(when) is not None and self._find_end(when, now=self._clock.now()) is not None)

    async def _mood(self, question: Question, words: str) -> str | Card:
        """Everything; or a mood, or `gandhi=3 mood=playful` of any number, with a place and an end."""
        first, *rest = words.casefold().removeprefix("set ").split() or [""]
        if not first:
            return IN_PRIVATE if question.session_type is SessionType.SHARED else await self.shown(question.person)
        if first in SLIDERS:
            return await self._slider(first)(question, " ".join(rest))
        values = [first, *(word for word in rest if "=" in word)]
        return await self._set(question, changes_of(values), " ".join(word for word in rest if "=" not in word))

    def _slider(self, name: str) -> Command:
        async def slid(question: Question, words: str) -> str | Card:
            value, *rest = words.casefold().split() or [""]
            if value:
                return await self._set(question, {name: value}, " ".join(rest))
            return IN_PRIVATE if question.session_type is SessionType.SHARED else await self.shown(question.person, (name,))

        return slid

    async def _set(self, question: Question, changes: Changes, words: str) -> str | Card:
        is_shared, (context, when) = question.session_type is SessionType.SHARED, _split(words)
        now = self._clock.now().astimezone(ZoneInfo(question.person.timezone))
        end = self._find_end(when, now=now) if when else None
        if when and end is None:
            return f"I understood all but “{when}”. Say it as `today`, `until 6pm` or `until Friday`, and where as `in private`."
        errand = Errand(
            person=question.person,
            key=f"manners/{question.id}",
            why=question.text[:200],
            conversation_id=question.conversation_id,
            source_id=question.id,
            session_type=question.session_type,
        )
        context = "channel" if is_shared and context == EVERYWHERE else context
        source = "command" if question.text.lstrip().startswith("/") else "words"
        card = await self._manners.set(errand, changes, context=context, expires_at=end, source=source)
        if not card.buttons or not question.is_pressed or is_shared:
            return card
        shown = await self.shown(question.person)  # it takes the place of the card whose button was pressed, to be pressed again
        return Card(text=f"{shown.text}\n\n{card.text}", buttons=(*shown.buttons, *card.buttons))

    async def shown(self, person: Person, names: Sequence[str] = tuple(SLIDERS)) -> Card:
        """How Robbie is set with somebody, with buttons to change it."""
        standings = await self._manners.look(person)
        names = [name for name in names if name != "flirty" or person.is_owner]
        steps = [(name, getattr(standings[0].personality, name)) for name in names]
        nudges = [
            Button(label=f"{SLIDERS[name][end]} {sign}1", command=f"/{name} {sign}1")
            for name, step in steps
            for end, sign, last in ((0, "-", LEFT), (1, "+", RIGHT))
            if step != last
        ]
        moods = [Button(label=mood.title(), command=f"/mood {mood}") for mood in MOODS if mood != standings[0].personality.mood]
        return Card(text=told(standings, person, names), buttons=(*nudges, *(moods if len(names) > 1 else ())))


def changes_of(values: Sequence[str]) -> Changes:
    """What `gandhi=3`, a mood by itself, or `normal` would change."""
    if NORMAL in values:
        return dict.fromkeys((*SLIDERS, "mood"), NORMAL)
    pairs = (value.casefold().rpartition("=") for value in values)
    return {name or "mood": value for name, _, value in pairs}


def told(standings: Sequence[Standing], person: Person, names: Sequence[str] = tuple(SLIDERS)) -> str:
    """How Robbie is set, as a person reads it: first in private, then wherever something else is set."""
    shown = [standings[0], *(each for each in standings[1:] if each.is_own)]
    return "\n\n".join(f"**{PLACES[each.context].capitalize()}**\n\n{_lines(each, person, names)}" for each in shown)


def _lines(standing: Standing, person: Person, names: Sequence[str]) -> str:
    personality, lines = standing.personality, []
    for name in names:
        (left, right), step = SLIDERS[name], getattr(standing.personality, name)
        figures = "; ".join(f"{label} {getattr(personality, figure)}" for figure, label in FIGURES[name].items())
        lines.append(f"- {left} {bar(step)} {right}, {step}" + (f": {figures}" if figures else "") + _end(standing, name, person))
    return "\n".join([*lines, f"- Mood: {personality.mood}{_end(standing, 'mood', person)}"])


def _end(standing: Standing, name: str, person: Person) -> str:
    return f" (until {spoken_end(standing.until[name], person)})" if name in standing.until else ""


def _split(words: str) -> tuple[str, str]:
    """The context that is named, and what else is said."""
    found = _PLACE.search(words)
    if found is None:
        return EVERYWHERE, words.strip()
    context = "email" if found.group(2) else (found.group(1) or found.group(3)).lower()
    return context, " ".join((words[: found.start()] + words[found.end() :]).split())
