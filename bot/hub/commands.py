"""Slash commands: the same words at every door. A table of names and functions; an unknown one is answered with the nearest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from bot.brain.analytical import WISH
from bot.brain.reactive import IN_PRIVATE, Intent, Reactive, reactive_turn
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errors import NotMeant
from bot.domain.ports import Card, Command
from bot.domain.thought import Question, Turn
from bot.domain.vocabulary import adjusts
from bot.hub.pairing import Pairing
from bot.learning.realtime import Learning, takes_word
from bot.services.approvals import Approvals
from bot.services.journal import Journal
from storage.database import Database
from storage.models.messaging import Message

_COMMAND = re.compile(r"\s*/([a-z]{1,32})(?:\s+(.*))?\s*", re.I | re.DOTALL)
_CHOICE = re.compile(r"\s*(\d\d?|approve|edit|reject|let in|turn away)\s*(?:[.:)]\s*(.*)|\n\s*\n.*)?", re.I | re.DOTALL)
"""The choice, and the words that go with it; below an empty line, a mail's farewell."""
CONTROL = ("approve", "edit", "reject", "pair", "link", "undo", "autonomy", "journal", "log", "why", "report", "forget")
"""What is decided, or told, in private alone."""
DECISIONS = ("/approve", "/edit", "/reject", "/pair")
LONGEST_PLAIN = 300
"""Characters; what is longer is no order in plain words."""
WHOLE_LETTERS = ("edit", "note", "research")
"""Of a mail, what comes below an empty line is a farewell; these take all of it."""
ONLY_OWNER = "Only the owner can do that."

Plain = Callable[[str], str]
"""The command that a sentence in plain words stands for; empty where it stands for none, or where that is not sure."""


@dataclass(kw_only=True, eq=False)
class Commands:
    """Answers messages that begin with a slash and a word, choose among what was offered last, or say the same in plain words.

    Other rooms of the hub bring commands of their own (`families`), and `plain` words for them.
    """

    database: Database
    reactive: Reactive
    approvals: Approvals
    pairing: Pairing
    journal: Journal
    clock: Clock
    learning: Learning
    families: Sequence[Mapping[str, Command]] = ()
    plain: Sequence[Plain] = ()

    def __post_init__(self) -> None:
        self._table: dict[str, Command] = {
            "start": self._says(Intent.HELP),
            "help": self._says(Intent.HELP),
            "status": self._says(Intent.STATUS),
            "approve": self._decides(self.approvals.approve),
            "edit": self._decides(self.approvals.edit),
            "reject": self._decides(self.approvals.reject),
            "pair": self._pair,
            "link": self._link,
            "rate": self._rate,
            "undo": self._undo,
        }
        for family in self.families:
            self._table |= family

    async def run(self, question: Question) -> Turn | None:
        """The turn of a command; None where the message is none. Raises StorageUnavailable."""
        written = _COMMAND.fullmatch(question.text) or _COMMAND.fullmatch(await self._chosen(question))
        found = written or _COMMAND.fullmatch(self._meant(question))
        if found is None or WISH.fullmatch(question.text):  # what the council is asked is the brain's to answer
            return None
        if question.channel == "email" and found.group(1).lower() not in WHOLE_LETTERS:
            found = _COMMAND.fullmatch(found.string.strip().partition("\n\n")[0]) or found
        name, words = found.group(1).lower(), (found.group(2) or "").strip()
        command = self._table.get(name)
        if command is not None and name in CONTROL and not question.is_private:
            said: str | Card = IN_PRIVATE
        else:
            try:
                said = self._unknown(name) if command is None else await command(question, words)
            except NotMeant as error:
                if written is None:  # plain words that were no order
                    return None
                said = str(error)
        card = Card(text=said) if isinstance(said, str) else said
        turn = reactive_turn(card.text, why=f"the command /{name}", buttons=card.buttons)
        return replace(turn, replaces=bool(card.buttons) and adjusts(f"/{name}"))

    def _meant(self, question: Question) -> str:
        """The command that plain words stand for; what quotes or brings something else along may be about that."""
        if question.quoted or question.attachments or len(question.text) > LONGEST_PLAIN:
            return ""
        text = question.text.strip()
        return next((command for plain in self.plain if (command := plain(text))), "")

    async def _undo(self, question: Question, words: str) -> str:
        return await self.journal.undo(question.person, words, key=f"{question.id}/undo")

    async def _chosen(self, question: Question) -> str:
        """The command of the choice that a number or a word names, if choices were the last thing Robbie offered here."""
        found = _CHOICE.fullmatch(question.text)
        if found is None:
            return ""
        async with self.database.reading() as work:
            last = await work.messages.last_said(question.conversation_id, before=question.id)
        buttons = (last.details or {}).get("buttons", []) if last is not None else []
        word, more = found.group(1).casefold(), found.group(2) or ""
        named = {str(place): command for place, (_, command) in enumerate(buttons, start=1)}
        command = ({label.casefold(): command for label, command in buttons} | named).get(word, "")
        if more and not command.startswith("/edit"):
            return ""
        # with more than one thing waiting, a bare yes could mean any of them
        is_clear = not command.startswith(DECISIONS) or len(await self._cards(question)) < 2
        return f"{command} {more}" if is_clear else "/approve" if command else ""

    def _says(self, intent: Intent) -> Command:
        async def say(question: Question, words: str) -> str | Card:
            return await self.reactive.say(intent, question)

        return say

    def _decides(self, decide: Callable[[Person, str, str], Awaitable[str]]) -> Command:
        async def decided(question: Question, words: str) -> str | Card:
            code, text = _first_word(words)
            return await decide(question.person, code, text) if code else await self._waiting(question)

        return decided

    async def _waiting(self, question: Question) -> str:
        cards = await self._cards(question)
        told = [f"{card.text}\n\n" + ", ".join(f"`{button.command}`" for button in card.buttons) for card in cards]
        return "\n\n---\n\n".join(told) or "Nothing waits for your decision."

    async def _cards(self, question: Question) -> list[Card]:
        return [*await self.pairing.cards(question.person), *await self.approvals.waiting(question.person)]

    async def _pair(self, question: Question, words: str) -> str:
        if not question.person.is_owner:
            return ONLY_OWNER
        verb, _, code = words.partition(" ")
        match verb.lower():
            case "approve":
                name = await self.pairing.approve(code)
                told = f"{name} is in."
            case "reject":
                name = await self.pairing.reject(code)
                told = f"{name} stays out, and hears nothing more from me."
            case _:
                return await self._waiting(question)
        return told if name else "Nobody waits under that code."

    async def _link(self, question: Question, words: str) -> str:
        if words:
            return await self.pairing.outcome(question.person, words)
        code = await self.pairing.link_code(question.person)
        return f"Write this to me in a private chat from your other account, within ten minutes: `/link {code}`"

    async def _rate(self, question: Question, words: str) -> str:
        """up, down or 1 to 10, of the answer whose id follows, or else of the last one here."""
        word, _, which = words.partition(" ")
        value = _value_of(word)
        if value is None:
            return "How was the last answer? `/rate up`, `/rate down`, or a number from 1 to 10."
        if (message := await self._rated(question, which)) is None:
            return "There is no answer of mine here that I could take that for."
        source, now = "button" if which else "command", self.clock.now()
        async with self.database.unit_of_work() as work:
            await self.learning.rate(work, question.person.id, message, value=value, source=source, detail=word, now=now)
        return "" if question.is_pressed else "Thank you; I will remember that."

    async def _rated(self, question: Question, which: str) -> Message | None:
        """What is rated: a thing said to this person, or where they take part."""
        async with self.database.reading() as work:
            if not which:
                said = await work.messages.latest(question.conversation_id, limit=20, before=question.id)
                return next(filter(takes_word, reversed(said)), None)
            found = await work.messages.find_by_id(UUID(which)) if _is_uuid(which) else None
        is_theirs = found is not None and (found.user_id == question.person.id or found.conversation_id == question.conversation_id)
        return found if is_theirs and found is not None and found.direction == "out" else None

    def _unknown(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._table, n=1, cutoff=0.5)
        guess = f" Did you mean `/{nearest[0]}`?" if nearest else ""
        return f"I do not know `/{name}`.{guess} `/help` shows what I can do."


def _first_word(words: str) -> tuple[str, str]:
    first, *rest = words.split(maxsplit=1) or [""]
    return first, rest[0].strip() if rest else ""


def _value_of(word: str) -> float | None:
    """A rating from -1 to 1; None for what is none."""
    if word.lower() in ("up", "down"):
        return 1.0 if word.lower() == "up" else -1.0
    if word.isascii() and word.isdigit() and len(word) < 3 and 1 <= int(word) <= 10:
        return (int(word) - 5.5) / 4.5
    return None


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
