"""The honest last rung: what Robbie says when no model can be asked. It asks nobody and never pretends."""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.brain.confidence import plain
from bot.brain.context import spoken_date
from bot.brain.personality import is_intimate_tone
from bot.brain.tone import is_intimate
from bot.domain.thought import Question
from storage.database import Database

_LINES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
OUT_OF_REACH, SPENT = tuple(_LINES["out_of_reach"]), tuple(_LINES["spent"])
REACH_IN_WORDS = "None of my models can be reached right now."
SPENT_IN_WORDS = "What is left of today's allowance does not pay for this, and I have no other model to think with."

FEWEST_WORDS = 3
_TIME_BOUND = re.compile(
    r"\b(now|today|tonight|tomorrow|yesterday|currently|current|latest|recent(ly)?|this (morning|afternoon|evening|week|month|year)"
    r"|next|last|weather|forecast|news|price|stock|score|traffic|time|date|day|age|old|when|still|already|yet|just|so far|remaining|left"
    r"|due|soon|minutes?|hours?|schedule|calendar|open|status|(mon|tues|wednes|thurs|fri|satur|sun)days?|weekend|temperature|raining"
    r"|(exchange|interest) rates?|president|(prime )?minister|ceo|champions?|version|winner|winning)\b",
    re.I,
)
_LEANING = re.compile(
    r"\b(it|its|this|that|these|those|he|him|his|she|her|hers|they|them|their|theirs|there|then|one|ones|above|below|again|more|else|same"
    r"|other|another|instead|previous|earlier|before)\b",
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


def stands_alone(text: str) -> bool:
    """Whether an old answer to the same words still answers them: they lean neither on the day nor on what was said before.

    It errs towards no: an old truth told as new is worse than no answer.
    """
    return len(text.split()) >= FEWEST_WORDS and not _TIME_BOUND.search(text) and not _LEANING.search(text)


class OfflineRung:
    """Answers when every level has failed: with an earlier answer to exactly these words, dated, or with one honest line."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def answer(self, question: Question, *, is_spent: bool = False) -> Makeshift:
        """Never fails for want of a model; `is_spent` where the day's allowance is why one was not asked. Raises StorageUnavailable."""
        reason = "the allowance ruled a level out and no other could be reached" if is_spent else "no level could be reached"
        earlier = await self._earlier_answer(question, SPENT_IN_WORDS if is_spent else REACH_IN_WORDS)
        if earlier is not None:
            return Makeshift(text=earlier, why=f"{reason}; an earlier answer to the same words was shown")
        lines = SPENT if is_spent else OUT_OF_REACH
        return Makeshift(text=lines[question.id.int % len(lines)], why=f"{reason}; the question waits for one")

    async def _earlier_answer(self, question: Question, reason: str) -> str | None:
        """The person's own earlier answer, in private only, labelled with its date."""
        if not question.is_private or not stands_alone(question.text):
            return None
        async with self._database.reading() as work:
            found = await work.messages.find_earlier_answer(question.person.id, digest(question.text), before=question.id)
        if found is None or (is_intimate_tone(found.personality) and not is_intimate(question)):
            return None
        said = found.at.astimezone(ZoneInfo(question.person.timezone))
        told = f"{reason} You asked me the same on {spoken_date(said)}, and I said then:"
        return f"{told}\n\n{plain(found.text)}\n\nI will answer afresh when I can."
