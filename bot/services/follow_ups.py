"""Who deserves a word: once a working day, mails are drafted to those who are silent or whose day has come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.brain.personality import personality_of
from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.correspondence import open_outreach
from bot.services.outreach import FOLLOW_UP, Outreach, is_known, measure
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Stage

MOST_IN_A_ROW = 3
"""Follow-ups to somebody who does not answer."""
WORKDAYS, HOURS = range(5), range(9, 17)
LOOK, LEASE = timedelta(minutes=5), timedelta(minutes=12)
"""Between two looks; and twenty drafts, the most of a day, take no longer than that."""
STAGES = (Stage.LEAD, Stage.QUALIFIED, Stage.PROPOSAL, Stage.NEGOTIATION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A contact that deserves a word, why, and the key under which it gets one."""

    contact: Contact
    why: str
    key: str


def due(contact: Contact, *, now: datetime, days: int) -> list[Due]:
    """Why somebody is to be followed up: a next step is due; the day for it has come, or they are silent for so many days.

    `now` is in the person's zone.
    """
    if not contact.email or contact.do_not_write or contact.archived_at or contact.follow_ups >= MOST_IN_A_ROW:
        return []
    found, last, heard, step_on = [], contact.last_written_at, contact.last_heard_at, contact.next_step_on
    if step_on and step_on <= now.date():
        why = f"the next step is due: {contact.next_step or 'to be in touch'}"
        found.append(Due(contact=contact, why=why, key=f"{contact.id}/{step_on}/step"))
    silence = last if last and (heard is None or heard < last) else None
    at = contact.follow_up_at or (silence and silence + timedelta(days=days))
    if at and at <= now:
        why = f"no answer since {spoken_date(silence.astimezone(now.tzinfo))}" if silence else "it was to be followed up by now"
        found.append(Due(contact=contact, why=why, key=f"{contact.id}/{now.date()}"))
    return found


def score(contact: Contact, deals: Sequence[Deal], *, now: datetime) -> float:
    """What a follow-up deserves: for the best open deal its stage (1 to 4) and log10 of its expected value in whole money; 2 where the
    person named a day for the next step; up to 3 for a month of silence.
    """
    own = [deal for deal in deals if deal.contact_id == contact.id and deal.stage in STAGES]
    worth = [STAGES.index(Stage(deal.stage)) + 1 + math.log10(1 + deal.value_cents * deal.probability / 10_000) for deal in own]
    silent = (now - contact.last_written_at).days if contact.last_written_at else 0
    return max(worth, default=0.0) + 2.0 * (contact.next_step_on is not None) + min(silent, 30) / 10


class FollowUps:
    """The daily round; see `Round`. Each day's belongs to one process, and each contact's mail is drafted once."""

    name = "follow-ups"

    def __init__(self, *, database: Database, outreach: Outreach, clock: Clock) -> None:
        self._database = database
        self._outreach = outreach
        self._clock = clock
        self._me = str(new_id())
        self._next: datetime | None = None

    async def look(self, now: datetime) -> datetime | None:
        """In working hours, draft to those who deserve it most, no more than may go today. Raises StorageUnavailable."""
        if not self._outreach.address or (self._next and now < self._next):
            return self._next
        self._next = now + LOOK
        async with self._database.reading() as work:
            person = (await work.people.owner()).person
        local = now.astimezone(ZoneInfo(person.timezone))
        if local.weekday() not in WORKDAYS or local.hour not in HOURS:
            return self._next
        async with self._database.unit_of_work() as work:
            run = await work.job_runs.claim(self.name, str(local.date()), owner=self._me, now=now, until=now + LEASE)
            days = (await personality_of(work, person, context="email", now=now)).follow_up_days
            picked = await _picked(work, person, local, days) if run else []
        for each in picked:
            await self._draft(person, each, days)
        if run:
            async with self._database.unit_of_work() as work:
                await work.job_runs.keep(run, state="done", finished_at=self._clock.now(), details={"drafted": len(picked)})
        return self._next

    async def _draft(self, person: Person, each: Due, days: int) -> None:
        """Have one written; also one that is rejected counts, and is not offered again before its time."""
        contact, errand = each.contact, Errand(person=person, key=each.key, why=each.why, actor="robbie")
        mark = {"follow_ups": contact.follow_ups + 1, "follow_up_at": self._clock.now() + timedelta(days=days)}
        with suppress(ToolFailed):
            await self._outreach.write(errand, contact, contact.next_step, kind=FOLLOW_UP, mark=mark)


async def _picked(work: UnitOfWork, person: Person, now: datetime, days: int) -> list[Due]:
    """Who is to be followed up today, the most deserving first: no more than may still go."""
    (used, most), waiting = await measure(work, person, now), await open_outreach(work, person.id)
    asked = {each.details.get("contact") for each in waiting}
    contacts = [each for each in await work.contacts.of(person.id) if str(each.id) not in asked]
    deals, picked = await work.deals.of(person.id), list[Due]()
    for contact in sorted(contacts, key=lambda each: -score(each, deals, now=now)):
        if used + len(waiting) + len(picked) < most:
            found = due(contact, now=now, days=days)
            picked += [each for each in found if not await is_known(work, each.key)][:1]
    return picked
