"""What mail itself knows of contacts: who was heard, whose address has gone, and who wants no more of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.message import Inbound, OutgoingKind
from bot.services.approvals import make_code
from bot.services.journal import record
from bot.services.notices import bare_line, tell
from storage.database import UnitOfWork
from storage.models.affairs import Contact
from storage.models.decisions import Proposal, ProposalState

UNSUBSCRIBED, BOUNCED = "unsubscribed", "bounced"
LONGEST_STOP, LONGEST_NAME = 160, 80
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
    """Whether a mail asks in a few words, and for nothing else, never to be written to again; List-Unsubscribe offers such a mail, too."""
    said = " ".join(inbound.text.split())
    is_offered = inbound.thread.get("subject", "").casefold() == "unsubscribe" and not inbound.thread.get("in_reply_to")
    return is_offered or (len(said) <= LONGEST_STOP and _STOP.fullmatch(said) is not None)


async def heard(work: UnitOfWork, inbound: Inbound, owner: Person, *, can_meet: bool, now: datetime) -> None:
    """Note what a mail from outside the household says of the owner's contacts, in the act that keeps it.

    Whoever writes is a contact: if they were one, or if they may be answered (`can_meet`) and their mail server vouches for them. What
    waited to go there is dropped. Robots say nothing of anybody, but for the report that a mail of ours cannot be delivered; it must
    name its id, which only its reader knows.
    """
    is_lost, is_stop = "lost" in inbound.thread, wants_no_mail(inbound)
    account, name = (await _lost_reader(work, inbound), "") if is_lost else (inbound.sender.account, inbound.sender.name)
    found = await work.contacts.by_email(owner.id, account) if account and (is_lost or is_stop or inbound.wants_reply) else []
    if not found and can_meet and inbound.is_verified:
        found = [await meet(work, owner.id, name=name, email=account, now=now)]
    if found and not (is_lost and found[0].do_not_write):
        kind = "mail.bounced" if is_lost else "mail.stopped" if is_stop else "mail.heard"
        await _note(work, inbound, owner, found, kind, now=now)


async def meet(work: UnitOfWork, user_id: UUID, *, name: str, email: str, now: datetime) -> Contact:
    """A new contact; where the name says nothing, it is the beginning of the address."""
    called = bare_line(name, LONGEST_NAME) or email.partition("@")[0]
    row: dict[str, Any] = {"organization_id": work.organization, "id": new_id(), "user_id": user_id, "code": make_code(4)}
    contact = Contact(**row, name=called, email=email, created_at=now)
    while not await work.contacts.add(contact):
        contact.code = make_code(6)
    return contact


async def open_outreach(work: UnitOfWork, user_id: UUID) -> list[Proposal]:
    """The mails that wait for a person's yes or, with it, for their day."""
    latest = await work.proposals.latest(user_id, limit=RECENT_PROPOSALS)
    return [each for each in latest if each.kind == OutgoingKind.OUTREACH and each.state in (ProposalState.WAITING, ProposalState.APPROVED)]


async def _lost_reader(work: UnitOfWork, inbound: Inbound) -> str:
    """To whom the mail went that a report speaks of; "" where it was none of ours."""
    item = _ITEM.match(inbound.thread["lost"])
    return (await work.outbox.reader(UUID(item[1])) or "").partition("/")[0] if item else ""


async def _note(work: UnitOfWork, inbound: Inbound, owner: Person, found: Sequence[Contact], kind: str, *, now: datetime) -> None:
    """Change what is known of these (who share an address), drop what waits to go to them, and tell the owner what they must know."""
    first, subject = found[0], bare_line(inbound.thread.get("subject", ""), LONGEST_NAME) or "(no subject)"
    heard: dict[str, Any] = {"last_heard_at": now, "follow_ups": 0, "follow_up_at": None}
    changes, what, told = {
        "mail.heard": (heard, f"Mail from {first.name}: {subject}", ""),
        "mail.stopped": (heard | {"do_not_write": UNSUBSCRIBED}, f"{first.name} wants no more mail", "asks not to be written to"),
        "mail.bounced": ({"do_not_write": BOUNCED}, f"No mail reaches {first.name}", "is out of reach: my mail came back for good"),
    }[kind]
    errand = Errand(person=owner, key=f"mail/{inbound.id}", why=inbound.thread.get("status", ""), actor="mail", source_id=inbound.id)
    await _drop(work, owner.id, found, what, now=now)  # before the contacts change: an approval takes its rows in that order, too
    for contact in found:
        await work.contacts.change(contact.id, **changes)
    await record(work, errand, kind, what, now=now, contact_id=first.id)
    if told and not first.do_not_write:
        again = f"I will not write there again. Should that be wrong: `/follow again {first.code}`"
        await tell(work, owner.id, f"**{first.name}** ({first.email}) {told}. {again}", now=now)


async def _drop(work: UnitOfWork, user_id: UUID, contacts: Sequence[Contact], why: str, *, now: datetime) -> None:
    """What waits to be sent to these is off, and the person is told."""
    to = {str(contact.id) for contact in contacts}
    for each in await open_outreach(work, user_id):
        off = {"state": ProposalState.WITHDRAWN, "decided_at": now, "details": {**each.details, "off": why}}
        if each.details.get("contact") in to and (
            await work.proposals.change(each.id, now=now, **off) or await work.proposals.settle(each, **off)
        ):
            await tell(work, user_id, f"I have dropped “{each.title}”. {why}.", now=now)
