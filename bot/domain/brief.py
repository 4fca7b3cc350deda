"""The words of a brief: its sections, what stands in them, and whoever has something to tell in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from bot.domain.address import Person
from bot.domain.message import Button


class Slot(StrEnum):
    """The times of day at which a brief comes."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """What a brief is about: its slot and local day; `now` is aware, in the person's zone; `since` is when the last brief came;
    `room` is how many tasks the day may hold.
    """

    slot: Slot
    date: date
    now: datetime
    since: datetime
    room: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One line of a section, with what can be done about it at a press."""

    text: str
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a brief. `weight` orders the parts, the most pressing first: 100 is overdue, 50 today, 10 nice to know.

    `more` counts what was left out of `items`.
    """

    key: str
    title: str
    items: Sequence[Item]
    weight: float
    more: int = 0


class BriefSource(Protocol):
    """A room with news for a brief."""

    async def sections(self, person: Person, day: Day, *, longest: int) -> Sequence[Section]:
        """What it has to tell this person, at most *longest* items a section; nothing where there is nothing. Raises StorageUnavailable."""
