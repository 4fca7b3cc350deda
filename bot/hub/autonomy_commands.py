"""/autonomy and /journal: how far Robbie may go by himself, and what he did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.message import Button
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.autonomy import Autonomy, Level
from bot.services.journal import Journal
from storage.database import Database

GOAL = 80
"""Per cent of what is to be done, handled alone."""
MEASURED = timedelta(days=30)
LINES, MOST_LINES = 15, 50
MEANS = {
    Level.ASSISTED: "I ask before everything I would change.",
    Level.SEMI: "I keep your own lists by myself, and ask before what others rely on and what leaves the house.",
    Level.HIGHLY: "I do what stays in the house, tell you where others rely on it, and ask before what leaves it.",
    Level.FULLY: "I do everything by myself, and tell you what left the house.",
}
PLAIN = {
    "/journal": r"what (?:have you done|did you do)(?: today| lately| for me)*|(?:show (?:me )?)?(?:the|your) journal",
    "/undo": r"undo(?: that| this| it)?|take (?:that|this|it) back",
    "/autonomy": r"what may you do (?:alone|by yourself)|how much may you do (?:alone|by yourself)",
    "/autonomy assisted": r"(?:always )?ask me (?:first|before)(?: you do)? (?:about )?(?:anything|everything)",
}


class AutonomyCommands:
    """The table of its commands, and the plain words for them."""

    def __init__(self, *, autonomy: Autonomy, journal: Journal, database: Database, clock: Clock) -> None:
        self._autonomy = autonomy
        self._journal = journal
        self._database = database
        self._clock = clock
        self.table: Mapping[str, Command] = {"autonomy": self._set, "journal": self._tell, "log": self._tell}

    def plain(self, text: str) -> str:
        """The command that a whole sentence stands for."""
        words = re.sub(r"^(?:robbie,? )|(?: please)?[ .!?]*$", "", " ".join(text.split()), flags=re.I)
        return next((command for command, pattern in PLAIN.items() if re.fullmatch(pattern, words, re.I)), "")

    async def _set(self, question: Question, words: str) -> str | Card:
        """A level, or a kind and a word; nothing shows what holds."""
        kind, _, word = words.lower().rpartition(" ")
        if not word:
            return await self._shown(question.person)
        errand = Errand(person=question.person, key=f"{question.id}/autonomy", why="you asked for it", source_id=question.id)
        try:
            return await self._autonomy.set(errand, word, kind.strip())
        except ToolFailed as error:
            return str(error)

    async def _shown(self, person: Person) -> Card:
        async with self._database.reading() as work:
            level, overrides = await self._autonomy.standing(work, person)
        alone, all_of_it = await self._autonomy.share_alone(person, self._clock.now() - MEASURED)
        share = f"{alone} of {all_of_it} ({100 * alone // all_of_it} %; the goal is {GOAL} %)" if all_of_it else "nothing yet"
        told = [f"**Autonomy: {level}.** {MEANS[Level(level)]} What a text from outside asks for, I always ask you about."]
        told += [f"- {kind}: {word}" for kind, word in sorted(overrides.items())]
        told += [f"\nHandled alone in the last {MEASURED.days} days: {share}."]
        if kinds := sorted(self._autonomy.kinds()):
            told += [f"\nOne kind can be set apart, such as `/autonomy {kinds[0]} ask` (or tell, do, default): {', '.join(kinds)}."]
        steps = tuple(Button(label=step.title(), command=f"/autonomy {step}") for step in Level if step != level)
        return Card(text="\n".join(told), buttons=steps)

    async def _tell(self, question: Question, words: str) -> str:
        limit = min(int(words), MOST_LINES) if words.isascii() and words.isdigit() and len(words) < 4 else LINES
        return await self._journal.told(question.person, limit=max(limit, 1))
