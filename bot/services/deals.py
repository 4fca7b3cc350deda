"""Deals: what may be sold, where it stands, what it is worth, and what comes next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from bot.domain.address import Person
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, Unsure, line_of, title_of
from storage.database import UnitOfWork
from storage.models.affairs import Deal, Stage

LIKELY = {Stage.LEAD: 10, Stage.QUALIFIED: 25, Stage.PROPOSAL: 50, Stage.NEGOTIATION: 75, Stage.WON: 100, Stage.LOST: 0}
"""Per cent, where nobody said otherwise."""
SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
SCALES = {"": 0, "k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "bn": 9, "billion": 9}
MOST_CENTS = 10**17
ENDED = (Stage.WON, Stage.LOST)
_CURRENCIES = "USD|EUR|GBP|CHF|JPY|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|INR|CNY|SGD|HKD|ZAR|BRL|MXN|ILS|TRY|AED"
_MONEY = re.compile(
    rf"(?<![\w.,'-])(?P<sign>(?:(?:US)?[$€£¥]|{_CURRENCIES})\s?)?"
    rf"(?P<whole>\d{{1,3}}(?:[.,' ]\d{{3}})+|\d+)(?:[.,](?P<part>\d{{1,3}}))?"
    rf"\s?(?P<scale>{'|'.join(sorted(filter(None, SCALES), key=len, reverse=True))})?"
    rf"(?:\s?(?P<code>[$€£¥]|{_CURRENCIES}))?(?![\w%]|[.,]\d)",
    re.I,
)
_STAGE = re.compile(rf"\b(?:(?:now\s+)?in(?:to)?\s+|to\s+|stage\s*[=:]?\s*)?({'|'.join(Stage)})\b", re.I)
_LIKELY = re.compile(r"(?<![\w.,])(\d{1,3})(?:[.,]\d+)?\s?%")
_NEXT = re.compile(r"[,;]?\s*\bnext(?:\s+step)?\s*[:=]\s*(.+)$", re.I)
_LEFT_OVER = re.compile(r"\s+(?:is|are|has|at|worth|value|for|deal|now|the)*\s*$")
HOW = "Which deal? For example `/deal Acme, negotiation, 40k, next: send the contract on Friday`."


class Deals(Book[Deal]):
    """The deals of each person."""

    table, noun = "deals", "deal"
    verbs = ("done", "update", "edit", "remove")

    async def take(self, errand: Errand, words: str) -> tuple[Deal, str]:
        """Add the deal that these words tell of, or bring the one of that name up to date. Raises ToolFailed."""
        title, values = self._read(errand.person, words)
        try:
            known = await self.find(errand.person, title)
        except Unsure as unsure:
            if unsure.nearest or not title:
                raise (unsure if title else ToolFailed(HOW)) from None
        else:
            return known, await self._set(errand, known, values)
        row = Deal(**self._new(errand), title=title, changed_at=self._clock.now(), **_staged({"stage": Stage.LEAD} | values))
        row.closed_at = row.changed_at if row.stage in ENDED else None
        text = f"Added: {told_deal(row)}."
        return await self._add(errand, row, text), text

    def line(self, row: Deal, now: datetime) -> str:
        """What it is, where it stands, what it is worth, what comes next."""
        return told_deal(row)

    async def edit(self, errand: Errand, row: Deal, words: str) -> str:
        """Give a deal what these words say of it, and the name that stands before that."""
        title, values = self._read(errand.person, f"x, {words}" if parse_deal(f"x, {words}")[0] == "x" else words)
        return await self._set(errand, row, values | ({"title": title} if title != "x" else {}))

    async def update(self, errand: Errand, row: Deal, words: str) -> str:
        """Give it what is said of it in words that begin with its name."""
        return await self._set(errand, row, self._read(errand.person, words)[1])

    async def done(self, errand: Errand, row: Deal, words: str = "") -> str:
        """It is won."""
        return await self._set(errand, row, {"stage": Stage.WON})

    async def _set(self, errand: Errand, row: Deal, values: Mapping[str, Any]) -> str:
        def decide(row: Deal) -> tuple[Mapping[str, Any], str]:
            made = {name: value for name, value in _staged(values).items() if getattr(row, name) != value}
            if not made:
                return {}, f"I know that already: {told_deal(row)}."
            now, has_ended = self._clock.now(), made.get("stage", row.stage) in ENDED
            made |= {"changed_at": now, "closed_at": (row.closed_at or now) if has_ended else None}
            return made, f"Changed: {told_deal(replace(row, **made))}."

        return await self._change(errand, row, "edit", decide)

    def _read(self, person: Person, words: str) -> tuple[str, dict[str, Any]]:
        title, values = parse_deal(words)
        last = title.rpartition(", ")[2].lower()
        if last != title.lower() and (near := difflib.get_close_matches(last, tuple(Stage), n=1, cutoff=0.8)):
            raise ToolFailed(f"I know no stage “{last}”. Did you mean `{near[0]}`?")
        if odd := re.search(r"(?<![\w.-])-\d[\d.,]*\w*|\d{15,}\w*", title):
            raise ToolFailed(f"“{odd[0][:40]}” is no amount that I can keep; one looks like 40k or 3,500 EUR.")
        if values.get("probability", 0) > 100:
            raise ToolFailed(f"A probability goes from 0 % to 100 %, and {values['probability']} % is more. Which do you mean?")
        if step := values.get("next_step"):
            when, rest = self.when(person, step)
            values |= {"next_step": line_of(rest) or step, "next_step_on": when.date if when else None}
        return title, values

    async def _standing(self, work: UnitOfWork, user_id: UUID) -> list[Deal]:
        """What is won or lost is still known by its name."""
        return sorted(await super()._standing(work, user_id), key=lambda row: (row.stage in ENDED, row.id))


def parse_deal(words: str) -> tuple[str, dict[str, Any]]:
    """What a deal is called, and what is said of it: stage, value, probability and next step."""
    values: dict[str, Any] = {}
    words = " ".join(words.split())[:LONGEST]  # the patterns take for ever over a page of blanks
    if found := _NEXT.search(words):
        values["next_step"], words = found.group(1), words[: found.start()]
    if found := _LIKELY.search(words):
        values["probability"], words = int(found.group(1)), _cut(words, found)
    money = [(cents, found) for found in _MONEY.finditer(words) if (cents := _cents(found)) is not None]
    if money:
        values["value_cents"], found = money[-1]
        if sign := (found["sign"] or found["code"] or "").strip().upper():
            values["currency"] = SIGNS.get(sign[-1], sign)
        words = _cut(words, found)
    stages = list(_STAGE.finditer(words))
    if stages and stages[-1].start():  # a deal may be called "Lead pipes"
        values["stage"], words = Stage(stages[-1].group(1).lower()), _cut(words, stages[-1])
    return line_of(_LEFT_OVER.sub("", words.strip(" ,;:-"))), values


def told_deal(row: Deal) -> str:
    """A deal in a line."""
    parts = [title_of(row), row.stage, told_money(row.value_cents, row.currency) if row.value_cents else ""]
    step = row.next_step + (f" on {row.next_step_on:%A} {row.next_step_on.day} {row.next_step_on:%B}" if row.next_step_on else "")
    parts += ["" if row.stage in ENDED else f"{row.probability} %", f"next: {step}" if row.next_step else ""]
    return ", ".join(each for each in parts if each)


def told_money(cents: int, currency: str) -> str:
    """An amount as people read it."""
    return f"{cents / 100:,.0f} {currency}" if cents % 100 == 0 else f"{cents / 100:,.2f} {currency}"


def pipeline(rows: Sequence[Deal]) -> list[str]:
    """A line for each open stage and currency: how many there are, what they are worth, and what that comes to by probability."""
    lines = []
    for stage in reversed(Stage):
        of_stage = [row for row in rows if row.stage == stage and stage not in ENDED]
        for currency in sorted({row.currency for row in of_stage}):
            mine = [row for row in of_stage if row.currency == currency]
            value, weighted = sum(row.value_cents for row in mine), sum(row.value_cents * row.probability // 100 for row in mine)
            lines.append(f"{stage}: {len(mine)} worth {told_money(value, currency)}, weighted {told_money(weighted, currency)}")
    return lines


def _staged(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**({"probability": LIKELY[values["stage"]]} if "stage" in values else {}), **values}


def _cut(words: str, found: re.Match[str]) -> str:
    return f"{words[: found.start()].rstrip(' ,;')} {words[found.end() :].lstrip(' ,;.')}"


def _cents(found: re.Match[str]) -> int | None:
    """The amount that was found, in hundredths; None for a bare number that may as well be a year or a count."""
    whole, part, zeros = found["whole"], found["part"] or "", SCALES[(found["scale"] or "").lower()]
    if zeros and re.fullmatch(r"\d+[.,]\d{3}", whole):  # 1.250m is no thousands of millions
        whole, part = re.split("[.,]", whole)
    digits = re.sub(r"\D", "", whole)
    is_money = bool(zeros or found["sign"] or found["code"] or digits != whole or len(digits) > 4)
    cents = int(digits + part.ljust(zeros + 2, "0")[: zeros + 2]) if len(digits) < 15 else MOST_CENTS
    return cents if is_money and cents < MOST_CENTS else None
