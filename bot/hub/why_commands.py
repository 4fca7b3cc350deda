"""The commands that tell how answers came to be, /why, and what they taught, /report; what the council is for, if it is asked nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.brain.personality import is_intimate_tone
from bot.brain.reactive import one_line
from bot.brain.tone import is_intimate
from bot.domain.memory import Scope, Trust
from bot.domain.ports import Command
from bot.domain.thought import Question
from bot.learning.report import in_lines, report
from bot.services.memory_tool import SEARCH_MEMORY
from storage.database import Database, UnitOfWork
from storage.repositories.messaging import DELETED

COUNCIL = "What shall I put to the council? `/council should we lease or buy the van?` asks my best two or three models at once."
NOTHING = "There is no answer of mine here that I could tell about."
DAYS, MOST_DAYS = 30, 3660
MOST_NOTES = 10_000
_PLAIN = re.compile(
    r"why (?:did|do|would) you say (?:that|so)|how did you get (?:to )?that|(?:how|why) (?:do|did) you know(?: (?:that|this|it))?"
    r"|where (?:did|do) you (?:get|have|know) (?:that|this|it) from",
    re.I,
)
NOTHING_REMEMBERED = "- Nothing from before was remembered for it."
SEARCHED = "- It searched its memory as well (`search_memory`); what a tool finds is not listed here."
GONE = "what it was has been forgotten, or put right, since"
SUMMARISED = ", with a summary of what was said around it"
LISTS = {"tasks": "your open tasks", "decisions": "what you decided in the days before"}


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
        number = re.match(r"\d{1,4}(?!\d)", words, re.ASCII)
        days = min(max(int(number[0]), 1), MOST_DAYS) if number else DAYS
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
        told_of = [each for each in answers if not each[1]["why"].startswith(("the command /why", "the command /rate"))]
        if not told_of:
            return NOTHING
        return f"{told(*told_of[-1])}\n{await self._remembered(question, told_of[-1][1])}"

    async def _remembered(self, question: Question, details: Mapping[str, Any]) -> str:
        """What was remembered for an answer, and where that is from; of what has gone since, only that it has."""
        known, searched = details.get("recalled", []), [SEARCHED] if SEARCH_MEMORY in details.get("tools", ()) else []
        async with self._database.reading() as work:
            whence = await _whence(work, question, known) if known else {}
        lines = []
        for each in known:
            what, beside = whence.get(each["id"]) or LISTS.get(each["kind"]), SUMMARISED * ("summary" in each)
            lines.append(f"- Remembered, as {each['why']}: {what}{beside}." if what else f"- Remembered: {GONE}.")
        return "\n".join([*dict.fromkeys(lines), *searched] or [NOTHING_REMEMBERED])


async def _whence(work: UnitOfWork, question: Question, known: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of each that may be told here, and still is: its words, who said them, when and where."""
    zone, told_of = ZoneInfo(question.person.timezone), dict[str, str]()
    trusts = (Trust.OWN, Trust.ROBBIE, *([Trust.INTIMATE] * is_intimate(question)))
    ids = {kind: [UUID(each["id"]) for each in known if each["kind"] == kind] for kind in ("note", "memory")}
    for note in await work.notes.holding(question.person.id, trusts, limit=MOST_NOTES) if ids["note"] else ():
        noted_on = spoken_date(note.created_at.astimezone(zone))
        told_of[str(note.id)] = f"“{one_line(note.text)}”, a {note.kind} of {noted_on} (note `{note.id}`)"
    for memory in await work.memories.in_scope(Scope(user_id=question.person.id, trusts=trusts), ids["memory"]):
        is_import = memory.message_id is None  # which calls its conversations as it will
        conversation = None if is_import else await work.conversations.find_by_id(UUID(memory.thread))
        where = f"on {conversation.channel}" if conversation else f"in {one_line(memory.thread, 80)}"
        said_on = f"{spoken_date(memory.at.astimezone(zone))}{', where others read along' * bool(memory.place)}"
        told_of[str(memory.id)] = f"“{one_line(memory.text)}”, said by {memory.speaker} {where} on {said_on} (memory `{memory.id}`)"
    return told_of


def told(text: str, details: Mapping[str, Any]) -> str:
    """How an answer came to be, from what was recorded with it."""
    lines = [f"“{one_line(text, 80)}”", "", f"- {details['tier'].capitalize()}: {details['why']}"]
    for step in details.get("path", ()):
        measured = f" (agreement {step['agreement']:.2f}, {step['kept']:.0%} kept)" if "kept" in step else ""
        lines.append(f"- **{step.get('who', 'In the end')}**{measured}: {one_line(step.get('said') or step.get('what', ''), 300)}")
    sure = [f"- Confidence: {details['confidence']:.0%}"] if details.get("confidence") is not None else []
    return "\n".join([*lines, *sure, f"- It took {details.get('latency_ms', 0) / 1000:.1f} s and ${details.get('cost_usd', 0):.4f}."])
