"""Slash commands: the same words at every door. A table of names and functions; an unknown one is answered with the nearest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable

from bot.brain.brain import reactive_turn
from bot.brain.reactive import Intent, Reactive
from bot.domain.thought import Question, Turn
from bot.services.notes import Notes

_COMMAND = re.compile(r"\s*/([a-z]{1,32})(?:\s+(.*))?\s*", re.I | re.DOTALL)

Command = Callable[[Question, str], Awaitable[str]]
"""Does what was asked, given the words after the command's name; returns what to say."""


class Commands:
    """Answers messages that begin with a slash and a word."""

    def __init__(self, *, reactive: Reactive, notes: Notes) -> None:
        self._reactive = reactive
        self._notes = notes
        self._table: dict[str, Command] = {
            "help": self._says(Intent.HELP),
            "status": self._says(Intent.STATUS),
            "notes": self._says(Intent.NOTES),
            "note": self._note,
        }

    async def run(self, question: Question) -> Turn | None:
        """The turn of a command; None where the message is none. Raises StorageUnavailable."""
        found = _COMMAND.fullmatch(question.text)
        if found is None:
            return None
        name, words = found.group(1).lower(), (found.group(2) or "").strip()
        command = self._table.get(name)
        text = self._unknown(name) if command is None else await command(question, words)
        return reactive_turn(text, why=f"the command /{name}")

    def _says(self, intent: Intent) -> Command:
        async def say(question: Question, words: str) -> str:
            return await self._reactive.say(intent, question)

        return say

    async def _note(self, question: Question, words: str) -> str:
        if not words:
            return "What shall I note? Write it after the word: `/note Dana likes tulips`."
        await self._notes.keep(person_id=question.person.id, text=words, source_id=question.id)
        return "Noted. `/notes` shows what you keep."

    def _unknown(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._table, n=1, cutoff=0.5)
        guess = f" Did you mean `/{nearest[0]}`?" if nearest else ""
        return f"I do not know `/{name}`.{guess} `/help` shows what I can do."
