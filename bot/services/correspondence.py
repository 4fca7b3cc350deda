"""What mail itself knows of contacts: who was heard and written to, whose address has gone, and who wants no more of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.message import Inbound
from bot.services.approvals import make_code
from bot.services.journal import record
from bot.services.notices import bare_line, tell
from storage.database import UnitOfWork
from storage.models.affairs import Contact
from storage.models.decisions import Proposal, ProposalState

OUTREACH = "outreach"
"""The kind of a mail that nobody asked for, and of the proposal to write it."""
UNSUBSCRIBED, BOUNCED = "unsubscribed", "bounced"
BY_MAIL = "mail"
"""The actor of what a mail brought about by coming."""
LONGEST_STOP = 160
LONGEST_NAME = 80
RECENT_PROPOSALS = 100

_ITEM = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")
_STOP = re.compile(
    r"(?:(?:hi|hello|hey|dear)\b[^,.!]{0,30}[,.!] ?)?(?:please,? )?"
    r"(?:unsubscribe(?: me)?|stop|stop (?:it|this|that)|stop (?:writing|mailing|e-?mailing|contacting|sending)(?: to)?(?: me| us)?"
    r"(?: (?:any|these|this|such|your|more|e-?mails?|mails?|messages?))*|no more (?:e-?mails?|mails?|messages?)"
    r"|(?:remove me|take me off)(?: (?:from|of))?(?: (?:your|this|the) (?:mailing )?list)?"
    r"|(?:do not|don['’]t|never) (?:write|mail|e-?mail|contact|message)(?: to)?(?: me| us)?(?: (?:again|any ?more|further))?)"
    r"(?:,? please)?[.! ]*(?:(?:thanks?|thank you|best|kind|regards|yours)\b[^?]{0,40})?",
    re.IGNORECASE,
)


def wants_no_mail(inbound: Inbound) -> bool:
    """Whether a mail asks in a few words, and for nothing else, never to be written to again; as the header List-Unsubscribe offers, too."""
    said = " ".join(inbound.text.split())
    is_offered = inbound.thread.get("subject", "").casefold() == "unsubscribe" and not inbound.thread.get("in_reply_to")
    return is_offered or (len(said) <= LONGEST_STOP and _STOP.fullmatch(said) is not None)


async def heard(work: UnitOfWork, inbound: Inbound, owner: Person, *, now: datetime) -> None:
    """Note what a mail from outside the household says of the owner's contacts, in the act that keeps it. Robots say nothing of them.

    Whoever writes is a contact, if their mail server vouches for them or they were one already; what waited to be sent there is dropped.
    """
    if "lost" in inbound.thread:
        await _came_back(work, inbound, owner, now)
        return
    is_stop, account = wants_no_mail(inbound), inbound.sender.account
    if not (inbound.wants_reply or is_stop):
        return
    found = await work.contacts.by_email(owner.id, account)
    if not found and inbound.is_verified:
        found = [await _met(work, inbound, owner, now)]
    if not found:
        return
    name, subject = found[0].name, bare_line(inbound.thread.get("subject", ""), LONGEST_NAME) or "(no subject)"
    await _drop(work, owner.id, found, f"{name} wants no more mail" if is_stop else f"{name} has written", now=now)
    changes = {"last_heard_at": now, "follow_ups": 0, "follow_up_at": None} | ({"do_not_write": UNSUBSCRIBED} if is_stop else {})
    for contact in found:
        await work.contacts.change(contact.id, **changes)
    errand = Errand(person=owner, key=f"heard/{inbound.id}", why="a mail came", actor=BY_MAIL, source_id=inbound.id)
    what = f"{name} wants no more mail" if is_stop else f"Mail from {name}: {subject}"
    await record(work, errand, "mail.stopped" if is_stop else "mail.heard", what, now=now, contact_id=found[0].id)
    if is_stop and not found[0].do_not_write:
        told = f"**{name}** ({account}) asks not to be written to, and I will not. If they think better of it: `/follow again {found[0].code}`"
        await tell(work, owner.id, told, now=now)


async def wrote(work: UnitOfWork, user_id: UUID, account: str, *, source_id: UUID, now: datetime) -> None:
    """Note that an answer goes out to this address, in the act that promises it; nothing where it is no contact's."""
    person = await work.people.find_user_by_id(user_id)
    found = await work.contacts.by_email(user_id, account.lower()) if account else []
    for contact in found:
        await work.contacts.change(contact.id, last_written_at=now)
    if found and person is not None:
        writer = Person(id=person.id, name=person.name, role=person.role, timezone=person.timezone)
        errand = Errand(person=writer, key=f"wrote/{source_id}", why="their mail was answered", actor=BY_MAIL, source_id=source_id)
        await record(work, errand, "mail.answered", f"Answered {found[0].name}", now=now, contact_id=found[0].id)


async def meet(work: UnitOfWork, user_id: UUID, *, name: str, email: str, now: datetime) -> Contact:
    """A new contact; a name that says nothing is the beginning of the address."""
    called = bare_line(name, LONGEST_NAME) or email.partition("@")[0]
    length = 4
    while True:
        row = {"organization_id": work.organization, "id": new_id(), "user_id": user_id, "code": make_code(length)}
        contact = Contact(**row, name=called, email=email, created_at=now)
        if await work.contacts.add(contact):
            return contact
        length = 6


async def open_outreach(work: UnitOfWork, user_id: UUID) -> list[Proposal]:
    """The mails that wait for a person's yes or, with it, for their day."""
    latest = await work.proposals.latest(user_id, limit=RECENT_PROPOSALS)
    return [each for each in latest if each.kind == OUTREACH and each.state in (ProposalState.WAITING, ProposalState.APPROVED)]


async def _met(work: UnitOfWork, inbound: Inbound, owner: Person, now: datetime) -> Contact:
    return await meet(work, owner.id, name=inbound.sender.name, email=inbound.sender.account, now=now)


async def _came_back(work: UnitOfWork, inbound: Inbound, owner: Person, now: datetime) -> None:
    """A mail of ours could not be delivered, now or ever. Who says so must know its id, which is told to nobody but its reader."""
    item = _ITEM.match(inbound.thread["lost"])
    reader = await work.outbox.reader(UUID(item[1])) if item else None
    found = [each for each in await work.contacts.by_email(owner.id, (reader or "").partition("/")[0]) if reader and not each.do_not_write]
    if not found:
        return
    contact, status = found[0], inbound.thread.get("status", "")
    await _drop(work, owner.id, found, f"no mail reaches {contact.name}", now=now)
    for each in found:
        await work.contacts.change(each.id, do_not_write=BOUNCED, follow_up_at=None)
    errand = Errand(person=owner, key=f"bounced/{inbound.id}", why=f"the report says {status}", actor=BY_MAIL, source_id=inbound.id)
    await record(work, errand, "mail.bounced", f"A mail to {contact.name} came back", now=now, contact_id=contact.id)
    told = f"My mail to **{contact.name}** ({contact.email}) came back for good ({status}), so I will not write there again."
    await tell(work, owner.id, f"{told} If the address is right after all: `/follow again {contact.code}`", now=now)


async def _drop(work: UnitOfWork, user_id: UUID, contacts: Sequence[Contact], why: str, *, now: datetime) -> None:
    """What waits to be sent to these is off. (Before the contacts change: an approval takes its rows in that order, too.)"""
    to = {str(contact.id) for contact in contacts}
    for each in await open_outreach(work, user_id):
        if each.details.get("contact") not in to:
            continue
        off = {"state": ProposalState.WITHDRAWN, "decided_at": now, "details": {**each.details, "off": why}}
        if await work.proposals.change(each.id, now=now, **off) or await work.proposals.settle(each.id, **off):
            await tell(work, user_id, f"I have dropped “{each.title}”: {why}.", now=now)
