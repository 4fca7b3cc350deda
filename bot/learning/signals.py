"""What people do about an answer without a word on it: asked again in other words, corrected, thanked for, left alone, acted upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from difflib import SequenceMatcher
from uuid import UUID

from bot.brain.cells import lean
from bot.brain.providers.offline import digest, stands_alone
from bot.learning.realtime import Learning
from storage.database import Database, UnitOfWork
from storage.models.messaging import Message

WEIGHTS = {"corrected": -0.8, "rephrased": -0.6, "repeated": -0.4, "unopposed": 0.5, "thanked": 0.8, "followed": 0.8}
"""What each says of an answer, from -1 to 1. Silence makes a score of 0.75, as by reputation: it puts no level before another."""
WITHIN, SILENT_FOR, LOOKS_BACK, LOOKS_EVERY = timedelta(minutes=10), timedelta(minutes=30), timedelta(days=2), timedelta(minutes=5)
"""Of an answer: how long what is said next is about it, and from when silence counts; how far back the round looks, and how often."""
SIMILAR = 0.6  # the share of content words (Dice) that a question in other words shares: a judgement, held against pairs in the tests
LONGEST, LONGEST_WORDS, LONGEST_THANKS, AT_ONCE = 2_000, 60, 8, 200  # characters of a remark, words compared, words of thanks; rows
_CORRECTED = re.compile(
    r"no\W+i (?:said|asked|wanted)\b|(?:no\b|nope|nah|hmm?|sorry|actually|but|wait)?[\s,.!:;-]{0,4}(?:(?:this|that|it)(?:['’]?s| is| was)"
    r"(?: just| still| simply)? (?:(?:wrong|incorrect|false)\b(?! to\b)|not (?:right|correct|true|it|what i)\b)"
    r"|i (?:meant\b(?! to\b)|mean\b(?! it)|did(?:n['’]?t| not) (?:ask|mean))|not what i|(?:wrong|incorrect)(?: answer)?[\s.!]*$"
    r"|you(?:['’]ve| have|['’]re| are)? (?:misunderst|got (?:it|that|me) wrong|wrong))",
    re.I,
)
_THANKED = re.compile(
    r"(?:(?:great|perfect|ok|wow|nice|yes)\W+)?(?:many )?(?:thanks|thank you|thx|cheers|danke|merci|gracias|grazie|obrigad[oa])\b"
    r"(?!.*(?:\b(?:but|however|though|for nothing|not?|wrong|aber|nicht|falsch|mais|non|pero|però|ma|mas)\b|n['’]?t\b))"
    r"|(?:perfect|great|excellent|brilliant|exactly|well done|that helps)[\s.!]*$",
    re.I | re.S,
)
_AGAIN = re.compile(
    r"(?:please )?(?:(?:try|do (?:it|that)|say (?:it|that)) again|again|once more|redo(?: it| that)?)(?: please)?[\s.!]*", re.I
)
FILLER = re.compile(
    r"an?|the|and|or|of|to|in|on|at|for|from|by|with|is|are|was|were|be|been|do|does|did|can|could|would|will|shall|should|may|what|which|who|when"
    r"|where|why|how|i|me|my|you|your|it|its|this|that|there|please|tell|give|show|explain|robbie|hey|just|so|then|about"
)


def signs(question: str, text: str) -> Mapping[str, float]:
    """What *text*, said soon after the answer to *question*, shows of it, by name: one thing, the surest, or none."""
    words, question = text.strip(), question[:LONGEST]
    if words.startswith("/") or len(words) >= LONGEST:
        return {}
    is_same = _AGAIN.fullmatch(words) or digest(words) == digest(question)
    seen = {
        "corrected": _CORRECTED.match(words),
        "thanked": _THANKED.match(words) and len(words.split()) <= LONGEST_THANKS,
        "repeated": is_same and stands_alone(question),  # what changes by the minute is asked again for its own sake
        "rephrased": not is_same and is_rephrased(question, words),
    }
    return next(({name: WEIGHTS[name]} for name, is_so in seen.items() if is_so), {})


def is_rephrased(before: str, after: str) -> bool:
    """Whether one question is the other in other words; the same with another filling ("of France?", "of Italy?") is another question."""
    old, new = (re.findall(r"\w+", text.casefold())[:LONGEST_WORDS] for text in (before, after))
    changes = [change[0] for change in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if change[0] != "equal"]
    was, became = ({word[:6] for word in words if not FILLER.fullmatch(word)} for words in (old, new))  # stems, roughly
    is_refilled = changes == ["replace"] and was - became and became - was
    return not is_refilled and len(was & became) >= 2 and 2 * len(was & became) >= SIMILAR * (len(was) + len(became))


async def heard(work: UnitOfWork, message: Message, user_id: UUID, now: datetime, learning: Learning) -> None:
    """Learn what a message shows of the answer before it, in the commit of its own turn: one small read, and writes where it shows some."""
    last = await work.feedback.last_answered(user_id, message.conversation_id, before=message.id)
    if last is not None and abs(now - last[0].at) <= WITHIN and (found := signs(last[1], message.text)):
        await learning.note(work, last[0], found, now)


class Aftermath:
    """A round: an answer that nobody minded for a while is a little better for it, one acted upon much. Daily it finds how levels lean."""

    name = "aftermath"

    def __init__(self, *, database: Database, learning: Learning) -> None:
        self._database = database
        self._learning = learning
        self._again: datetime | None = None
        self._leaned: date | None = None

    async def look(self, now: datetime) -> datetime:
        """See what became of answers; each thing is noted once by its row, whichever hub sees it. Raises StorageUnavailable."""
        if self._again is None or not now < self._again <= now + LOOKS_EVERY:
            async with self._database.reading() as work:
                found = await work.feedback.aftermath(now - LOOKS_BACK, now - SILENT_FOR, limit=AT_ONCE)
            for name, row in ((name, row) for name, rows in found.items() for row in rows if name not in row.signals):
                async with self._database.unit_of_work() as work:  # each its own: nobody else is to wait for all of them
                    await self._learning.note(work, row, {name: WEIGHTS[name]}, now)
            self._again = now + LOOKS_EVERY
            if self._leaned != now.date():
                await lean(self._database)
                self._leaned = now.date()
        return self._again
