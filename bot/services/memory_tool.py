"""A model's own look into what is remembered of whoever asks it: in private alone, and what is from outside as that."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import BaseModel

from bot.brain.memory import Recall
from bot.brain.recall import stems
from bot.brain.remembered import LONGEST, LONGEST_QUESTION, line_of
from bot.brain.summaries import clipped
from bot.domain.address import SessionType
from bot.domain.clock import Clock
from bot.domain.errand import Errand, Risk, from_outside
from bot.domain.errors import NotAllowed
from bot.domain.memory import Scope, Trust

SEARCH_MEMORY = "search_memory"
MOST = 20


class Searching(BaseModel):  # noqa: D101
    # no docstring here: it would be told to the model with every question
    query: str
    limit: int = 8


class SearchMemory:
    """See `Tool`. What was said in another tone is nobody's to look up here, since a tool is not told where its answer goes."""

    name, kind = SEARCH_MEMORY, "memory.search"
    description = "Find what was said before."
    risk = Risk.LOOK
    arguments = Searching

    def __init__(self, *, recall: Recall, clock: Clock) -> None:
        self._recall, self._clock = recall, clock

    async def run(self, arguments: Searching, errand: Errand) -> str:
        """The lines that answer best, those of strangers in a frame. Raises NotAllowed where others read along, StorageUnavailable."""
        if errand.session_type is not SessionType.PRIVATE:
            raise NotAllowed("others read along")
        limit = min(max(arguments.limit, 1), MOST)
        scope = Scope(user_id=errand.person.id, trusts=(Trust.OWN, Trust.ROBBIE, Trust.OUTSIDE))
        found = await self._recall.find(arguments.query[:LONGEST_QUESTION], scope, limit=limit + 1)
        earlier = [each.memory for each in found if each.memory.message_id != errand.source_id][:limit]
        now, asked = self._clock.now().astimezone(ZoneInfo(errand.person.timezone)), stems(arguments.query)
        told = {True: "", False: ""}
        for each in earlier:
            told[each.trust == Trust.OUTSIDE] += f"- {line_of(each, clipped(each.text, LONGEST, asked), now)}\n"
        outside = from_outside(told[True].rstrip()) if told[True] else ""
        return f"{told[False]}{outside}".rstrip() or "Nothing like that is remembered."
