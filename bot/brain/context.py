"""Builds what a model is asked: standing words first, then the conversation inside a token budget, the question last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.domain.clock import Clock
from bot.domain.thought import Line, Prompt, Question, Role, steady
from storage.database import Database
from storage.repositories.messaging import Exchange

PROMPTS = Path(__file__).parent / "prompts"
HISTORY_EXCHANGES = 15
"""The last answers of a conversation that a prompt may hold; a level with a small window gets fewer."""


class ContextBuilder:
    """Turns a question into a prompt."""

    def __init__(self, *, database: Database, owner: str, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._system = (PROMPTS / "system.md").read_text("utf-8").strip()
        self._brief = (PROMPTS / "brief.md").read_text("utf-8").strip()

    async def build(self, question: Question) -> Prompt:
        """The prompt for *question*. Its standing words change once a day, so that a prefix cache holds. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            exchanges = await work.messages.exchanges(question.conversation_id, limit=HISTORY_EXCHANGES, before=question.id)
        history = to_lines(exchanges)
        if len(exchanges) == HISTORY_EXCHANGES:
            history = steady(history)
        lines = (*history, Line(role=Role.USER, text=printable(question.text)))
        return Prompt(system=self._fill(self._system, question), brief_system=self._fill(self._brief, question), lines=lines)

    def _fill(self, words: str, question: Question) -> str:
        person = question.person
        today = self._clock.now().astimezone(ZoneInfo(person.timezone))
        return printable(words.format(owner=self._owner, person=person.name, date=spoken_date(today), timezone=person.timezone))


def to_lines(exchanges: Iterable[Exchange]) -> tuple[Line, ...]:
    """A conversation as a model sees it: questions, each with its answer behind it; what got only a makeshift reply is not among them."""
    lines: list[Line] = []
    for _, same in groupby(exchanges, key=lambda exchange: exchange.question_id):
        answered = list(same)
        lines.append(Line(role=Role.USER, text=printable(answered[0].question)))
        lines.append(Line(role=Role.ASSISTANT, text="\n\n".join(printable(exchange.answer) for exchange in answered)))
    return tuple(lines)


def printable(text: str) -> str:
    """Text that any wire can carry and no vendor refuses: see `cleaned`; where nothing is left, it says so."""
    return cleaned(text) or "(an empty message)"


def cleaned(text: str) -> str:
    """*text* without NUL and surrounding blanks; halves of a character are joined, or become the replacement character."""
    return text.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def spoken_date(moment: datetime) -> str:
    """A date as it is said: Sunday 22 November 2026."""
    return f"{moment:%A} {moment.day} {moment:%B %Y}"
