"""Mail that nobody asked for: its draft, and the one place from which it leaves, within the day's measure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from bot.brain.budget import settle
from bot.brain.chain import FallbackChain
from bot.brain.context import PROMPTS, cleaned, spoken_date
from bot.brain.personality import personality_of
from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand, Risk, inert
from bot.domain.errors import AllLevelsFailed, ToolFailed
from bot.domain.message import OutgoingKind
from bot.domain.thought import Attempt, Line, Prompt, Role
from bot.services.approvals import Later, errand_of, propose
from bot.services.autonomy import Autonomy, Verdict
from bot.services.correspondence import LONGEST_NAME, meet
from bot.services.journal import record
from bot.services.notices import bare_line, tell
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact
from storage.models.decisions import Proposal
from storage.models.messaging import Conversation, Message

FOLLOW_UP, WRITE = "mail.follow_up", "mail.write"
"""What the ladder knows them by: what Robbie thought of himself, and what he was asked for."""
OUTWARD_KINDS = {FOLLOW_UP: Risk.OUTWARD, WRITE: Risk.OUTWARD}
CHANNEL = "email"
FIRST_THING = time(8)
"""The local time at which goes what had to wait for another day."""
DRAFT_SECONDS = 30.0
LINES, MOST_MAILS, EXCERPT = 12, 4, 1_500
"""Lines of the journal in which a contact's last mails are looked for; of those, how many a model is shown, and characters of each."""
NO_MAIL = "I have no mailbox of my own yet, so I cannot write to anybody: `robbie init` sets one up (docs/email.md)."
_ADDRESS = re.compile(r"[^\s@<>,;:\"()]{1,64}@[^\s@<>,;:\"()]{1,190}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """The mails with a contact that are known of: what was said, oldest first, what an answer to the last must know, and where."""

    said: tuple[str, ...] = ()
    thread: dict[str, str] | None = None
    place: Conversation | None = None


class Outreach:
    """Drafts mail, has it approved where the ladder says so, and sends it. `address` is Robbie's own, "" where he has none."""

    def __init__(self, *, database: Database, chain: FallbackChain, autonomy: Autonomy, address: str, owner: str, clock: Clock) -> None:
        self.address = address
        self._database = database
        self._chain = chain
        self._autonomy = autonomy
        self._owner = owner
        self._clock = clock
        self._words = (PROMPTS / "follow_up.md").read_text("utf-8").strip()

    async def write(self, errand: Errand, contact: Contact, about: str, *, kind: str = WRITE, mark: Mapping[str, Any] | None = None) -> str:
        """Draft a mail and send it, or have it approved, as the ladder says; once for the errand's key. What there is to say about it.

        The words are Robbie's, whoever asked for them: so the ladder decides as about what he does by himself. `mark` is what becomes of
        the contact in the same act. Raises ToolFailed.
        """
        sending = replace(errand, key=f"mail/{errand.key}", actor="robbie", conversation_id=None, source_id=None)
        async with self._database.reading() as work:
            await self._check(work, errand.person, contact)
            if await is_known(work, errand.key):
                return f"The mail to {_named(contact)} is drafted already."
            past = await _past(work, contact)
        text, attempts = await self._draft(errand.person, contact, about, past)
        verdict, now = await self._autonomy.verdict(kind, Risk.OUTWARD, sending), self._clock.now()
        subject = next(filter(None, (bare_line(told, LONGEST_NAME) for told in ((past.thread or {}).get("subject", ""), about))), "Hello")
        async with self._database.unit_of_work() as work:
            await settle(work, attempts, event_id=errand.source_id, now=now)
            latest = await work.contacts.find_by_id(contact.id)
            if latest is None or (latest.last_heard_at, latest.do_not_write) != (contact.last_heard_at, contact.do_not_write):
                return f"I leave the mail to {contact.name}: something came from there meanwhile."
            said = "" if verdict is Verdict.ASK else await self._send(work, sending, latest, subject, text, now)
            if verdict is Verdict.ASK or isinstance(said, Later):
                title, details = f"Mail to {_named(contact)}: {subject}", {"contact": str(contact.id), "subject": subject}
                what: dict[str, Any] = {"kind": OutgoingKind.OUTREACH, "action": kind, "risk": Risk.OUTWARD, "title": title, "text": text}
                await propose(work, sending, **what, about=f"Why: {errand.why}", details=details, now=now)
                said = f"I have drafted a mail to {_named(contact)}; it waits for your yes."
            elif verdict is Verdict.TELL:
                await tell(work, errand.person.id, f"{said}\n\n> " + text.replace("\n", "\n> "), now=now)
            if mark:
                await work.contacts.change(contact.id, **mark)
            return said

    async def reader(self, person: Person, words: str) -> Contact:
        """The contact that is meant by a code, an address or a part of a name; an address that is new becomes one. Raises ToolFailed."""
        words = words.strip()
        if not self.address and _ADDRESS.fullmatch(words):
            raise ToolFailed(NO_MAIL)
        async with self._database.unit_of_work() as work:
            found = named(await work.contacts.of(person.id), words)
            if not found and _ADDRESS.fullmatch(words):
                return await meet(work, person.id, name="", email=words.lower(), now=self._clock.now())
        if len(found) == 1:
            return found[0]
        nearest = ", ".join(f"{each.name} (`{each.code}`)" for each in found[:5])
        unknown = f"I know nobody called “{bare_line(words, LONGEST_NAME)}”. A mail address will do as well."
        raise ToolFailed(f"Which one: {nearest}?" if found else unknown)

    async def send_approved(self, work: UnitOfWork, proposal: Proposal, now: datetime) -> str | Later:
        """The runner of what was approved: promised and counted in the approval's own act; where the day's measure is full, later."""
        contact = await work.contacts.find_by_id(UUID(proposal.details["contact"]))
        if contact is None or contact.user_id != proposal.user_id:
            return "Left unsent: that contact has gone."
        if contact.last_heard_at and contact.last_heard_at > proposal.created_at:
            return f"Left unsent: {contact.name} has written meanwhile."
        return await self._send(work, await errand_of(work, proposal), contact, proposal.details["subject"], proposal.text, now)

    async def _send(self, work: UnitOfWork, errand: Errand, contact: Contact, subject: str, text: str, now: datetime) -> str | Later:
        person = errand.person
        await self._check(work, person, contact)
        used, most = await measure(work, person, now)
        if used >= most:
            zone = ZoneInfo(person.timezone)
            at = datetime.combine(now.astimezone(zone).date() + timedelta(days=1), FIRST_THING, zone)
            return Later(text=f"Today's measure of {most} is used up; this one goes tomorrow first thing.", at=at)
        if await work.activities.find_by_key(errand.key):
            return f"That went to {_named(contact)} already."
        past, message_id = await _past(work, contact), new_id()
        # a thread is named by its first mail, as the answer to that will name it
        key = f"{contact.email.lower()}/<{message_id}@{self.address.rpartition('@')[2]}>"
        where = {"channel": CHANNEL, "key": key, "session_type": "shared"}
        place = past.place or await work.conversations.ensure(**where, user_id=person.id, now=now)
        thread = past.thread or {"from": contact.email.lower(), "name": contact.name, "subject": subject}
        who: dict[str, Any] = {"organization_id": work.organization, "id": message_id, "conversation_id": place.id, "user_id": person.id}
        what: dict[str, Any] = {"direction": "out", "kind": OutgoingKind.OUTREACH, "text": text, "details": {"thread": thread}}
        message = Message(**who, **what, at=now, session_type=place.session_type)
        await work.messages.add(message)
        await work.outbox.say(message, channel=CHANNEL, delivered=False, now=now)
        await work.contacts.change(contact.id, last_written_at=now)
        told = f"Wrote to {contact.name}: {subject}"
        await record(work, replace(errand, source_id=message_id), "mail.sent", told, now=now, contact_id=contact.id)
        return f"On its way to {_named(contact)}."

    async def _check(self, work: UnitOfWork, person: Person, contact: Contact) -> None:
        """Raises ToolFailed where somebody cannot be written to, and says why; an address that wants no mail wants none by any name."""
        if not self.address:
            raise ToolFailed(NO_MAIL)
        if not person.is_owner:
            raise ToolFailed("Mail goes out in the owner's name, so only the owner can have it written.")
        if not _ADDRESS.fullmatch(contact.email):
            raise ToolFailed(f"I know no mail address of {contact.name}.")
        if why := (await held_back(work, contact)).do_not_write:
            raise ToolFailed(f"{contact.name} is not to be written to ({why}). If you know better: `/follow again {contact.code}`")

    async def _draft(self, person: Person, contact: Contact, about: str, past: Past) -> tuple[str, Sequence[Attempt]]:
        """The words of a mail, by a model if one is well, else by code; and what was tried for them."""
        today = spoken_date(self._clock.now().astimezone(ZoneInfo(person.timezone)))
        system = self._words.format(owner=self._owner, date=today)
        told = f"Write to “{contact.name}”{f' of “{contact.company}”' if contact.company else ''}. "
        told += f"It is about: {about}" if about else "They have not answered; ask kindly how things stand."
        told += "".join(f"\n\n<mail>\n{inert(cleaned(each[:EXCERPT]))}\n</mail>" for each in past.said[-MOST_MAILS:])
        try:
            lines = (Line(role=Role.USER, text=told),)
            completion = await self._chain.complete(Prompt(system=system, brief_system=system, lines=lines), seconds=DRAFT_SECONDS)
        except AllLevelsFailed as failure:
            text, attempts = "", tuple(each for each in failure.attempts if isinstance(each, Attempt))
        else:
            text, attempts = cleaned(completion.text), completion.attempts
        matter = about or (past.thread or {}).get("subject", "") or "what we spoke about"
        plain = f"I am writing about {matter}. Could you tell us how things stand?"
        return text or f"Dear {contact.name},\n\n{plain}\n\nBest regards,\nRobbie, for {self._owner}", attempts


class MailWanted(BaseModel):
    """What `write_mail` wants to know."""

    to: str = Field(min_length=2, max_length=200, description="name, code or address of the contact")
    about: str = Field(min_length=2, max_length=500, description="what to say or ask")


class WriteMail:
    """See `Tool`: a draft by itself harms nobody; whether it leaves is for the ladder, by the kind `mail.write`."""

    name = "write_mail"
    description = "Draft a mail to somebody; it is sent once the person approves."
    kind = "mail.draft"
    risk = Risk.OWN
    arguments = MailWanted
    seconds = DRAFT_SECONDS + 5

    def __init__(self, outreach: Outreach) -> None:
        self._outreach = outreach

    async def run(self, arguments: MailWanted, errand: Errand) -> str:
        """Draft it. Raises ToolFailed with those who may be meant."""
        return await self._outreach.write(errand, await self._outreach.reader(errand.person, arguments.to), arguments.about)


async def measure(work: UnitOfWork, person: Person, now: datetime) -> tuple[int, int]:
    """How many outreach mails of this local day of theirs went, and how many may, as the slider stands now.

    Nobody else counts until this act ends.
    """
    zone = ZoneInfo(person.timezone)
    today = now.astimezone(zone).date()
    began, ends = (datetime.combine(today + timedelta(days=days), time(), zone) for days in (0, 1))
    most = (await personality_of(work, person, context="email", now=now)).emails_per_day
    return await work.outbox.said_between(person.id, OutgoingKind.OUTREACH, began, ends), most


def named(contacts: Sequence[Contact], words: str) -> list[Contact]:
    """Those whom *words* may mean: a code, an address, a whole name, or else the beginning of a part of it."""
    known, said = [each for each in contacts if not each.archived_at], words.strip().casefold()
    exact = [each for each in known if said in (each.code.casefold(), each.email.casefold(), each.name.casefold())]
    return exact or [each for each in known if said and any(part.startswith(said) for part in each.name.casefold().split())]


async def held_back(work: UnitOfWork, contact: Contact) -> Contact:
    """The contact of the same address, put away or not, to whom no mail may go; the contact itself where there is none."""
    same = [contact, *(await work.contacts.by_email(contact.user_id, contact.email.lower()) if contact.email else [])]
    return next((each for each in same if each.do_not_write), contact)


async def is_known(work: UnitOfWork, key: str) -> bool:
    """Whether a mail was proposed or sent for the errand of this key."""
    key = f"mail/{key}"
    return await work.proposals.find_by_key(key) is not None or await work.activities.find_by_key(key) is not None


async def _past(work: UnitOfWork, contact: Contact) -> Past:
    """The last mails from and to a contact, as its journal knows them; what the person said of them in private is not among them."""
    past = Past()
    for line in await work.activities.about(contact.id, limit=LINES):
        message = await work.messages.find_by_id(line.source_id) if line.source_id else None
        place = await work.conversations.find_by_id(message.conversation_id) if message else None
        if message is None or place is None or (place.channel, place.user_id) != (CHANNEL, contact.user_id):
            continue
        told, is_theirs = (message.details or {}).get("thread", {}), place.key.startswith(f"{contact.email.lower()}/<")
        answer = await work.messages.find_reply(message.id) if message.direction == "in" else None
        said = [f"{contact.name if each.direction == 'in' else 'Robbie'} wrote:\n{each.text}" for each in (message, answer) if each]
        past = replace(past, said=(*said, *past.said)) if is_theirs else past
        if is_theirs and past.thread is None and told.get("from") == contact.email.lower():
            past = replace(past, thread=told, place=place)
    return past


def _named(contact: Contact) -> str:
    return f"{contact.name} ({contact.email})"
