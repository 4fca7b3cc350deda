"""The commands that tell how answers came to be, /why, and what they taught, /report; what the council is for, if it is asked nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from bot.brain.personality import is_intimate_tone
from bot.brain.reactive import one_line
from bot.brain.tone import is_intimate
from bot.domain.ports import Command
from bot.domain.thought import Question
from bot.learning.report import in_lines, report
from storage.database import Database
from storage.repositories.messaging import DELETED

COUNCIL = "What shall I put to the council? `/council should we lease or buy the van?` asks my best two or three models at once."
NOTHING = "There is no answer of mine here that I could tell about."
DAYS, MOST_DAYS = 30, 3660
_PLAIN = re.compile(r"why (?:did|do|would) you say (?:that|so)|how did you get (?:to )?that|how (?:do|did) you know(?: that)?", re.I)


class WhyCommands:
    """See `Commands`: a family of its own. What was thought for a person is told to that person alone."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self.table: Mapping[str, Command] = {"why": self._why, "report": self._report, "council": self._council}

    def plain(self, text: str) -> str:
        """See `Plain`."""
        return "/why" if _PLAIN.fullmatch(text.strip(" ?.!")) else ""

    async def _council(self, question: Question, words: str) -> str:
        return COUNCIL

    async def _report(self, question: Question, words: str) -> str:
        """Of so many days: all of it for the owner; for anybody else, of their own answers."""
        days = min(max(int(words), 1), MOST_DAYS) if words.isascii() and words.isdigit() and len(words) < 5 else DAYS
        since, person = question.asked_at - timedelta(days=days), question.person
        async with self._database.reading() as work:
            told = await report(work, since=since, timezone=person.timezone, user_id=None if person.is_owner else person.id)
        return in_lines(told, days)

    async def _why(self, question: Question, words: str) -> str:
        """Of the answer whose id follows, or else of the last one here."""
        async with self._database.reading() as work:
            if re.fullmatch(r"[\da-f]{8}(-?[\da-f]{4}){3}-?[\da-f]{12}", words, re.I):
                said = [await work.messages.find_by_id(UUID(words))]
            else:
                said = [*await work.messages.latest(question.conversation_id, limit=20, before=question.id)]
        theirs = [each for each in said if each and each.direction == "out" and each.user_id == question.person.id]
        if not is_intimate(question):  # what was said in another tone is not told again here
            theirs = [each for each in theirs if not is_intimate_tone(each.personality)]
        answers = [(each.text, each.details) for each in theirs if each.details and "tier" in each.details and each.kind != DELETED]
        told_of = [told(*each) for each in answers if not each[1]["why"].startswith(("the command /why", "the command /rate"))]
        return told_of[-1] if told_of else NOTHING


def told(text: str, details: Mapping[str, Any]) -> str:
    """How an answer came to be, from what was recorded with it."""
    lines = [f"“{one_line(text, 80)}”", "", f"- {details['tier'].capitalize()}: {details['why']}"]
    for step in details.get("path", ()):
        measured = f" (agreement {step['agreement']:.2f}, {step['kept']:.0%} kept)" if "kept" in step else ""
        lines.append(f"- **{step.get('who', 'In the end')}**{measured}: {one_line(step.get('said') or step.get('what', ''), 300)}")
    sure = [f"- Confidence: {details['confidence']:.0%}"] if details.get("confidence") is not None else []
    return "\n".join([*lines, *sure, f"- It took {details.get('latency_ms', 0) / 1000:.1f} s and ${details.get('cost_usd', 0):.4f}."])
