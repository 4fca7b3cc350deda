"""The honest last rung: what Robbie says when no model can be reached. It asks nobody and never pretends."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.domain.thought import Question
from storage.database import Database

LINES = (
    "I cannot think properly right now: none of my models can be reached. I have kept your question and will answer it as soon as one is back.",
    "My models are all out of reach at the moment, so I would only be guessing. Your question is safe with me; the real answer follows.",
    "I am here, but without a model to think with just now. I wrote your question down and will come back to you with a proper answer.",
)
_TIME_BOUND = re.compile(
    r"\b(now|today|tonight|tomorrow|yesterday|currently|current|latest|recent(ly)?|this (morning|afternoon|evening|week|month|year)|next|last"
    r"|weather|forecast|news|price|stock|score|traffic|time|date|day|age|old|when|still|already|yet|just|so far|remaining|left|due|soon"
    r"|minutes?|hours?|schedule|calendar|open|status)\b",
    re.I,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Makeshift:
    """What is said in place of an answer. The question is always kept for a real one."""

    text: str
    why: str


def digest(text: str) -> str:
    """The fingerprint of a question: the same words, whatever their case, spacing and final punctuation."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip("?!. ")
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_time_bound(text: str) -> bool:
    """Whether an old answer may be wrong by now. It errs towards yes: an old truth told as new is worse than no answer."""
    return _TIME_BOUND.search(text) is not None


class OfflineRung:
    """Answers when every level has failed: with an earlier answer to exactly these words, dated, or with one honest line."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def answer(self, question: Question) -> Makeshift:
        """Never fails for want of a model. Raises StorageUnavailable."""
        earlier = await self._earlier_answer(question)
        if earlier is not None:
            return Makeshift(text=earlier, why="no level could be reached; an earlier answer to the same words was shown")
        line = LINES[question.id.int % len(LINES)]
        return Makeshift(text=line, why="no level could be reached; the question waits for one")

    async def _earlier_answer(self, question: Question) -> str | None:
        """The person's own earlier answer, in private only, labelled with its date."""
        if question.session_type != "private" or is_time_bound(question.text):
            return None
        async with self._database.reading() as work:
            found = await work.messages.find_earlier_answer(question.person.id, digest(question.text), before=question.id)
        if found is None:
            return None
        said = found.at.astimezone(ZoneInfo(question.person.timezone))
        return (
            f"None of my models can be reached right now. You asked me the same on {spoken_date(said)}, and I said then:\n\n"
            f"{found.text}\n\nI will answer afresh when one is back."
        )
