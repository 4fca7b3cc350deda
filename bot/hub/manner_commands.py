"""Commands, buttons and plain words that set how Robbie is: /mood, /gandhi, /cocktail, /flirty, /mentor."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bot.brain.mentors import MENTORS, introduced, read_setting
from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, NORMAL, PARTS, RIGHT, SLIDERS, VALUES
from bot.brain.reactive import IN_PRIVATE
from bot.brain.tone import context_of
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.message import Button
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.manners import PLACES, Changes, Manners, Standing, bar, read_end, spoken_end

_PLACE = re.compile(rf"\b(?:in|for|on) (?:the )?(?:({'|'.join(CONTEXTS)})s?|(mail)s?|({'|'.join(PARTS)}))\b", re.I)
_POLITE = re.compile(r"(?:(?:please|hey|ok|okay|robbie)\b[,:]?\s+)*(.*?)(?:,?\s+(?:please|robbie|again))*[\s.!]*", re.I | re.DOTALL)
_TIMED = re.compile(r"(?:until|till|to|for|today|tonight|this|now)\b", re.I)
_MENTIONED = "`/mentor churchill determined until 6pm`, for example; or ask me what Einstein would say about it, and he speaks that once."
_WORDS = tomllib.loads((Path(__file__).parent / "manner_words.toml").read_text("utf-8"))
_MEANT = {sentence: command for command, sentences in _WORDS.items() for sentence in sentences}


class MannerCommands:
    """The table of its commands, and the plain words that stand for them."""

    def __init__(self, *, manners: Manners, clock: Clock) -> None:
        self._manners = manners
        self._clock = clock
        self.table: Mapping[str, Command] = {"mood": self._mood, "mentor": self._mentor} | {name: self._slider(name) for name in SLIDERS}

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
        end = read_end(when, timezone="UTC", now=self._clock.now()) if _TIMED.match(when) else ""
        return not when or isinstance(end, datetime)

    async def _mood(self, question: Question, words: str) -> str | Card:
        """Everything; or a mood, or `gandhi=3 mood=playful` of any number, with a place and an end."""
        first, *rest = words.casefold().removeprefix("set ").split() or [""]
        if first in ("", "show"):
            return await self._shown(question)
        if first in SLIDERS:
            return await self._slider(first)(question, " ".join(rest))
        values = [first, *(word for word in rest if "=" in word)]
        return await self._set(question, changes_of(values), " ".join(word for word in rest if "=" not in word))

    def _slider(self, name: str) -> Command:
        async def slid(question: Question, words: str) -> str | Card:
            value, *rest = words.casefold().split() or [""]
            return await (self._set(question, {name: value}, " ".join(rest)) if value else self._shown(question, (name,)))

        return slid

    async def _mentor(self, question: Question, words: str) -> str | Card:
        """Who speaks beside Robbie, and who might; or a name, perhaps a mood, a place and an end."""
        value, rest = read_setting(words)
        if value:
            return await self._set(question, {"mentor": value}, rest)
        return await self._mentors(_heard(question)) if question.is_private else IN_PRIVATE

    async def _mentors(self, person: Person) -> Card:
        """Who is set, the six and how well each did, with buttons."""
        standing, helped = (await self._manners.look(person))[0], await self._manners.helped(person)
        did = {key: f" {mean:.2f} over {count} answer{'s' * (count > 1)}." for key, (mean, count) in helped.items()}
        six = "\n".join(f"- **{key.title()}**: {mentor.stance}{did.get(key, '')}" for key, mentor in MENTORS.items())
        held = standing.personality.mentor or "off"
        buttons = [Button(label=key.title(), command=f"/mentor {key}") for key in (*MENTORS, "auto", "off") if key != held]
        return Card(text=f"{introduced(held)}{_end(standing, 'mentor', person)}\n\n{six}\n\n{_MENTIONED}", buttons=tuple(buttons))

    async def _set(self, question: Question, changes: Changes, words: str) -> str | Card:
        is_shared, (context, when) = not question.is_private, _split(words)
        end = read_end(when, timezone=question.person.timezone, now=self._clock.now()) if when else None
        if isinstance(end, str):
            return end
        person, key, why, where = _heard(question), f"manners/{question.id}", question.text[:200], question.session_type
        errand = Errand(person=person, key=key, why=why, source_id=question.id, session_type=where)
        context = "channel" if is_shared and context == EVERYWHERE else context
        source = "command" if question.text.lstrip().startswith("/") else "words"
        card = await self._manners.set(errand, changes, context=context, expires_at=end, source=source)
        if not card.buttons or not question.is_pressed or is_shared:
            return card
        # it takes the place of the card whose button was pressed, to be pressed again
        shown = await (self._mentors(person) if "mentor" in changes else self.shown(person))
        return Card(text=f"{shown.text}\n\n{card.text}", buttons=(*shown.buttons, *card.buttons))

    async def _shown(self, question: Question, names: Sequence[str] = tuple(SLIDERS)) -> str | Card:
        return await self.shown(_heard(question), names) if question.is_private else IN_PRIVATE

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
        return dict.fromkeys(VALUES, NORMAL)
    pairs = (value.casefold().rpartition("=") for value in values)
    return {name or "mood": value for name, _, value in pairs}


def told(standings: Sequence[Standing], person: Person, names: Sequence[str] = tuple(SLIDERS)) -> str:
    """How Robbie is set, as a person reads it: first in private, then wherever something else is set."""
    shown = [standings[0], *(each for each in standings[1:] if each.is_own)]
    return "\n\n".join(f"**{PLACES[each.context].capitalize()}**\n\n{_lines(each, person, names)}" for each in shown)


def _heard(question: Question) -> Person:
    """Who asks. By mail, the owner is spoken to as any member is: nothing personal is set, shown or previewed there."""
    is_mail = context_of(question.channel, question.session_type) == "email"
    return replace(question.person, role="member") if is_mail else question.person


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
        return EVERYWHERE, " ".join(re.sub(r"\beverywhere\b", "", words).split())
    context = "email" if found.group(2) else (found.group(1) or found.group(3)).lower()
    return context, " ".join((words[: found.start()] + words[found.end() :]).split())
