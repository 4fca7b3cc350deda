"""How a person sets Robbie: what holds where and how long, each change heard before and after, and taken back by a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.brain.mentors import MENTORS, effectiveness, introduced
from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, NORMAL, PARTS, RIGHT, SLIDERS, VALUES, Personality, in_force
from bot.brain.reactive import IN_PRIVATE
from bot.brain.tone import WORDS, sample
from bot.domain.address import Person, SessionType
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.domain.message import Button
from bot.domain.ports import Card
from bot.services.approvals import errand_of
from bot.services.dates import Unclear, find_end, without
from bot.services.journal import added, record
from bot.services.notices import bare_line
from storage.database import Database, UnitOfWork
from storage.models.decisions import Proposal
from storage.models.manners import PersonalitySetting

PLACES = {EVERYWHERE: "everywhere", "private": "in private", "channel": "where others read along", "email": "in mail", "brief": "in briefs"}
PLACES |= {part: f"in the {part}" for part in PARTS}
"""The contexts that may be set, as they are said."""
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

    async def helped(self, person: Person) -> Mapping[str, tuple[float, int]]:
        """The mean score of the answers that each mentor spoke in, and their number."""
        async with self._database.reading() as work:
            return effectiveness(await work.feedback.by_mentor(person.id))

    async def history(self, person: Person, *, limit: int = 20) -> Sequence[PersonalitySetting]:
        """The last changes, newest first; those that were taken back have a `void_at`."""
        async with self._database.reading() as work:
            return await work.settings.latest(person.id, limit=limit)


async def keep(
    work: UnitOfWork, errand: Errand, changes: Changes, *, context: str, expires_at: datetime | None, source: str, now: datetime
) -> Card:
    """Make the changes in the act of *work*; an errand that is run again tells what it told before."""
    person = errand.person
    is_past = expires_at is not None and expires_at <= now
    if mistake := find_mistake(person, changes, context, session_type=errand.session_type, is_past=is_past):
        return Card(text=mistake)
    holding = await work.settings.holding(person.id, now)
    rows = [row for row in holding if row.source_id is None or row.source_id != errand.source_id]
    made = _made(person, rows, changes, context)
    ids = [new_id() for _ in made]
    values = {change.name: change.value for change in made}
    what = ", ".join(f"{'–'.join(SLIDERS.get(name, (name.capitalize(),)))} {value}" for name, value in values.items())
    told = f"{what}, {PLACES[context]}" + (f" until {spoken_end(expires_at, person)}" if expires_at else "")
    if await record(work, errand, "manners.set", told, now=now, undo=added("settings", *ids)):
        about = {"user_id": person.id, "source": source, "at": now, "source_id": errand.source_id, "expires_at": expires_at}
        for which, change in zip(ids, made, strict=True):
            await work.settings.add(id=which, **change._asdict(), **about)
    if errand.session_type is SessionType.SHARED:  # what was set before is private, and so is what else could be taken back
        return Card(text=f"**{told}.**\n\nIn a private chat, `/undo` takes it back.")
    heard = preview_of(person, rows, changes, context)
    return Card(
        text=f"**{told}.**\n\n{heard}\n\n`/undo` takes it back.",
        buttons=(Button(label="Undo", command=f"/undo {errand.source_id or ''}".strip()),),
    )


async def run_setting(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
    """Make the changes that a proposal of kind `SETTING` waited to make, once; what there is to say about it. Raises NotAllowed.

    That, as the question was, may be said by mail, so that nothing personal is heard in it.
    """
    errand, about = await errand_of(work, proposal), proposal.details
    errand = replace(errand, person=replace(errand.person, role="member"))
    return (await keep(work, errand, about["changes"], context=about["context"], expires_at=None, source="suggestion", now=now)).text


def find_mistake(
    person: Person, changes: Changes, context: str, *, session_type: SessionType = SessionType.PRIVATE, is_past: bool = False
) -> str:
    """Why these changes cannot be made, with the nearest form that could; empty where they can."""
    if context not in PLACES:
        return f"I know no place called “{bare_line(context, 40)}”. Did you mean `in {_nearest(context, tuple(PLACES)[1:])}`?"
    if session_type is SessionType.SHARED and context != "channel":
        return IN_PRIVATE
    if context == "channel" and not person.is_owner:
        return "How I am where others read along is the owner's to set. In a private chat, you set how I am with you."
    if is_past:
        return "That moment has passed. Until when, then? For example `until tomorrow`."
    return next((mistake for name, value in changes.items() if (mistake := _mistake_in(person, name, value, context))), "")


def _mistake_in(person: Person, name: str, value: str, context: str) -> str:
    if name not in VALUES:
        return f"There is no slider called “{bare_line(name, 40)}”. Did you mean `{_nearest(name, tuple(VALUES))}`?"
    if value == NORMAL or (name not in SLIDERS and value in VALUES[name] and (name, context) != ("mentor", "brief")):
        return ""
    if name == "mentor":
        nearest = _nearest(value, (*MENTORS, "auto", "off"))
        if value in VALUES[name]:
            return "In briefs nobody speaks but me."
        return f"I know no mentor called “{bare_line(value, 40)}”. Did you mean `/mentor {nearest}`? `/mentor` shows all of them."
    if name == "mood":
        nearest = _nearest(value, (*MOODS, *WORDS["near"]))
        meant = f"Did you mean `/mood {WORDS['near'].get(nearest, nearest)}`? I can be {', '.join(MOODS)}."
        return f"I know no mood called “{bare_line(value, 40)}”. {meant}"
    left, right = SLIDERS[name]
    number = int(value) if _NUMBER.fullmatch(value) else None
    if number is None or not (value[0] in "+-" or LEFT <= number <= RIGHT):
        form = 3 if number is None else LEFT if number < LEFT else RIGHT
        return f"`/{name}` goes from {LEFT} ({left}) to {RIGHT} ({right}): `/{name} {form}`, for example."
    if name != "flirty" or value == str(LEFT) or (person.is_owner and context not in ("channel", "email")):
        return ""
    return "Only in the owner's private chat can I be anything but professional; everywhere else I always am, so there is nothing to set."


def _nearest(word: str, words: Sequence[str]) -> str:
    return difflib.get_close_matches(word[:40], words, n=1, cutoff=0.0)[0]


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
    if list(changes) == ["mentor"]:
        return introduced(after.mentor)
    moved = [
        f"{label} {getattr(before, figure)} → {getattr(after, figure)}"
        for figures in FIGURES.values()
        for figure, label in figures.items()
        if getattr(before, figure) != getattr(after, figure)
    ]
    heard, is_same = sample(after), sample(before) == sample(after)
    told = f"I sound as before: “{heard}”" if is_same else f"Before: “{sample(before)}”\n\nAfter: “{heard}”"
    return told + (f"\n\nWhat it changes: {'; '.join(moved)}." if moved else "")


def spoken_end(moment: datetime, person: Person) -> str:
    """When something ends, as its person says it; midnight is the end of the day before."""
    local = moment.astimezone(ZoneInfo(person.timezone))
    is_midnight = (local.hour, local.minute) in ((0, 0), (23, 59))
    return f"the end of {spoken_date(local - timedelta(minutes=1))}" if is_midnight else f"{local:%H:%M} on {spoken_date(local)}"


def read_end(words: str, *, timezone: str, now: datetime) -> datetime | str:
    """The moment at which something ends by *words* that say just that, such as "until 6pm" or "today"; or what there is to ask."""
    zone = ZoneInfo(timezone)
    said = "" if words.isdecimal() else words.replace("tonight", "today")  # `/gandhi 3 4` names no hour
    found = find_end(said, now=now.astimezone(zone))
    if isinstance(found, Unclear):
        return found.question
    if found is None or found.rule or re.search(r"\w\w|\d", without(words, found)):
        return (
            f"I understood all but “{bare_line(words, 60)}”. Say it as `today`, `until 6pm` or `until Friday`, and where as `in private`."
        )
    return found.moment(zone)


def bar(step: int) -> str:
    """A slider's step as ten signs."""
    return "■" * step + "□" * (RIGHT - step)
