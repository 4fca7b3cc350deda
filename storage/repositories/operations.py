"""Questions about how Robbie itself is doing, and what he does by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam as given
from sqlalchemy import or_, select, update

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.operations import Incident, JobRun
from storage.repositories.base import Repository, ours

_ADD_ONCE = insert_or_skip(Incident)
_LATEST = select(Incident).where(ours(Incident)).order_by(Incident.id.desc()).limit(given("limit"))


class Incidents(Repository):
    """What went wrong."""

    async def add_once(self, *, kind: str, key: str, detail: str, now: datetime) -> bool:
        """Record an incident unless the same one is known; says whether it is new."""
        return await self._insert(_ADD_ONCE, id=new_id(), kind=kind, key=key, detail=detail, at=now)

    async def latest(self, *, limit: int) -> Sequence[Incident]:
        """The last incidents, newest first."""
        return await self._all(Incident, _LATEST, limit=limit)


_BEGIN = insert_or_skip(JobRun)
_RUN = select(JobRun).where(ours(JobRun), JobRun.job == given("of_job"), JobRun.slot == given("at_slot"))
_TAKE_OVER = (
    update(JobRun)
    .where(ours(JobRun), JobRun.job == given("of_job"), JobRun.slot == given("at_slot"))
    .where(JobRun.finished_at.is_(None), or_(JobRun.lease_until < given("now"), JobRun.owner == given("holder")))
    .values(attempts=JobRun.attempts + 1)
)
_KEEP = update(JobRun).where(
    ours(JobRun),
    JobRun.job == given("of_job"),
    JobRun.slot == given("at_slot"),
    JobRun.owner == given("holder"),
    JobRun.finished_at.is_(None),
)


class JobRuns(Repository):
    """Timed or long work: each slot of a job is done once; one whose owner died is taken over where its lease has run out."""

    async def claim(self, job: str, slot: str, *, owner: str, now: datetime, until: datetime) -> JobRun | None:
        """Take a slot to work on; None where it is done, or somebody else's."""
        which = {"of_job": job, "at_slot": slot}
        row = {"job": job, "slot": slot, "state": "running", "owner": owner, "lease_until": until, "attempts": 1, "details": {}}
        if not await self._insert(_BEGIN, **row, started_at=now):
            taken = {"owner": owner, "lease_until": until}
            if not await self._changes(_TAKE_OVER, **which, holder=owner, now=now, **taken):
                return None
        return await self._first(JobRun, _RUN, **which)

    async def mark(self, job: str, slot: str, now: datetime) -> bool:
        """What is done in this very act is done for this slot; False where it was before: then nothing may be done in that act."""
        row = {"job": job, "slot": slot, "state": "done", "owner": "", "lease_until": now, "attempts": 1, "details": {}}
        return await self._insert(_BEGIN, **row, started_at=now, finished_at=now)

    async def keep(self, run: JobRun, **values: Any) -> bool:
        """Give a run one holds these values (`details`, `lease_until`, `state` with `finished_at`); False where it has passed on."""
        return await self._changes(_KEEP, of_job=run.job, at_slot=run.slot, holder=run.owner, **values)
