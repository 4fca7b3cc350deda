"""Sees to it that each brief comes once: per person, slot and local day one row, written with the promise of its message in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from bot.brain.context import spoken_date
from bot.briefs.composer import EMAIL, Brief, Composer
from bot.briefs.schedule import LATE, OFF, Course, Due, Habits, courses, next_after, owed
from bot.config import BriefsConfig
from bot.domain.address import Person
from bot.domain.brief import Slot
from bot.domain.clock import Clock, new_id
from bot.services.notices import PULLED, say
from storage.database import Database, UnitOfWork
from storage.models.manners import PersonalitySetting, StoredBrief
from storage.models.messaging import Conversation
from storage.models.people import User

LEASE_SECONDS = 45.0
"""Composing and wording take less; whoever dies meanwhile holds the others up for no longer."""
BUSY_SECONDS = 2.0
SETTLED = timedelta(days=7)
"""Settings that ended longer ago explain nothing any more."""
MOST_ROWS = 21
AUTO = "auto"
BRIEFS, QUIET, ZONE = "briefs", "quiet", "zone"
"""The names of settings: whether somebody gets briefs, until when none, and where they are (`ZONE from HOME`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is known of somebody's briefs: their habits, their settings, their last briefs (newest first) and what is owed now."""

    person: Person
    habits: Habits
    settings: Sequence[PersonalitySetting]
    rows: Sequence[StoredBrief]
    owed: Sequence[Due]

    @property
    def since(self) -> datetime:
        """When they were last told."""
        return max((row.composed_at for row in self.rows if row.message_id), default=min(self.habits.since.values()))

    def is_quiet(self, due: Due) -> bool:
        """Whether they wished to hear nothing at that time."""
        quiet = holding(self.settings, QUIET, due.at)
        return quiet is not None and quiet.value != OFF


class Delivery:
    """A `Round`: has its `composer` compose what is due, and promises it on a channel not `off`. `owner` is this process, alone at one."""

    name = "briefs"

    def __init__(
        self, *, database: Database, composer: Composer, config: BriefsConfig, clock: Clock, owner: str, off: Sequence[str] = ()
    ) -> None:
        self._database = database
        self.composer = composer
        self._config = config
        self._clock = clock
        self._owner = owner
        self._off = off
        self.coming_at: datetime | None = None  # when the next brief is due, as of the last look

    async def look(self, now: datetime) -> datetime | None:
        """Deliver what is due by *now* to everybody; when the next one is. Raises StorageUnavailable."""
        coming, to_serve = [], []
        async with self._database.reading() as work:
            for user in await work.people.users():
                settings = await work.settings.holding(user.id, now - SETTLED)
                standing = await self.standing(work, user, now, settings)
                if (standing is not None and standing.owed) or any(_amiss(user, settings, now)):
                    to_serve.append(user)
                elif standing is not None and (following := next_after(standing.habits, now)):
                    coming.append(following.at)
        served = await asyncio.gather(*(self._serve(user, now) for user in to_serve), return_exceptions=True)
        for error in served:
            if isinstance(error, BaseException):  # one person's trouble was nobody else's
                raise error
        self.coming_at = min(coming, default=None)
        return min([*coming, *([now + timedelta(seconds=BUSY_SECONDS)] if to_serve else [])], default=None)

    async def standing(
        self, work: UnitOfWork, user: User, now: datetime, settings: Sequence[PersonalitySetting] | None = None
    ) -> Standing | None:
        """How it stands with somebody's briefs; None for whoever gets none."""
        if user.role not in ("owner", "member"):
            return None
        settings = await work.settings.holding(user.id, now - SETTLED) if settings is None else settings
        person = person_of(user, settings, now)
        begun = holding(settings, BRIEFS, now)
        if begun.value == OFF if begun else user.role != "owner":
            return None
        first = begun.at if begun else now
        times, since = {}, {}
        for slot in Slot:
            own = holding(settings, f"brief.{slot}", now)
            if (at := own.value if own else getattr(self._config, slot)) != OFF:
                times[slot], since[slot] = time.fromisoformat(at), max(first, own.at if own else first)
        away = holding(settings, ZONE, now)
        back_at = away.expires_at if away is not None and person.timezone != home_of(user) else None
        habits = Habits(zone=person.timezone, times=times, since=since, home=home_of(user), back_at=back_at)
        rows = await work.briefs.latest(user.id, limit=MOST_ROWS)
        due = owed(habits, {(row.slot, row.day) for row in rows}, now) if times else []
        return Standing(person=person, habits=habits, settings=settings, rows=rows, owed=due) if times else None

    async def _serve(self, user: User, now: datetime) -> None:
        """Set right what is to be, and deliver what is due to one person, unless another process is at it."""
        lease = f"briefs:{user.id}"
        async with self._database.unit_of_work() as work:
            if not await work.housekeeping.lease(lease, owner=self._owner, now=now, until=now + timedelta(seconds=LEASE_SECONDS)):
                return
            begins, zone = _amiss(user, await work.settings.holding(user.id, now), now)
            if begins:
                await work.settings.add(user_id=user.id, context="*", name=BRIEFS, value="on", source="default", at=now)
            if zone:
                await work.people.move(user.id, timezone=zone, home=home_of(user))
            standing = await self.standing(work, user, now)
        if standing is not None and standing.owed:
            await self._deliver(standing, now)
        async with self._database.unit_of_work() as work:
            await work.housekeeping.end_lease(lease, owner=self._owner)

    async def _deliver(self, standing: Standing, now: datetime) -> None:
        person, since = standing.person, standing.since
        quiet = [due for due in standing.owed if standing.is_quiet(due)]
        planned = courses([due for due in standing.owed if due not in quiet], now=now, missed=self._config.missed)
        skipped = [due for due, course in planned if course is Course.SKIP]
        rows = [_row(person, due, now, "quiet") for due in quiet] + [_row(person, due, now, "skipped") for due in skipped]
        untold = [(row.day, row.due_at, row.slot) for row in standing.rows if row.state == "skipped" and row.composed_at > since]
        missing = sorted([*untold, *((due.day, due.at, str(due.slot)) for due in skipped)])
        before = standing.rows[0].zone if standing.rows else ""
        for due, course in planned:
            if course is Course.SKIP:
                continue
            async with self._database.unit_of_work() as work:
                place = await self.place(work, person, now, thread=f"{due.day} {due.slot}")
            brief = await self.composer.compose(person, due.slot, now=now, since=since, on=due.day, channel=place.channel)
            brief = replace(brief, notes=(*_late(due, now, before), *_left_out(missing)))
            brief = await self.composer.worded(brief, person) if course is Course.RUN else brief
            row = self._said(person, due, brief, course, now)
            async with self._database.unit_of_work() as work:
                await _skip(work, rows)
                if await work.briefs.add_once(**row) and row["message_id"]:
                    buttons = brief.buttons if row["state"] != "quiet" else ()
                    await say(work, place, person.id, row["text"], now=now, buttons=buttons, id=row["message_id"])
            rows, missing, since, before = [], [], now, due.zone
        if rows:
            async with self._database.unit_of_work() as work:
                await _skip(work, rows)

    def _said(self, person: Person, due: Due, brief: Brief, course: Course, now: datetime) -> dict[str, Any]:
        """The row of a brief that is treated, with its text and the id of the message that it will be."""
        state, text = "sent", brief.text
        if brief.is_quiet:
            state, text = "quiet", brief.quiet_text if self._config.quiet == "line" or brief.notes else ""
        elif course is Course.SHORT:
            state, text = "short", brief.short_text
        told = {"text": text, "message_id": new_id() if text else None, "sections": sections_of(brief)}
        return _row(person, due, now, state) | told

    async def place(self, work: UnitOfWork, person: Person, now: datetime, *, thread: str) -> Conversation:
        """Where briefs are said: on the channel of config, else where the person was last heard in private, else on their web page.

        By mail each begins a *thread* of its own, in which its choices can be answered.
        """
        wanted, account = "" if self._config.channel == AUTO else self._config.channel, ""
        found = await work.conversations.last_private(person.id, on=wanted, except_on=self._off)
        if found is None and wanted == EMAIL and EMAIL not in self._off:
            mine = [row.account for row in await work.people.identities() if (row.user_id, row.channel) == (person.id, EMAIL)]
            account = mine[0] if mine else ""
        if found is None and not account and wanted not in ("", *PULLED):
            detail = (
                f"briefs.channel is {wanted}, which is off, or where {person.name} was never heard in private: they go where that was last"
            )
            await work.incidents.add_once(kind="brief_channel", key=f"{wanted}/{person.id}", detail=detail, now=now)
            found = await work.conversations.last_private(person.id, except_on=self._off)
        if found is not None and found.channel == EMAIL:
            account = found.key.partition("/")[0]
        elif found is not None:
            return found
        channel, key = (EMAIL, f"{account}/<brief {thread}>") if account else ("web", f"{person.id}/main")
        return await work.conversations.ensure(channel=channel, key=key, user_id=person.id, session_type="private", now=now)


def holding(settings: Sequence[PersonalitySetting], name: str, at: datetime) -> PersonalitySetting | None:
    """The setting of this name that held at a moment."""
    held = (row for row in settings if row.name == name and row.at <= at and (row.expires_at is None or row.expires_at > at))
    return next(reversed(list(held)), None)


def _amiss(user: User, settings: Sequence[PersonalitySetting], now: datetime) -> tuple[bool, str]:
    """Whether the owner's briefs have yet to begin; the zone to move somebody to whose journey has ended or was taken back, or ""."""
    zone = person_of(user, settings, now).timezone
    return user.role == "owner" and holding(settings, BRIEFS, now) is None, "" if zone == user.timezone else zone


def home_of(user: User) -> str:
    """The zone that somebody comes back to."""
    return user.home_timezone or user.timezone


def person_of(user: User, settings: Sequence[PersonalitySetting], now: datetime) -> Person:
    """The person where they are now: on the journey they told of from the home they still have, else at home."""
    away = holding(settings, ZONE, now)
    zone, _, home = away.value.partition(" from ") if away else ("", "", "")
    zone = zone if home == home_of(user) else home_of(user)
    return replace(user.person, timezone=zone)


def sections_of(brief: Brief) -> list[dict[str, object]]:
    """A brief's sections as JSON."""
    told = ((section, [item.text for item in section.items]) for section in brief.sections)
    return [{"key": section.key, "title": section.title, "items": items, "more": section.more} for section, items in told]


def _row(person: Person, due: Due, now: datetime, state: str) -> dict[str, Any]:
    """The row of a brief of which nothing is said."""
    when = {"slot": due.slot, "day": due.day, "zone": due.zone, "due_at": due.at, "composed_at": now}
    return {"user_id": person.id, "state": state, "sections": [], "text": "", "message_id": None, **when}


async def _skip(work: UnitOfWork, rows: Sequence[dict[str, Any]]) -> None:
    """Write down what is passed over; what is known already stays as it is."""
    for row in rows:
        await work.briefs.add_once(**row)


def _late(due: Due, now: datetime, before: str) -> list[str]:
    """That a brief comes late, and why, as far as Robbie knows; the last one came in the zone *before*."""
    if now - due.at <= LATE:
        return []
    leapt = f"your clock leapt over it on the way from {before} to {due.zone}"
    why = leapt if before not in ("", due.zone) else "I was not running then, or not able"
    return [f"This one is late: it was due at {due.local:%H:%M} on {spoken_date(due.local)}, and {why}."]


def _left_out(missing: Sequence[tuple[date, datetime, str]]) -> list[str]:
    """Which briefs did not come since the last one that did."""
    if not missing:
        return []
    (day, _, slot), *others = missing
    first = f"the {slot} of {spoken_date(datetime.combine(day, time()))}"
    return [f"{len(missing)} briefs did not come, from {first} on." if others else f"One brief did not come: that for {first}."]
