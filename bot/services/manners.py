"""How a person sets Robbie: what holds where and how long, each change heard before and after, and taken back by a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, NORMAL, PARTS, RIGHT, SLIDERS, Personality, in_force
from bot.brain.reactive import IN_PRIVATE
from bot.brain.tone import sample
from bot.domain.address import Person, SessionType
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.domain.message import Button
from bot.domain.ports import Card
from bot.services.approvals import errand_of
from bot.services.journal import added, record
from storage.database import Database, UnitOfWork
from storage.models.decisions import Proposal
from storage.models.manners import PersonalitySetting

PLACES = {
    EVERYWHERE: "everywhere",
    "private": "in private",
    "channel": "where others read along",
    "email": "in mail",
    "brief": "in briefs",
} | {part: f"in the {part}" for part in PARTS}
"""The contexts that may be set, as they are said."""
MOODS_NEAR = {"angry": "serious", "happy": "playful", "funny": "playful", "relaxed": "calm", "chill": "calm", "kind": "warm"} | {
    "excited": "celebratory",
    "proud": "celebratory",
    "strict": "serious",
    "driven": "determined",
    "neutral": NORMAL,
    "default": NORMAL,
}
"""Other words for a mood, which it is suggested for."""
SETTING = "setting"
"""The kind of proposal that would change how Robbie is set; its details are `changes` and `context`."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}")

Changes = Mapping[str, str]
"""What a slider or the mood is to be: "3", "+1", "-2", a mood, or `NORMAL`."""


class Change(NamedTuple):
    """One setting that would hold."""

    name: str
    context: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What holds for a person in a context of `PLACES`; `until` tells when what was set for a while ends, by its name.

    `is_own`: something is set for just this context.
    """

    context: str
    personality: Personality
    until: Mapping[str, datetime]
    is_own: bool = False


class Manners:
    """Sliders and moods of every person."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self, person: Person) -> Sequence[Standing]:
        """What holds: the contexts in their order, and after them the parts of the day for which something is set."""
        async with self._database.reading() as work:
            rows = await work.settings.holding(person.id, self._clock.now())
        contexts = [*CONTEXTS, *(part for part in PARTS if any(row.context == part for row in rows))]
        return [_standing(person, rows, context) for context in contexts]

    async def preview(self, person: Person, changes: Changes, *, context: str = EVERYWHERE) -> str:
        """The same sentence before and after the changes, and the figures that they move; or what is wrong with them."""
        async with self._database.reading() as work:
            rows = await work.settings.holding(person.id, self._clock.now())
        return find_mistake(person, changes, context) or preview_of(person, rows, changes, context)

    async def set(
        self, errand: Errand, changes: Changes, *, context: str = EVERYWHERE, expires_at: datetime | None = None, source: str = "command"
    ) -> Card:
        """Make the changes, once for the errand's key, and tell what they mean; or what is wrong with them. Raises StorageUnavailable."""
        async with self._database.unit_of_work() as work:
            return await keep(work, errand, changes, context=context, expires_at=expires_at, source=source, now=self._clock.now())

    async def history(self, person: Person, *, limit: int = 20) -> Sequence[PersonalitySetting]:
        """The last changes, newest first; those that were taken back have a `void_at`."""
        async with self._database.reading() as work:
            return await work.settings.history(person.id, limit=limit)


async def keep(
    work: UnitOfWork, errand: Errand, changes: Changes, *, context: str, expires_at: datetime | None, source: str, now: datetime
) -> Card:
    """Make the changes in the act of *work*; an errand that is run again tells what it told before."""
    person = errand.person
    if mistake := find_mistake(person, changes, context, session_type=errand.session_type, expires_at=expires_at, now=now):
        return Card(text=mistake)
    holding = await work.settings.holding(person.id, now)
    rows = [row for row in holding if row.source_id is None or row.source_id != errand.source_id]
    made = _made(person, rows, changes, context)
    ids = [new_id() for _ in made]
    what = ", ".join(_said(name, made) for name in changes)
    told = f"{what}, {PLACES[context]}{_until(expires_at, person)}"
    if await record(work, errand, "manners.set", told, now=now, undo=added("settings", *ids)):
        about = {"user_id": person.id, "source": source, "at": now, "source_id": errand.source_id, "expires_at": expires_at}
        for which, change in zip(ids, made, strict=True):
            await work.settings.add(id=which, **change._asdict(), **about)
    heard = "" if errand.session_type is SessionType.SHARED else f"\n\n{preview_of(person, rows, changes, context)}"
    return Card(text=f"**{told}.**{heard}\n\n`/undo` takes it back.", buttons=(Button(label="Undo", command="/undo"),))


async def run_setting(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
    """Make the changes that a proposal of kind `SETTING` waited to make, once; what there is to say about it. Raises NotAllowed."""
    errand, about = await errand_of(work, proposal), proposal.details
    return (await keep(work, errand, about["changes"], context=about["context"], expires_at=None, source="suggestion", now=now)).text


def find_mistake(
    person: Person,
    changes: Changes,
    context: str,
    *,
    session_type: SessionType = SessionType.PRIVATE,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> str:
    """Why these changes cannot be made, with the nearest form that could; empty where they can."""
    if context not in PLACES:
        return f"I know no place called “{context}”. Did you mean `in {_nearest(context, tuple(PLACES)[1:])}`?"
    if session_type is SessionType.SHARED and context != "channel":
        return IN_PRIVATE
    if context == "channel" and not person.is_owner:
        return "How I am where others read along is the owner's to set. In a private chat, you set how I am with you."
    if expires_at is not None and now is not None and expires_at <= now:
        return "That moment has passed. Until when, then? For example `until tomorrow`."
    return next((mistake for name, value in changes.items() if (mistake := _mistake_in(person, name, value, context))), "")


def _mistake_in(person: Person, name: str, value: str, context: str) -> str:
    if name != "mood" and name not in SLIDERS:
        return f"There is no slider called “{name}”. Did you mean `{_nearest(name, (*SLIDERS, 'mood'))}`?"
    if value == NORMAL or (name == "mood" and value in MOODS):
        return ""
    if name == "mood":
        nearest = _nearest(value, (*MOODS, *MOODS_NEAR))
        return f"I know no mood called “{value}”. Did you mean `/mood {MOODS_NEAR.get(nearest, nearest)}`? I can be {', '.join(MOODS)}."
    left, right = SLIDERS[name]
    number = int(value) if _NUMBER.fullmatch(value) else None
    if number is None or not (value[0] in "+-" or LEFT <= number <= RIGHT):
        form = 3 if number is None else LEFT if number < LEFT else RIGHT
        return f"`/{name}` goes from {LEFT} ({left}) to {RIGHT} ({right}): `/{name} {form}`, for example."
    if name != "flirty" or value == str(LEFT) or (person.is_owner and context not in ("channel", "email")):
        return ""
    return "Only in the owner's private chat can I be anything but professional; everywhere else I always am, so there is nothing to set."


def _nearest(word: str, words: Sequence[str]) -> str:
    return difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]


def seen(person: Person, rows: Sequence[Any], context: str) -> Personality:
    """What settings come to in a context of `PLACES`; everywhere and parts of the day are looked at in a private chat."""
    place, part = context if context in CONTEXTS else "private", context if context in PARTS else ""
    return in_force(rows, context=place, is_intimate=person.is_owner and place in ("private", "brief"), part=part)


def _made(person: Person, rows: Sequence[Any], changes: Changes, context: str) -> list[Change]:
    """The settings that changes make; what is to be normal everywhere is so in every place."""
    made, before = [], seen(person, rows, context)
    for name, asked in changes.items():
        value = str(min(max(getattr(before, name) + int(asked), LEFT), RIGHT)) if asked[0] in "+-" else asked
        elsewhere = {row.context for row in rows if row.name == name} if value == NORMAL and context == EVERYWHERE else set()
        made += [Change(name, place, value) for place in sorted({context} | elsewhere)]
    return made


def _standing(person: Person, rows: Sequence[PersonalitySetting], context: str) -> Standing:
    last = {(row.name, row.context): row for row in rows}
    until: dict[str, datetime] = {}
    for place in (EVERYWHERE, context):
        ends = {name: row.expires_at for (name, where), row in last.items() if where == place}
        until = {name: end for name, end in {**until, **ends}.items() if end is not None}
    is_own = any(row.context == context and row.value != NORMAL for row in last.values())
    return Standing(context=context, personality=seen(person, rows, context), until=until, is_own=is_own)


def preview_of(person: Person, rows: Sequence[Any], changes: Changes, context: str) -> str:
    """The same news, told before and after changes of what holds by *rows*, and what becomes of the figures."""
    before, after = (seen(person, some, context) for some in (rows, [*rows, *_made(person, rows, changes, context)]))
    moved = [
        f"{label} {getattr(before, figure)} → {getattr(after, figure)}"
        for figures in FIGURES.values()
        for figure, label in figures.items()
        if getattr(before, figure) != getattr(after, figure)
    ]
    if sample(before) == sample(after):
        told = f"I sound as before: “{sample(after)}”"
    else:
        told = f"Before: “{sample(before)}”\n\nAfter: “{sample(after)}”"
    return told + (f"\n\nWhat it changes: {'; '.join(moved)}." if moved else "")


def _said(name: str, made: Iterable[Change]) -> str:
    value = next(change.value for change in made if change.name == name)
    return f"{'Mood' if name == 'mood' else '–'.join(SLIDERS[name])} {value}"


def _until(moment: datetime | None, person: Person) -> str:
    return f" until {spoken_end(moment, person)}" if moment is not None else ""


def spoken_end(moment: datetime, person: Person) -> str:
    """When something ends, as its person says it; midnight is the end of the day before."""
    local = moment.astimezone(ZoneInfo(person.timezone))
    is_midnight = (local.hour, local.minute) in ((0, 0), (23, 59))
    return f"the end of {spoken_date(local - timedelta(minutes=1))}" if is_midnight else f"{local:%H:%M} on {spoken_date(local)}"


def bar(step: int) -> str:
    """A slider's step as ten signs."""
    return "■" * step + "□" * (RIGHT - step)
