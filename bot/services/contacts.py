"""Contacts: the people somebody has to do with, when they were last in touch, and what comes next with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, folded, title_of
from bot.services.approvals import make_code
from bot.services.dates import without
from bot.services.deals import ENDED, told_deal
from bot.services.tasks import is_named, spoken
from storage.models.affairs import Contact

FIELDS = ("name", "email", "phone", "company", "role", "detail", "next_step")
EMAIL = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(r"\+?\d[\d ()/.-]{5,}\d")
_AT = re.compile(r"\s+(?:at|of|from)\s+(\S.*)$", re.I)
HOW = "Whom? For example `/contact Dana Smith, dana@acme.com, +1 555 0100, at Acme`."
LINES = 3


class Contacts(Book[Contact]):
    """The contacts of each person."""

    table, noun = "contacts", "contact"

    async def keep(self, errand: Errand, name: str, **values: Any) -> tuple[Contact, str]:
        """Add somebody, or give the contact of this name (or address) what is new; what was done. Raises ToolFailed."""
        name, values = _line(name), {key: _line(value) for key, value in values.items() if value}
        if not name:
            raise ToolFailed(HOW)
        if (email := values.get("email")) and not EMAIL.fullmatch(email):
            raise ToolFailed(f"“{email}” is no address; one looks like dana@acme.com.")
        values |= self._step(errand.person, values)
        known = known_as(await self.standing(errand.person), name, values.get("email", ""))
        if known is None:
            ids: dict[str, Any] = {"organization_id": self._database.organization, "id": new_id(), "user_id": errand.person.id}
            row = Contact(**ids, code=make_code(4), name=name, created_at=self._clock.now(), **values)
            return await self._add(errand, row, f"Added: {title_of(row)}."), f"Added: {told_contact(row)}."
        return known, await self.edit(errand, known.code, values)

    async def edit(self, errand: Errand, code: str, values: Mapping[str, Any]) -> str:
        """Give a contact these values; what was done. Raises ToolFailed, StorageUnavailable."""

        def decide(row: Contact) -> tuple[Mapping[str, Any], str]:
            fresh = {name: value for name, value in values.items() if getattr(row, name) != value}
            told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in fresh.items() if value)
            return fresh, f"Changed {title_of(row)}: {told}." if fresh else f"I know that of {title_of(row)} already."

        return await self._change(errand, code, "edit", decide)

    async def touch(self, errand: Errand, code: str) -> str:
        """They were talked to, today: nobody waits for an answer any more. Raises ToolFailed, StorageUnavailable."""
        now = self._clock.now()
        values = {"last_heard_at": now, "last_written_at": now}
        return await self._change(errand, code, "touch", lambda row: (values, f"Noted: you talked to {title_of(row)} today."))

    async def tell(self, person: Person, words: str, listed: Sequence[str] = ()) -> tuple[Contact, str]:
        """Who somebody is: how to reach them, the last touch, the next step, open deals and tasks, what happened. Raises Unsure."""
        row, now = await self.find(person, words, listed), self.local(person)
        async with self._database.reading() as work:
            deals, tasks = await work.deals.of(person.id), await work.tasks.open(person.id)
            lines = await work.activities.about(row.id, limit=LINES)
        told = [f"**{told_contact(row)}** `{row.code}`", _touch(row, now), *([row.detail] if row.detail else [])]
        told += [
            f"Next: {row.next_step}"
            + (f" ({row.next_step_on:%A} {row.next_step_on.day} {row.next_step_on:%B})" if row.next_step_on else "")
        ] * bool(row.next_step)
        told += [f"Deal: {told_deal(deal)}" for deal in deals if _is_theirs(deal, row) and deal.stage not in ENDED and not deal.archived_at]
        told += [f"Task: {spoken(task, now)}" for task in tasks if task.contact_id in (row.id, None) and is_named(row, task.title)]
        told += [f"{line.at.astimezone(now.tzinfo).day} {line.at.astimezone(now.tzinfo):%b}: {one_line(line.text)}" for line in lines]
        return row, "\n".join([told[0], "", *(f"- {each}" for each in told[1:])])

    def _step(self, person: Person, values: Mapping[str, Any]) -> dict[str, Any]:
        """A next step, with the day in it."""
        step = values.get("next_step", "")
        when = self.when(person, step) if step else None
        return {"next_step": _line(without(step, when)) or step, "next_step_on": when.date} if when else {}


def parse_contact(words: str) -> dict[str, str]:
    """Name, address, number and company out of `Dana Smith, dana@acme.com, +1 555 0100, at Acme`; and `company=Acme` for any field."""
    values = {}
    for key, value in re.findall(rf"\b({'|'.join(FIELDS)}|next)\s*=\s*(.*?)(?=[,;]?\s+\w+\s*=|$)", words):
        values["next_step" if key == "next" else key] = value.strip(" \"',;")
    rest = re.split(rf"\b(?:{'|'.join(FIELDS)}|next)\s*=", words)[0]
    for name, pattern in (("email", EMAIL), ("phone", PHONE)):
        if found := pattern.search(rest):
            values[name], rest = found.group(), rest[: found.start()] + rest[found.end() :]
    rest = " ".join(re.sub(r"[,;<>]", " ", rest).split())
    if found := _AT.search(f" {rest}"):
        values["company"], rest = found.group(1), rest[: found.start()].strip()
    return {"name": rest} | values if rest else values


def known_as(rows: Sequence[Contact], name: str, email: str) -> Contact | None:
    """The contact of this address, or of this name where an address does not tell them apart."""
    by_email = [row for row in rows if email and row.email.casefold() == email.casefold()]
    by_name = [row for row in rows if folded(row.name) == folded(name) and not (email and row.email)]
    return next(iter(by_email or by_name), None)


def told_contact(row: Contact) -> str:
    """A contact in a line: who, and how to reach them."""
    what = ", ".join(each for each in (row.role, row.company) if each)
    return ", ".join(each for each in (title_of(row), what, row.email, row.phone) if each)


def _touch(row: Contact, now: datetime) -> str:
    def ago(moment: datetime | None) -> str:
        days = (now.date() - moment.astimezone(now.tzinfo).date()).days if moment else -1
        return {-1: "never, as far as I know", 0: "today", 1: "yesterday"}.get(days, f"{days} days ago")

    return f"Last heard from: {ago(row.last_heard_at)}. Last written to: {ago(row.last_written_at)}."


def _is_theirs(deal: Any, row: Contact) -> bool:
    return deal.contact_id == row.id or bool(row.company and folded(deal.company or deal.title) == folded(row.company))


def _line(text: str) -> str:
    return " ".join(text.split()).strip(" ,;")[:LONGEST]
