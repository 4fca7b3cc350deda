"""Outreach: who deserves a word, the draft of it, and the one place from which it leaves, within the day's measure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from bot.brain.budget import settle
from bot.brain.chain import FallbackChain
from bot.brain.context import PROMPTS, cleaned, inert, spoken_date
from bot.brain.personality import personality_of
from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand, Risk
from bot.domain.errors import AllLevelsFailed, ToolFailed
from bot.domain.thought import Attempt, Line, Prompt, Role
from bot.services.approvals import Later, errand_of, propose
from bot.services.autonomy import Autonomy, Verdict
from bot.services.correspondence import LONGEST_NAME, OUTREACH, meet, open_outreach
from bot.services.journal import record
from bot.services.notices import bare_line, tell
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Stage
from storage.models.decisions import Proposal
from storage.models.messaging import Conversation, Message
from storage.models.people import User

FOLLOW_UP, WRITE = "mail.follow_up", "mail.write"
"""What the ladder knows them by: what Robbie thought of himself, and what he was asked for."""
MOST_IN_A_ROW = 3
"""Follow-ups to somebody who does not answer."""
WORK_BEGINS, WORK_ENDS, FIRST_THING = 9, 17, time(8)
"""Local hours between which follow-ups are drafted, and the time at which what had to wait for another day goes."""
LOOK = timedelta(minutes=1)
DRAFT_SECONDS = 30.0
LEASE = timedelta(minutes=2)
ADDRESS = re.compile(r"[^\s@<>,;:\"()]{1,64}@[^\s@<>,;:\"()]{1,190}")
LINES, EXCERPT = 12, 1_500
"""Lines of the journal in which a contact's last mails are looked for, and characters of each that a model is shown."""
MOST_MAILS = 4
STAGES = (Stage.LEAD, Stage.QUALIFIED, Stage.PROPOSAL, Stage.NEGOTIATION)
NO_MAIL = "I have no mailbox of my own yet, so I cannot write to anybody: `robbie init` sets one up (docs/email.md)."


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A contact that deserves a word, why, and the key under which that is proposed once."""

    contact: Contact
    why: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """The mails with a contact that are known of: what was said, oldest first, the last one's thread, and its conversation."""

    said: tuple[str, ...] = ()
    thread: dict[str, str] | None = None
    conversation: Conversation | None = None


def due(contact: Contact, *, now: datetime, today: date, days: int) -> Due | None:
    """Whether somebody is to be followed up: their next step is due, or its day was set, or they are silent for so many days."""
    if not contact.email or contact.do_not_write or contact.archived_at or contact.follow_ups >= MOST_IN_A_ROW:
        return None
    if contact.next_step_on and contact.next_step_on <= today:
        why = f"the next step is due: {contact.next_step or 'to be in touch'}"
        return Due(contact=contact, why=why, key=f"follow-up/{contact.id}/step/{contact.next_step_on}")
    last, heard = contact.last_written_at, contact.last_heard_at
    is_silent = last is not None and (heard is None or heard < last)
    silent_since = last + timedelta(days=days) if last and is_silent else None
    if (at := contact.follow_up_at or silent_since) is None or at > now:
        return None
    why = f"no answer since {spoken_date(last)}" if last and is_silent else "it was to be followed up by now"
    return Due(contact=contact, why=why, key=f"follow-up/{contact.id}/{today}")


def score(contact: Contact, deals: Sequence[Deal], *, now: datetime) -> float:
    """What a follow-up deserves: for the best open deal its stage (1 to 4) and log10 of its expected value in whole money; 2 where the
    person named a day for the next step; up to 3 for a month of silence.
    """
    own = [deal for deal in deals if deal.contact_id == contact.id and deal.stage in STAGES]
    worth = [STAGES.index(Stage(deal.stage)) + 1 + math.log10(1 + deal.value_cents * deal.probability / 10_000) for deal in own]
    silent = (now - contact.last_written_at).days if contact.last_written_at else 0
    return max(worth, default=0.0) + 2.0 * (contact.next_step_on is not None) + min(silent, 30) / 10


def bounds(now: datetime, timezone: str) -> tuple[datetime, datetime, datetime]:
    """The present day at a place: when it began, when the next one begins, and when that one's work does."""
    zone = ZoneInfo(timezone)
    tomorrow = (today := now.astimezone(zone).date()) + timedelta(days=1)
    began, ends = datetime.combine(today, time(), zone), datetime.combine(tomorrow, time(), zone)
    return began, ends, datetime.combine(tomorrow, FIRST_THING, zone)


class FollowUps:
    """Drafts outreach, has it approved where the ladder says so, and sends it; a round, once a working day. `address` is Robbie's own."""

    name = "follow-ups"

    def __init__(
        self, *, database: Database, chain: FallbackChain, autonomy: Autonomy, address: str, owner: str, process: str, clock: Clock
    ) -> None:
        self._database = database
        self._chain = chain
        self._autonomy = autonomy
        self._address = address
        self._owner = owner
        self._process = process
        self._clock = clock
        self._words = (PROMPTS / "follow_up.md").read_text("utf-8").strip()
        self._next: datetime | None = None

    async def look(self, now: datetime) -> datetime | None:
        """See `Round`: on a working day, draft to whoever deserves it most, as many as may go today."""
        if not self._address or (self._next and now < self._next):
            return self._next
        self._next = now + LOOK
        async with self._database.reading() as work:
            person = _person(await work.people.owner())
            local = now.astimezone(ZoneInfo(person.timezone))
            run = await work.job_runs.find(self.name, str(local.date()))
        is_free = run is None or (run.finished_at is None and run.lease_until < now)
        if not is_free or local.weekday() > 4 or not WORK_BEGINS <= local.hour < WORK_ENDS:
            return self._next
        async with self._database.unit_of_work() as work:
            mine = {"owner": self._process, "now": now, "until": now + LEASE}
            run = await work.job_runs.claim(self.name, str(local.date()), **mine)
            picked = [] if run is None else await self._picked(work, person, now)
        for each in picked:
            await self._follow_up(person, each)
            async with self._database.unit_of_work() as work:
                await work.job_runs.keep(run, lease_until=self._clock.now() + LEASE)
        if run is not None:
            async with self._database.unit_of_work() as work:
                await work.job_runs.keep(run, state="done", finished_at=self._clock.now(), details={"drafted": len(picked)})
        return self._next

    async def write(self, errand: Errand, contact: Contact, about: str, *, kind: str = WRITE) -> str:
        """Draft a mail and send it, or have it approved, as the ladder says; what there is to say about it. Raises ToolFailed.

        The words are Robbie's, so that they are his to answer for whoever asked for them.
        """
        person = errand.person
        if why_not := self._why_not(person, contact):
            raise ToolFailed(why_not)
        key = f"mail/{errand.key}"
        async with self._database.reading() as work:
            if await _is_known(work, key):
                return f"The mail to {_named(contact)} is drafted already."
            past = await _past(work, contact)
        text, attempts = await self._draft(person, contact, about, past)
        subject = bare_line((past.thread or {}).get("subject", ""), LONGEST_NAME) or bare_line(about, LONGEST_NAME) or f"From {self._owner}"
        sending = Errand(person=person, key=key, why=errand.why, actor="robbie", is_untrusted=errand.is_untrusted)
        verdict = await self._autonomy.verdict(kind, Risk.OUTWARD, sending)
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            await settle(work, attempts, event_id=errand.source_id, now=now)
            latest = await work.contacts.find_by_id(contact.id)
            if latest is None or latest.last_heard_at != contact.last_heard_at or latest.do_not_write != contact.do_not_write:
                return f"I leave the mail to {contact.name}: something came from there meanwhile."
            said = "" if verdict is Verdict.ASK else await self._send(work, sending, latest, subject, text, now)
            if not said or isinstance(said, Later):
                title, about = f"Mail to {_named(contact)}: {subject}", f"Why: {errand.why}"
                what = {"kind": OUTREACH, "action": kind, "risk": Risk.OUTWARD, "title": title, "about": about, "text": text}
                await propose(work, sending, **what, details={"contact": str(contact.id), "subject": subject}, now=now)
                said = f"I have drafted a mail to {_named(contact)}; it waits for your yes."
            elif verdict is Verdict.TELL:
                await tell(work, person.id, f"{said}\n\n> " + text.replace("\n", "\n> "), now=now)
            if kind == FOLLOW_UP:
                days = (await personality_of(work, person, context="email", now=now)).follow_up_days
                await work.contacts.change(contact.id, follow_ups=latest.follow_ups + 1, follow_up_at=now + timedelta(days=days))
        return said

    async def send_outreach(self, work: UnitOfWork, proposal: Proposal, now: datetime) -> str | Later:
        """Send what was approved, once; or, where the day's measure is full, say when. The approval's own act promises and counts it."""
        user = await work.people.find_user_by_id(proposal.user_id)
        contact = await work.contacts.find_by_id(UUID(proposal.details["contact"]))
        if user is None or contact is None or contact.user_id != user.id:
            return "Left unsent: that contact has gone."
        if contact.last_heard_at and contact.last_heard_at > proposal.created_at:
            return f"Left unsent: {contact.name} has written meanwhile."
        return await self._send(work, await errand_of(work, proposal), contact, proposal.details["subject"], proposal.text, now)

    async def _send(self, work: UnitOfWork, errand: Errand, contact: Contact, subject: str, text: str, now: datetime) -> str | Later:
        person = errand.person
        if why_not := self._why_not(person, contact):
            return f"Left unsent: {why_not}"
        began, ends, first_thing = bounds(now, person.timezone)
        most = (await personality_of(work, person, context="email", now=now)).emails_per_day
        if await work.outbox.said_between(person.id, OUTREACH, began, ends) >= most:
            return Later(text=f"Today's {most} outreach mails are used up; this one goes tomorrow first thing.", at=first_thing)
        message_id, item_id, past = new_id(), new_id(), await _past(work, contact)
        errand = replace(errand, source_id=message_id)
        if not await record(work, errand, "mail.sent", f"Wrote to {contact.name}: {subject}", now=now, contact_id=contact.id):
            return f"That went to {_named(contact)} already."
        # the conversation is named by its first mail's id, as the answer to that will name it
        key = f"{contact.email}/<{item_id}@{self._address.rpartition('@')[2]}>"
        where = {"channel": "email", "key": key, "session_type": "shared"}
        conversation = past.conversation or await work.conversations.ensure(**where, user_id=person.id, now=now)
        thread = past.thread or {"from": contact.email, "name": contact.name, "subject": subject}
        message = Message(
            organization_id=work.organization,
            id=message_id,
            conversation_id=conversation.id,
            user_id=person.id,
            direction="out",
            kind=OUTREACH,
            text=text,
            at=now,
            session_type=conversation.session_type,
            details={"thread": thread},
        )
        await work.messages.add(message)
        await work.outbox.say(message, channel="email", delivered=False, now=now, item_id=item_id)
        await work.contacts.change(contact.id, last_written_at=now)
        return f"On its way to {_named(contact)}."

    def _why_not(self, person: Person, contact: Contact) -> str:
        """Why somebody cannot be written to, in words; "" where they can."""
        if not self._address:
            return NO_MAIL
        if not person.is_owner:
            return "Mail goes out in the owner's name, so only the owner can have it written."
        if not contact.email:
            return f"I know no mail address of {contact.name}."
        again = f"If you know better: `/follow again {contact.code}`"
        return f"{contact.name} is not to be written to ({contact.do_not_write}). {again}" if contact.do_not_write else ""

    async def _picked(self, work: UnitOfWork, person: Person, now: datetime) -> list[Due]:
        """Who is to be followed up today, the most deserving first: no more than may still go."""
        mood = await personality_of(work, person, context="email", now=now)
        began, ends, _ = bounds(now, person.timezone)
        room = mood.emails_per_day - await work.outbox.said_between(person.id, OUTREACH, began, ends)
        waiting = await open_outreach(work, person.id)
        asked = {each.details.get("contact") for each in waiting}
        today = now.astimezone(ZoneInfo(person.timezone)).date()
        found = [due(each, now=now, today=today, days=mood.follow_up_days) for each in await work.contacts.of(person.id)]
        deals = await work.deals.of(person.id)
        ranked = sorted(filter(None, found), key=lambda each: -score(each.contact, deals, now=now))
        new = [each for each in ranked if str(each.contact.id) not in asked and not await _is_known(work, f"mail/{each.key}")]
        return new[: max(room - len(waiting), 0)]

    async def _follow_up(self, person: Person, each: Due) -> None:
        errand = Errand(person=person, key=each.key, why=each.why, actor="robbie")
        await self.write(errand, each.contact, each.contact.next_step, kind=FOLLOW_UP)

    async def _draft(self, person: Person, contact: Contact, about: str, past: Past) -> tuple[str, Sequence[Attempt]]:
        """The words of a mail, by a model if one is well, and what was tried for them."""
        today = spoken_date(self._clock.now().astimezone(ZoneInfo(person.timezone)))
        system = self._words.format(owner=self._owner, date=today)
        told = f"Write to {contact.name}{f' of {contact.company}' if contact.company else ''}. "
        told += f"It is about: {about}" if about else "They have not answered; ask kindly how things stand."
        told += "".join(f"\n\n<mail>\n{inert(cleaned(each[:EXCERPT]))}\n</mail>" for each in past.said[-MOST_MAILS:])
        prompt = Prompt(system=system, brief_system=system, lines=(Line(role=Role.USER, text=told),))
        try:
            completion = await self._chain.complete(prompt, seconds=DRAFT_SECONDS)
        except AllLevelsFailed as failure:
            return self._plain(contact, about, past), [each for each in failure.attempts if isinstance(each, Attempt)]
        return cleaned(completion.text) or self._plain(contact, about, past), completion.attempts

    def _plain(self, contact: Contact, about: str, past: Past) -> str:
        """A mail as code can write it."""
        subject = about or (past.thread or {}).get("subject", "")
        matter = f"I am writing about this: {subject}" if subject else "I should like to be in touch again."
        return f"Dear {contact.name},\n\n{matter}\n\nCould you tell us how things stand with you?\n\nBest regards,\nRobbie, for {self._owner}"


class WriteMailArguments(BaseModel):
    """What `write_mail` wants to know."""

    to: str = Field(min_length=2, max_length=200, description="name, code or address of the contact")
    about: str = Field(min_length=2, max_length=500, description="what the mail is to say or ask")


class WriteMail:
    """See `Tool`: a draft by itself harms nobody; whether it leaves is for the ladder, by the kind `mail.write`."""

    name = "write_mail"
    description = "Draft a mail to somebody; it is sent once the person approves."
    kind = "mail.draft"
    risk = Risk.OWN
    arguments = WriteMailArguments

    def __init__(self, *, follow_ups: FollowUps, database: Database, clock: Clock) -> None:
        self._follow_ups = follow_ups
        self._database = database
        self._clock = clock

    async def run(self, arguments: WriteMailArguments, errand: Errand) -> str:
        """Draft it. Raises ToolFailed with those who may be meant."""
        contact = await find_reader(self._database, errand.person, arguments.to, now=self._clock.now())
        return await self._follow_ups.write(errand, contact, arguments.about)


async def find_reader(database: Database, person: Person, words: str, *, now: datetime) -> Contact:
    """The contact that is meant by a code, an address or a part of a name; an address that is new becomes one. Raises ToolFailed."""
    async with database.unit_of_work() as work:
        known = [each for each in await work.contacts.of(person.id) if not each.archived_at]
        found = named(known, words)
        if not found and ADDRESS.fullmatch(words.strip()):
            return await meet(work, person.id, name="", email=words.strip().lower(), now=now)
    if len(found) == 1:
        return found[0]
    nearest = ", ".join(f"{each.name} (`{each.code}`)" for each in (found or known)[:5])
    question = f"Which one: {nearest}?" if found else f"I know nobody called “{bare_line(words, LONGEST_NAME)}”. A mail address will do as well."
    raise ToolFailed(question)


def named(contacts: Sequence[Contact], words: str) -> list[Contact]:
    """Those whom *words* may mean: a code, an address, a whole name, or else the beginning of a part of it."""
    said = words.strip().casefold()
    for fits in (
        lambda each: said in (each.code.casefold(), each.email.casefold()),
        lambda each: said == each.name.casefold(),
        lambda each: any(part.startswith(said) for part in each.name.casefold().split()),
    ):
        if said and (found := [each for each in contacts if fits(each)]):
            return found
    return []


async def _past(work: UnitOfWork, contact: Contact) -> Past:
    """The last mails from and to a contact, as its journal knows them; what the person said of them in private is not among them."""
    said, thread, place = list[str](), None, None
    for line in await work.activities.about(contact.id, limit=LINES):
        message = await work.messages.find_by_id(line.source_id) if line.source_id else None
        conversation = await work.conversations.find_by_id(message.conversation_id) if message else None
        if message is None or conversation is None or conversation.channel != "email" or conversation.user_id != contact.user_id:
            continue
        if not conversation.key.startswith(f"{contact.email}/<"):
            continue
        said.insert(0, f"{contact.name if message.direction == 'in' else 'Robbie'} wrote:\n{message.text}")
        told: dict[str, Any] = (message.details or {}).get("thread") or {}
        if thread is None and told.get("from") == contact.email:
            thread, place = dict(told), conversation
    return Past(said=tuple(said), thread=thread, conversation=place)


async def _is_known(work: UnitOfWork, key: str) -> bool:
    """Whether a mail was proposed or sent under this key."""
    return await work.proposals.find_by_key(key) is not None or await work.activities.find_by_key(key) is not None


def _named(contact: Contact) -> str:
    return f"{contact.name} ({contact.email})"


def _person(user: User) -> Person:
    return Person(id=user.id, name=user.name, role=user.role, timezone=user.timezone)
