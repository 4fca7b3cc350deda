"""Builds what a model is asked: standing words first, then the conversation inside a token budget, the question last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.domain.clock import Clock
from bot.domain.thought import Line, Prompt, Question, Role
from storage.database import Database
from storage.models.messaging import Message

PROMPTS = Path(__file__).parent / "prompts"
HISTORY_MESSAGES = 30
"""The last messages of a conversation that a prompt may hold; a level with a small window gets fewer."""


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
            before = await work.messages.latest(question.conversation_id, limit=HISTORY_MESSAGES, before=question.id)
            after = await work.messages.since(question.conversation_id, question.id, limit=HISTORY_MESSAGES)
        # Who writes twice in quick succession is answered after the second message came: that answer belongs to the history too.
        answers = [message for message in after if message.reply_to is not None and message.reply_to < question.id]
        lines = (*to_lines([*before, *answers]), Line(role=Role.USER, text=printable(question.text)))
        return Prompt(system=self._fill(self._system, question), brief_system=self._fill(self._brief, question), lines=lines)

    def _fill(self, words: str, question: Question) -> str:
        person = question.person
        today = self._clock.now().astimezone(ZoneInfo(person.timezone))
        return printable(words.format(owner=self._owner, person=person.name, date=spoken_date(today), timezone=person.timezone))


def to_lines(history: Sequence[Message]) -> list[Line]:
    """A transcript as a model sees it, each reply behind its question; makeshift replies are left out, and what got no real answer."""
    lines: list[Line] = []
    for message in sorted(history, key=lambda message: (message.reply_to or message.id, message.id)):
        if message.direction == "in":
            lines.append(Line(role=Role.USER, text=printable(message.text)))
        elif message.kind in ("answer", "late") and lines:
            lines.append(Line(role=Role.ASSISTANT, text=printable(message.text)))
        elif lines and lines[-1].role is Role.USER:
            lines.pop()
    return _alternating(lines)


def _alternating(lines: Sequence[Line]) -> list[Line]:
    """The lines with neighbours of one role joined, as every vendor wants them, ending with an answer."""
    joined: list[Line] = []
    for line in lines:
        if joined and joined[-1].role is line.role:
            joined[-1] = Line(role=line.role, text=f"{joined[-1].text}\n\n{line.text}")
        else:
            joined.append(line)
    if joined and joined[-1].role is Role.USER:
        joined.pop()
    return joined


def printable(text: str) -> str:
    """Text that any wire can carry and no vendor refuses: see `cleaned`; where nothing is left, it says so."""
    return cleaned(text) or "(an empty message)"


def cleaned(text: str) -> str:
    """*text* without NUL and surrounding blanks; halves of a character are joined, or become the replacement character."""
    return text.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def spoken_date(moment: datetime) -> str:
    """A date as it is said: Sunday 22 November 2026."""
    return f"{moment:%A} {moment.day} {moment:%B %Y}"
