"""Questions about how memories age: which are due for the next step, what a stretch of them came to, and how they are packed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.errors import Conflict
from storage.models.memory import Memory, Summary, SummarySource, pack
from storage.repositories.base import Repository, make, ours, values_of

SESSIONS, MONTHS, PACKED, YEARS = 1, 2, 3, 4
"""The steps of ageing, one after the other: in a session's summary, in a month's, packed, in a year's."""
STEP_OF_LEVEL = {1: SESSIONS, 2: MONTHS, 3: YEARS}

_HEARD = and_(Memory.forgotten_by.is_(None), Memory.corrected_by.is_(None))
_younger = aliased(Memory)
_GOES_ON = exists().where(
    _younger.organization_id == Memory.organization_id, _younger.session == Memory.session, _younger.at >= given("before")
)
_WAITING = and_(ours(Memory), _HEARD, Memory.aged == given("reached"))
_NEXT = select(Memory).where(_WAITING, Memory.at < given("before")).order_by(Memory.at).limit(1)
_NEXT_SESSION = _NEXT.where(~_GOES_ON)
_OF_PERSON = select(Memory).where(_WAITING, Memory.user_id == given("user"), Memory.place == given("there")).limit(given("limit"))
_OF_SESSION = _OF_PERSON.where(Memory.session == given("in_session")).order_by(Memory.number)
_OF_TIME = _OF_PERSON.where(Memory.at >= given("since"), Memory.at < given("until")).order_by(Memory.at, Memory.number)
_OF_AGE = select(Memory).where(_WAITING, Memory.at < given("before")).order_by(Memory.at).limit(given("limit"))
_PASS = update(Memory).where(_WAITING, Memory.id.in_(given("which", expanding=True)))
_PACK = update(Memory).where(ours(Memory), Memory.id == given("which"), Memory.aged == PACKED - 1)

_HOLDS = and_(ours(Summary), Summary.superseded_at.is_(None), Summary.forgotten_by.is_(None))
_unheard = select(Memory.id).where(ours(Memory), or_(Memory.forgotten_by.is_not(None), Memory.corrected_by.is_not(None)))
_of_unheard = select(SummarySource.summary_id).where(ours(SummarySource), SummarySource.memory_id.in_(_unheard))
_STALE = select(Summary).where(_HOLDS, Summary.id.in_(_of_unheard)).limit(given("limit"))
_SUPERSEDE = update(Summary).where(ours(Summary), Summary.id == given("which"))
_SOURCES = select(SummarySource.memory_id).where(ours(SummarySource), SummarySource.summary_id == given("summary"))
_STEP_BACK = update(Memory).where(ours(Memory), Memory.aged > given("reached"), Memory.id.in_(_SOURCES))
_of_memories = and_(ours(SummarySource), SummarySource.memory_id.in_(given("memories", expanding=True)))
_MADE_OF = select(SummarySource.summary_id).where(_of_memories).distinct()
_BY_IDS = select(Summary).where(ours(Summary), Summary.id.in_(given("which", expanding=True)))
_REMOVE_SOURCES = delete(SummarySource).where(ours(SummarySource), SummarySource.summary_id == given("which"))
_REMOVE = delete(Summary).where(ours(Summary), Summary.id == given("which"))
# that it is made of them, said twice, keeps SQLite from reading all summaries
_COVERING = (
    select(Summary, SummarySource.memory_id)
    .join(SummarySource, SummarySource.summary_id == Summary.id)
    .where(
        _HOLDS, Summary.id.in_(_MADE_OF), _of_memories, Summary.id.not_in(_of_unheard)
    )  # the first of these keeps SQLite from reading all summaries
    .order_by(Summary.level)
)
_COUNTS = select(Summary.level, func.count()).where(_HOLDS).group_by(Summary.level)


class Summaries(Repository):
    """What memories came to. A summary is of one person's, said in one place; what is forgotten or corrected is in none that holds."""

    async def next(self, step: int, *, before: datetime) -> Memory | None:
        """The oldest memory said before then that has not come to this step; of a session that went on no longer."""
        return await self._first(Memory, _NEXT_SESSION if step == SESSIONS else _NEXT, reached=step - 1, before=before)

    async def stretch(self, step: int, first: Memory, *, since: datetime, until: datetime, limit: int) -> list[Memory]:
        """The first's person's memories of its place that wait for this step: of its session, or said between then and then."""
        which = {"reached": step - 1, "user": first.user_id, "there": first.place, "limit": limit}
        if step == SESSIONS:
            return await self._all(Memory, _OF_SESSION, **which, in_session=first.session)
        return await self._all(Memory, _OF_TIME, **which, since=since, until=until)

    async def to_pack(self, *, before: datetime, limit: int) -> list[Memory]:
        """Memories said before then that are to be packed, the oldest first."""
        return await self._all(Memory, _OF_AGE, reached=PACKED - 1, before=before, limit=limit)

    async def pass_on(self, step: int, memories: Sequence[Memory]) -> None:
        """These have come to this step. Raises Conflict where one of them has meanwhile, or is to be heard no more."""
        done = await self._execute(_PASS, reached=step - 1, which=[each.id for each in memories], aged=step)
        if done.rowcount != len(memories):
            raise Conflict("what was to be summarised has changed meanwhile")

    async def add(self, summary: Summary, sources: Sequence[Memory]) -> None:
        """Keep a summary with its sources."""
        await self._insert(insert(Summary), **values_of(summary))
        await self._insert_all(insert(SummarySource), [{"summary_id": summary.id, "memory_id": each.id} for each in sources])

    async def pack(self, memories: Sequence[Memory]) -> None:
        """Compress the text of memories where that makes it smaller; they are found as before, and read the same."""
        for each in memories:
            small = None if each.packed else pack(each.text)
            values: dict[str, Any] = {"said": "", "packed": small} if small else {}
            await self._changes(_PACK, which=each.id, aged=PACKED, **values)

    async def covering(self, memory_ids: Collection[UUID]) -> dict[UUID, list[Summary]]:
        """The summaries that hold of each of these memories, a session's before a month's before a year's."""
        found: dict[UUID, list[Summary]] = {}
        for row in await self._execute(_COVERING, memories=list(memory_ids)):
            found.setdefault(row[-1], []).append(make(Summary, row))
        return found

    async def stale(self, *, limit: int) -> list[Summary]:
        """Those that hold though something in them was forgotten or corrected."""
        return await self._all(Summary, _STALE, limit=limit)

    async def supersede(self, summary: Summary, now: datetime) -> None:
        """It holds no more; what is left of its sources is to be summarised anew."""
        await self._changes(_SUPERSEDE, which=summary.id, superseded_at=now)
        await self._step_back(summary)

    async def remove(self, which: Collection[UUID] = (), *, made_of: Collection[UUID] = ()) -> None:
        """Delete these summaries, and every one that was made of any of those memories.

        What is left of their sources is to be summarised anew, but for those of a summary that another one has replaced already.
        """
        made = await self._values(_MADE_OF, memories=list(made_of))
        for each in await self._all(Summary, _BY_IDS, which=[*which, *made]):
            if each.superseded_at is None:
                await self._step_back(each)
            for statement in (_REMOVE_SOURCES, _REMOVE):
                await self._changes(statement, which=each.id)

    async def counts(self) -> dict[int, int]:
        """How many summaries hold, by level."""
        return dict((await self._execute(_COUNTS)).all())

    async def _step_back(self, summary: Summary) -> None:
        reached = STEP_OF_LEVEL[summary.level] - 1
        await self._changes(_STEP_BACK, summary=summary.id, reached=reached, aged=reached)
