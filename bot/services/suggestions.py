"""Learns from how short and long answers were taken at each part of the day, and asks whether Robbie shall keep to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.brain.personality import PARTS, RIGHT, Personality, part_of
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand, Risk
from bot.services.approvals import propose
from bot.services.manners import SETTING, preview_of, seen
from storage.database import Database
from storage.repositories.manners import Said

LOOKS_BACK = timedelta(days=28)
LOOKS_EVERY = timedelta(hours=1)
FROM_HOUR = 9
"""Nobody is asked such a thing at night."""
SHORT_WORDS, LONG_WORDS = 60, 120
LETTERS_PER_WORD = 6
WRITES_ON = timedelta(minutes=30)
"""Who was not asked, and writes on so soon, had some use for the answer."""
ENOUGH, CLEARLY = 6, 0.4
"""Answers of each length, and by how much the share of those that were well taken must differ."""
STEP = 2


class Outcome(NamedTuple):
    """How an answer of so many words was taken, at a part of the day."""

    part: str
    words: int
    is_well: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """What Robbie would change, when, and what he saw that speaks for it."""

    part: str
    changes: Mapping[str, str]
    why: str


def outcomes_of(said: Sequence[Said], timezone: str) -> list[Outcome]:
    """What became of each answer: its rating, or else whether its person wrote on."""
    found, zone = [], ZoneInfo(timezone)
    next_in: dict[UUID, Said] = {}
    for each in reversed(said):
        then, next_in[each.conversation_id] = next_in.get(each.conversation_id), each
        if each.is_answer:
            writes_on = then is not None and not then.is_answer and then.at - each.at <= WRITES_ON
            is_well = each.rating > 0 if each.rating else writes_on  # 0: taken back
            found.append(Outcome(part_of(each.at.astimezone(zone)), each.letters // LETTERS_PER_WORD, is_well))
    return found


def suggest(outcomes: Sequence[Outcome], holding: Mapping[str, Personality]) -> Suggestion | None:
    """The first part of the day at which one length was clearly better taken than the other, and is not what holds already."""
    for part in PARTS:
        short = [each.is_well for each in outcomes if each.part == part and each.words <= SHORT_WORDS]
        long = [each.is_well for each in outcomes if each.part == part and each.words >= LONG_WORDS]
        if min(len(short), len(long)) < ENOUGH:
            continue
        lead, step = sum(short) / len(short) - sum(long) / len(long), holding[part].cocktail
        to = min(step + STEP, RIGHT) if lead >= CLEARLY else max(step - STEP, 1) if lead <= -CLEARLY else step
        if to != step:
            why = f"In the {part}, {sum(short)} of {len(short)} short answers were well taken, and {sum(long)} of {len(long)} long ones."
            return Suggestion(part=part, changes={"cocktail": str(to)}, why=why)
    return None


class Suggestions:
    """A round: looks once a local day at each person's answers, and asks at most once a week; the same thing once a quarter."""

    name = "suggestions"

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._next = clock.now()

    async def look(self, now: datetime) -> datetime:
        """See whether there is something to ask of anybody. Raises StorageUnavailable."""
        if now >= self._next:
            async with self._database.reading() as work:
                users = await work.people.users()
            for user in users:
                if user.role in ("owner", "member"):
                    await self._look_at(user.person, now)
            self._next = now + LOOKS_EVERY
        return self._next

    async def _look_at(self, person: Person, now: datetime) -> None:
        local = now.astimezone(ZoneInfo(person.timezone))
        if local.hour < FROM_HOUR:
            return
        async with self._database.unit_of_work() as work:
            if not await work.job_runs.mark("suggestions", f"{person.id}/{local.date()}", now):
                return
            rows = await work.settings.holding(person.id, now)
            said = await work.settings.said(person.id, since=now - LOOKS_BACK)
            found = suggest(outcomes_of(said, person.timezone), {part: seen(person, rows, part) for part in PARTS})
            year, week, _ = local.isocalendar()
            if found is not None and await work.job_runs.mark("suggestions a week", f"{person.id}/{year}/{week}", now):
                key = f"suggestion/{person.id}/{found.part}/{found.changes}/{year}/{week // 13}"
                about = f"{found.why}\n\n{preview_of(replace(person, role='member'), rows, found.changes, found.part)}"
                what = {"title": f"Shall I change how long my answers are in the {found.part}?", "about": about}
                details = {"changes": dict(found.changes), "context": found.part}
                errand = Errand(person=person, key=key, why=found.why, actor="robbie")
                await propose(work, errand, kind=SETTING, action="manners.set", risk=Risk.OWN, now=now, details=details, **what)
