"""Deals: what may be sold, where it stands, what it is worth, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, Book, Unsure, folded, title_of
from bot.services.approvals import make_code
from bot.services.dates import without
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
    rf"(?<![\w.,'-])(?P<sign>(?:[$€£¥]|{_CURRENCIES})\s?)?(?P<whole>\d{{1,3}}(?:[.,' ]\d{{3}})+|\d+)(?:[.,](?P<part>\d{{1,3}}))?"
    rf"\s?(?P<scale>{'|'.join(sorted(filter(None, SCALES), key=len, reverse=True))})?(?:\s?(?P<code>[$€£¥]|{_CURRENCIES}))?(?![\w%]|[.,]\d)",
    re.I,
)
_STAGE = re.compile(rf"\b(?:(?:now\s+)?in(?:to)?\s+|to\s+|stage\s*[=:]?\s*)?({'|'.join(Stage)})\b", re.I)
_LIKELY = re.compile(r"\b(\d{1,3})\s?%")
_NEXT = re.compile(r"[,;]?\s*\bnext(?:\s+step)?\s*[:=]\s*(.+)$", re.I)
HOW = "Which deal? For example `/deal Acme, negotiation, 40k, next: send the contract on Friday`."


class Deals(Book[Deal]):
    """The deals of each person."""

    table, noun = "deals", "deal"

    async def take(self, errand: Errand, words: str, *, only_known: bool = False) -> tuple[Deal, str]:
        """Add the deal that these words tell of, or bring the one of that name up to date; what was done. Raises ToolFailed."""
        return await self.keep(errand, *parse_deal(words), only_known=only_known)

    async def keep(self, errand: Errand, title: str, values: dict[str, Any], *, only_known: bool = False) -> tuple[Deal, str]:
        """Give the deal of this name these values, or add it. Raises ToolFailed where it is not clear which is meant."""
        if not title.strip():
            raise ToolFailed(HOW)
        if step := values.get("next_step"):
            when = self.when(errand.person, step)
            values |= {"next_step": without(step, when) if when else step, "next_step_on": when.date if when else None}
        try:
            known = await self.find(errand.person, title)
        except Unsure as unsure:
            if only_known or unsure.nearest:
                raise
            return await self._begin(errand, title, values)
        return known, await self.edit(errand, known.code, values)

    async def edit(self, errand: Errand, code: str, values: Mapping[str, Any]) -> str:
        """Give a deal these values; a new stage brings its usual probability unless one is given. Raises ToolFailed."""

        def decide(row: Deal) -> tuple[Mapping[str, Any], str]:
            made = {name: value for name, value in _staged(values).items() if getattr(row, name) != value}
            if not made:
                return {}, f"I know that already: {told_deal(row)}."
            stage, now = made.get("stage", row.stage), self._clock.now()
            made |= {"changed_at": now, "closed_at": (row.closed_at or now) if stage in ENDED else None}
            return made, f"Changed: {told_deal(replace(row, **made))}."

        return await self._change(errand, code, "edit", decide)

    async def _begin(self, errand: Errand, title: str, values: Mapping[str, Any]) -> tuple[Deal, str]:
        now = self._clock.now()
        row = Deal(
            organization_id=self._database.organization,
            id=new_id(),
            user_id=errand.person.id,
            code=make_code(4),
            title=title[:LONGEST],
            created_at=now,
            changed_at=now,
            **_staged({"stage": Stage.LEAD} | dict(values)),
        )
        row.closed_at = now if row.stage in ENDED else None
        text = f"Added: {told_deal(row)}."
        return await self._add(errand, row, text), text

    async def _standing(self, work: UnitOfWork, user_id: Any) -> list[Deal]:
        """What is won or lost is still known by its name."""
        rows = [row for row in await work.deals.of(user_id) if row.archived_at is None]
        return sorted(rows, key=lambda row: (row.stage in ENDED, row.id))


def parse_deal(words: str) -> tuple[str, dict[str, Any]]:
    """What a deal is called, and what is said of it: stage, value, probability and next step."""
    values: dict[str, Any] = {}
    if found := _NEXT.search(words):
        values["next_step"], words = found.group(1).strip()[:LONGEST], words[: found.start()]
    if found := _LIKELY.search(words):
        values["probability"], words = min(int(found.group(1)), 100), _cut(words, found)
    for found in reversed(list(_MONEY.finditer(words))):
        if (cents := _cents(found)) is not None:
            values["value_cents"], words = cents, _cut(words, found)
            if sign := (found["sign"] or found["code"] or "").strip().upper():
                values["currency"] = SIGNS.get(sign, sign)
            break
    stages = list(_STAGE.finditer(words))
    if stages and stages[-1].start():  # a deal may be called "Lead pipes"
        values["stage"], words = Stage(stages[-1].group(1).lower()), _cut(words, stages[-1])
    return " ".join(re.sub(r"\s+(?:is|are|has|at|worth|for|deal|now|the)*\s*$", "", words.strip(" ,;:-")).split()).strip(" ,;:-"), values


def told_deal(row: Deal) -> str:
    """A deal in a line."""
    parts = [title_of(row), row.stage, told_money(row.value_cents, row.currency) if row.value_cents else ""]
    step = row.next_step + (f" on {row.next_step_on:%A} {row.next_step_on.day} {row.next_step_on:%B}" if row.next_step_on else "")
    parts += ["" if row.stage in ENDED else f"{row.probability} %", f"next: {step}" if row.next_step else ""]
    return ", ".join(each for each in parts if each)


def told_money(cents: int, currency: str) -> str:
    """An amount as people read it."""
    return f"{cents / 100:,.0f} {currency}" if cents % 100 == 0 else f"{cents / 100:,.2f} {currency}"


def pipeline(rows: Sequence[Deal]) -> dict[Stage, dict[str, tuple[int, int, int]]]:
    """For each stage that is still open and each currency: how many, their value in cents, and that value weighted by probability."""
    totals: dict[Stage, dict[str, tuple[int, int, int]]] = {}
    for row in rows:
        if row.stage not in ENDED:
            of_stage = totals.setdefault(Stage(row.stage), {})
            count, value, weighted = of_stage.get(row.currency, (0, 0, 0))
            of_stage[row.currency] = (count + 1, value + row.value_cents, weighted + row.value_cents * row.probability // 100)
    return {stage: totals[stage] for stage in reversed(Stage) if stage in totals}


def _staged(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**({"probability": LIKELY[values["stage"]]} if "stage" in values else {}), **values}


def _cut(words: str, found: re.Match[str]) -> str:
    return f"{words[: found.start()].rstrip(' ,;')} {words[found.end() :].lstrip(' ,;')}"


def _cents(found: re.Match[str]) -> int | None:
    """The amount that was found, in hundredths; None for a bare number that may as well be a year or a count."""
    whole, part, zeros = found["whole"], found["part"] or "", SCALES[(found["scale"] or "").lower()]
    if zeros and re.fullmatch(r"\d+[.,]\d{3}", whole):  # 1.250m is no thousands of millions
        whole, part = re.split("[.,]", whole)
    digits = re.sub(r"\D", "", whole)
    is_money = bool(zeros or found["sign"] or found["code"] or digits != whole or len(digits) > 4)
    cents = int(digits + part.ljust(zeros + 2, "0")[: zeros + 2]) if len(digits) < 15 else MOST_CENTS
    return cents if is_money and cents < MOST_CENTS else None
