"""Questions that the house asks for itself: who may come in, who does what, how far channels were read, what went wrong, what is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import delete, insert, or_, select, update

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.housekeeping import Credential, Cursor, Incident, Installation, JobRun, Lease
from storage.models.people import LinkCode
from storage.repositories.base import Repository, ours, values_of

_VALID = (
    ours(Credential),
    Credential.kind == given("of_kind"),
    Credential.ended_at.is_(None),
    or_(Credential.expires_at.is_(None), Credential.expires_at > given("now")),
)
_ALL_VALID = select(Credential).where(*_VALID).order_by(Credential.id)
_BY_SECRET = select(Credential).where(*_VALID, Credential.secret_hash == given("secret"))
_REDEEM = update(Credential).where(*_VALID, Credential.secret_hash == given("secret")).values(ended_at=given("now")).returning(Credential)
_END = update(Credential).where(ours(Credential), Credential.id == given("credential"), Credential.ended_at.is_(None))


class Credentials(Repository):
    """Ways to sign in; secrets are known by their SHA-256 only."""

    async def add(self, *, now: datetime, **values: Any) -> Credential:
        """Keep a new credential. The values are the columns of `Credential`."""
        row = Credential(organization_id=self._organization, id=new_id(), created_at=now, **values)
        await self._insert(insert(Credential), **values_of(row))
        return row

    async def find_valid(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """The credential with this secret, if it still opens the door."""
        return await self._first(Credential, _BY_SECRET, of_kind=kind, secret=secret_hash, now=now)

    async def redeem(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """As `find_valid`, and nobody can use it again."""
        return await self._first(Credential, _REDEEM, of_kind=kind, secret=secret_hash, now=now)

    async def end(self, credential_id: UUID, now: datetime) -> bool:
        """Revoke one; says whether it was valid."""
        return await self._changes(_END, credential=credential_id, ended_at=now)

    async def valid(self, kind: str, now: datetime) -> Sequence[Credential]:
        """All of one kind that still open the door, oldest first."""
        return await self._all(Credential, _ALL_VALID, of_kind=kind, now=now)


_ADD_LEASE = insert_or_skip(Lease)
_HOLDER = select(Lease.owner).where(ours(Lease), Lease.name == given("what"))
_TAKE_LEASE = update(Lease).where(ours(Lease), Lease.name == given("what"), or_(Lease.owner == given("holder"), Lease.until < given("now")))
_END_LEASE = delete(Lease).where(ours(Lease), Lease.name == given("what"), Lease.owner == given("holder"))
_CURSOR = select(Cursor.value).where(ours(Cursor), Cursor.name == given("name"))
_SET_CURSOR = insert_or_replace(Cursor, "value")
_INSTALLED = (ours(Installation), Installation.channel == given("channel"), Installation.key == given("key"))
_INSTALLATION = select(Installation.granted).where(*_INSTALLED)
_INSTALLATIONS = select(Installation).where(ours(Installation), Installation.channel == given("channel")).order_by(Installation.key)
_INSTALL = insert_or_replace(Installation, "granted", "at")
_UNINSTALL = delete(Installation).where(*_INSTALLED)
_STALE = [
    delete(table).where(ours(table), condition)
    for table, condition in (
        (Credential, or_(Credential.expires_at < given("before"), Credential.ended_at < given("before"))),
        (LinkCode, or_(LinkCode.expires_at < given("before"), LinkCode.used_at < given("before"))),
        (JobRun, JobRun.finished_at < given("before")),
        (Incident, Incident.at < given("before")),
    )
]


class Housekeeping(Repository):
    """What the house needs to know of itself."""

    async def clear(self, *, before: datetime) -> int:
        """Delete what was over by then and serves nobody: credentials and codes that open nothing, finished runs, incidents; how many."""
        return sum([(await self._execute(statement, before=before)).rowcount for statement in _STALE])

    async def lease(self, name: str, *, owner: str, now: datetime, until: datetime) -> bool:
        """Take or keep a lease; False where somebody else holds it."""
        if await self._insert(_ADD_LEASE, name=name, owner=owner, until=until):
            return True
        return await self._changes(_TAKE_LEASE, what=name, holder=owner, now=now, owner=owner, until=until)

    async def holder(self, name: str) -> str | None:
        """Who took a lease last."""
        return await self._value(_HOLDER, what=name)

    async def end_lease(self, name: str, *, owner: str) -> None:
        """Let go, so that another may begin at once."""
        await self._changes(_END_LEASE, what=name, holder=owner)

    async def cursor(self, name: str) -> str | None:
        """How far a channel was read."""
        return await self._value(_CURSOR, name=name)

    async def set_cursor(self, name: str, value: str) -> None:
        """A channel was read so far."""
        await self._insert(_SET_CURSOR, name=name, value=value)

    async def installation(self, channel: str, key: str) -> str | None:
        """What a workspace granted."""
        return await self._value(_INSTALLATION, channel=channel, key=key)

    async def installations(self, channel: str) -> Sequence[Installation]:
        """Everything granted on a channel."""
        return await self._all(Installation, _INSTALLATIONS, channel=channel)

    async def install(self, channel: str, key: str, *, granted: str, at: datetime) -> None:
        """Keep what a workspace granted."""
        await self._insert(_INSTALL, channel=channel, key=key, granted=granted, at=at)

    async def uninstall(self, channel: str, key: str) -> None:
        """Forget what a workspace granted."""
        await self._changes(_UNINSTALL, channel=channel, key=key)


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
