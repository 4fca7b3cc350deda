"""How Robbie is set: three sliders and a mood, and what they change in what he does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.brain.mentors import SETTINGS
from bot.domain.address import Person
from storage.database import UnitOfWork

LEFT, RIGHT = 1, 10
"""The ends of a slider: 1 is the left name, 10 the right one."""
SLIDERS = {"gandhi": ("Gandhi", "Genghis"), "cocktail": ("Cocktail", "Lightning"), "flirty": ("Professional", "Flirty")}
MOODS = ("focused", "determined", "playful", "calm", "warm", "curious", "serious", "celebratory")
EVERYWHERE = "*"
CONTEXTS = ("private", "channel", "email", "brief")
"""Where a setting may hold by itself: a private chat, one where others read along, mail, and briefs."""
PARTS = ("mornings", "afternoons", "evenings")
"""When a setting may hold by itself, wherever that is: before what is set for a place."""
NORMAL = "normal"
"""The value that takes a setting away: what is set for everywhere holds, or else what Robbie is by himself."""
VALUES = {name: (*map(str, range(LEFT, RIGHT + 1)), NORMAL) for name in SLIDERS} | {"mood": (*MOODS, NORMAL), "mentor": (*SETTINGS, NORMAL)}
"""What a setting may be; a row that says anything else says nothing."""
FIGURES = {
    "gandhi": {"emails_per_day": "outreach mails a day", "follow_up_days": "days until a follow-up"},
    "cocktail": {
        "answer_words": "words in an answer",
        "brief_items": "lines in a section of a brief",
        "tasks_per_day": "tasks put in a day",
        "snooze_minutes": "minutes between reminders",
    },
    "flirty": {},
}
"""The properties of a `Personality` that a slider moves, and what they count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Personality:
    """The sliders, the mood and the `mentor` that hold for one person in one context; its properties are what they mean in figures."""

    gandhi: int = 4
    cocktail: int = 5
    flirty: int = LEFT
    mood: str = "focused"
    mentor: str = ""

    @property
    def emails_per_day(self) -> int:
        """Outreach mails a day: 1 (Gandhi) to 20 (Genghis), geometric over the ten steps."""
        return round(_between(1, 20, self.gandhi))

    @property
    def follow_up_days(self) -> int:
        """Days of silence before somebody is written to again: 14 to 2."""
        return round(_between(14, 2, self.gandhi))

    @property
    def answer_words(self) -> int:
        """About how long an answer may be: 250 words to 40."""
        return round(_between(250, 40, self.cocktail))

    @property
    def brief_items(self) -> int:
        """How many lines a section of a brief has at most: 8 to 3."""
        return round(_between(8, 3, self.cocktail))

    @property
    def tasks_per_day(self) -> int:
        """How many tasks are put in a day: 3 to 12."""
        return round(_between(3, 12, self.cocktail))

    @property
    def snooze_minutes(self) -> int:
        """How far reminders are spaced: a snoozed one comes again after 240 minutes to 15."""
        return round(_between(240, 15, self.cocktail))

    def __str__(self) -> str:
        return f"{self.gandhi}/{self.cocktail}/{self.flirty} {self.mood}"


def in_force(settings: Sequence[Any], *, context: str, is_intimate: bool, part: str = "") -> Personality:
    """What *settings* (rows that hold, oldest first) come to: those of a part of the day before a context's before those for everywhere.

    Unless it `is_intimate` (a private chat with the owner), the tone is professional, whatever is set. Where others may read along, a
    mentor must be set for just there.
    """
    values: dict[str, str] = {}
    for place in (EVERYWHERE, context, part):
        last = {row.name: row.value for row in settings if row.context == place and row.value in VALUES.get(row.name, ())}
        if place != context and context in ("channel", "email"):
            last.pop("mentor", None)
        values |= {name: value for name, value in last.items() if value != NORMAL}
    numbers = {name: int(values[name]) for name in SLIDERS if name in values}
    made = replace(Personality(), **numbers, mood=values.get("mood", Personality().mood), mentor=values.get("mentor", ""))
    return made if is_intimate else replace(made, flirty=LEFT)


async def personality_of(work: UnitOfWork, person: Person, *, context: str, now: datetime, is_private_chat: bool = False) -> Personality:
    """How Robbie is set for this person in a context of `CONTEXTS`. A brief may be said in a private chat, or anywhere else."""
    settings = await work.settings.holding(person.id, now)
    is_intimate = person.is_owner and is_private_chat and context in ("private", "brief")
    return in_force(settings, context=context, is_intimate=is_intimate, part=part_of(now.astimezone(ZoneInfo(person.timezone))))


def is_intimate_tone(told: str | None) -> bool:
    """Whether the personality that was *told* (as `str` tells it) was anything but professional."""
    return told is not None and told.split()[0].rpartition("/")[2] != str(LEFT)


def part_of(local: datetime) -> str:
    """The part of the day that a local time is in, of `PARTS`; nights belong to evenings."""
    return PARTS[0] if 5 <= local.hour < 12 else PARTS[1] if 12 <= local.hour < 18 else PARTS[2]


def _between(left: float, right: float, step: int) -> float:
    """The value at a step of a slider, in equal ratios from *left* to *right*."""
    return float(left * (right / left) ** ((step - LEFT) / (RIGHT - LEFT)))
