"""Contacts: the people somebody has to do with, when they were last in touch, and what comes next with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, folded, line_of, title_of
from bot.services.deals import ENDED, told_deal
from bot.services.tasks import is_named
from storage.models.affairs import Contact, Deal

EMAIL = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?\d[\d ()/.-]{5,}\d")
_KEY = r"\b(name|email|phone|company|role|detail|next)\s*="
_FIELD = re.compile(rf"{_KEY}\s*(.*?)(?=[,;]?\s*{_KEY}|$)", re.DOTALL)
_AT = re.compile(r"\s+(?:at|of|from)\s+(\S.*)$", re.I)
HOW = "Whom? For example `/contact Dana Smith, dana@acme.com, +1 555 0100, at Acme, next=call on Friday`."
LINES = 3


class Contacts(Book[Contact]):
    """The contacts of each person."""

    table, noun = "contacts", "contact"
    verbs = ("touch", "edit", "remove")

    async def take(self, errand: Errand, words: str) -> tuple[Contact, str]:
        """Add whom these words tell of, or give the contact of that address or name what is new. Raises ToolFailed."""
        values = self._read(errand.person, words)
        if not values.get("name"):
            raise ToolFailed(HOW)
        known = known_as(await self.standing(errand.person), values["name"], values.get("email", ""))
        if known is not None:
            return known, await self._set(errand, known, {name: value for name, value in values.items() if name != "name"})
        row = Contact(**self._new(errand), **values)
        return await self._add(errand, row, f"Added: {title_of(row)}."), f"Added: {told_contact(row)}."

    def line(self, row: Contact, now: datetime) -> str:
        """Who, and how to reach them."""
        return told_contact(row)

    async def edit(self, errand: Errand, row: Contact, words: str) -> str:
        """Give a contact what these words say."""
        return await self._set(errand, row, self._read(errand.person, words))

    async def touch(self, errand: Errand, row: Contact, words: str = "") -> str:
        """They were talked to, today: nobody waits for an answer any more."""
        now = self._clock.now()
        values = {"last_heard_at": now, "last_written_at": now}
        return await self._change(errand, row, "touch", lambda row: (values, f"Noted: you talked to {title_of(row)} today."))

    async def tell(self, person: Person, words: str, listed: Sequence[str] = ()) -> tuple[Contact, str]:
        """Who somebody is: how to reach them, the last touch, the next step, open deals and tasks, what happened. Raises Unsure."""
        row, now = await self.find(person, words, listed), self.local(person)
        async with self._database.reading() as work:
            deals = [deal for deal in await work.deals.of(person.id) if deal.stage not in ENDED and not deal.archived_at]
            tasks = [task for task in await work.tasks.open(person.id) if task.contact_id == row.id or is_named(row, task.title)]
            lines = await work.activities.about(row.id, limit=LINES)
        day = f" ({row.next_step_on:%A} {row.next_step_on.day} {row.next_step_on:%B})" if row.next_step_on else ""
        told = [_touch(row, now), *[row.detail] * bool(row.detail), *[f"Next: {row.next_step}{day}"] * bool(row.next_step)]
        told += [f"Deal: {told_deal(deal)}" for deal in deals if _is_theirs(deal, row)] + [f"Task: {title_of(task)}" for task in tasks]
        told += [f"{line.at.astimezone(now.tzinfo):%d %b}: {one_line(line.text)}" for line in lines]
        return row, "\n".join([f"**{told_contact(row)}** `{row.code}`", "", *(f"- {each}" for each in told)])

    async def _set(self, errand: Errand, row: Contact, values: Mapping[str, Any]) -> str:
        def decide(row: Contact) -> tuple[Mapping[str, Any], str]:
            fresh = {name: value for name, value in values.items() if getattr(row, name) != value}
            told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in fresh.items() if value)
            return fresh, f"Changed {title_of(row)}: {told}." if fresh else f"I know that of {title_of(row)} already."

        return await self._change(errand, row, "edit", decide)

    def _read(self, person: Person, words: str) -> dict[str, Any]:
        """The columns that these words fill. Raises ToolFailed."""
        values: dict[str, Any] = parse_contact(words)
        if odd := re.search(r"\b(\w+)\s?=", values.get("name", "")):
            raise ToolFailed(f"I keep no “{odd[1]}” of a contact. What I keep: name, email, phone, company, role, detail, next.")
        email = values.get("email") or next((word for word in values.get("name", "").split() if "@" in word.strip("@")), "")
        if email and not EMAIL.fullmatch(email):
            raise ToolFailed(f"“{email}” is no address; one looks like dana@acme.com.")
        if step := values.get("next_step"):
            when, rest = self.when(person, step)
            values |= {"next_step": line_of(rest) or step, "next_step_on": when.date if when else None}
        return values


def parse_contact(words: str) -> dict[str, str]:
    """Name, address, number and company out of `Dana Smith, dana@acme.com, +1 555 0100, at Acme`; and any of them as `company=Acme`."""
    words = " ".join(words.split())[:LONGEST]  # the patterns take for ever over a page of blanks or figures
    values = {"next_step" if found[1] == "next" else found[1]: line_of(found[2]) for found in _FIELD.finditer(words)}
    rest = re.split(_KEY, words, maxsplit=1)[0]
    for name, pattern in (("email", EMAIL), ("phone", _PHONE)):
        if found := pattern.search(rest):
            values[name], rest = found.group(), f"{rest[: found.start()]} {rest[found.end() :]}"
    rest = " ".join(re.sub(r"[,;<>]", " ", rest).split())
    if found := _AT.search(f" {rest}"):
        values["company"], rest = found.group(1), rest[: found.start()]
    return {"name": line_of(rest)} | values if line_of(rest) else values


def known_as(rows: Sequence[Contact], name: str, email: str) -> Contact | None:
    """The contact of this address, or of this name where an address does not tell them apart."""
    by_email = [row for row in rows if email and row.email.casefold() == email.casefold()]
    by_name = [row for row in rows if folded(row.name) == folded(name) and not (email and row.email)]
    return next(iter(by_email or by_name), None)


def told_contact(row: Contact) -> str:
    """A contact in a line."""
    return ", ".join(each for each in (title_of(row), row.role, row.company, row.email, row.phone) if each)


def _touch(row: Contact, now: datetime) -> str:
    def ago(moment: datetime | None) -> str:
        days = (now.date() - moment.astimezone(now.tzinfo).date()).days if moment else -1
        return {-1: "never, as far as I know", 0: "today", 1: "yesterday"}.get(days, f"{days} days ago")

    return f"Last heard from: {ago(row.last_heard_at)}. Last written to: {ago(row.last_written_at)}."


def _is_theirs(deal: Deal, row: Contact) -> bool:
    return deal.contact_id == row.id or bool(row.company and folded(deal.company or deal.title) == folded(row.company))
