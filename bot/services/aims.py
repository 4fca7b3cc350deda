"""What somebody wants forgotten, read from their words: a topic, a person, a time, the last exchange, or all of it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from uuid import UUID

from pydantic import TypeAdapter

from bot.brain.recall import terms
from bot.domain.errors import ToolFailed
from bot.services.date_reading import bounds, shift
from bot.services.dates import Unclear, When, find_when

HOW = (
    "What shall I forget? `/forget Dana`, `/forget yesterday`, `/forget since 3 May`, `/forget last` (what we said last), "
    "`/forget everything`, or the id of a memory. I show what goes before anything does."
)
TOO_COMMON = "Those words stand nearly everywhere. Which name or thing shall I forget?"
_ALL = re.compile(r"(?:everything|all)(?: of it)?(?: about me)?", re.I)
_LAST = re.compile(r"last|that|this|(?:the )?last (?:exchange|message|thing)|what (?:i|we|you) (?:just )?said(?: last)?", re.I)
_ID = re.compile(r"(?=[a-f-]*\d)[\da-f]{8}[\da-f-]*", re.I)
_ABOUT = re.compile(
    r"(?:(?:everything|all|anything|whatever|what)\s+)?(?:(?:that\s+)?(?:you\s+(?:know|have|remember)|(?:i|we)\s+(?:have\s+)?"
    r"(?:said|told\s+you|wrote|talked))\b\s*)?(?:(?:about|of)\s+)?",
    re.I,
)
_RANGE = re.compile(r"between\s+(.+?)\s+and\s+(.+)|(?:since|after|from)\s+(.+?)(?:\s+(?:until|till|to)\s+(.+))?", re.I)
_UNIT = re.compile(r"(this|last)\s+(week|month|quarter|year)", re.I)
_LATELY = re.compile(r"(?:the\s+)?last\s+(\d{1,3})\s+(day|week)s?", re.I)
_TAIL = re.compile(r"\s(?=(?:since|between|after|from|yesterday|today|this|last|on|in)\b)", re.I)
_DAY = re.compile(r"today|yesterday|(?:last\s+)?(?:mon|tues|wednes|thurs|fri|satur|sun)day", re.I)
_ENDINGS = (("sses", "ss"), ("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ing", ""), ("ed", ""), ("s", ""))

Span = tuple[datetime, datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """What is to go: rows of these `ids`, or those that hold all of `words` and were said from `since` until before `until`, or all.

    `begins` is how an id begins that is to be found first. What is newer than `order`, the message that wished it, stays.
    """

    words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ids: frozenset[UUID] = frozenset()
    begins: str = ""
    is_all: bool = False
    is_last: bool = False
    order: UUID

    def spoken(self) -> str:
        """In words: `what holds “Dana”`."""
        holding = "what holds " + " and ".join(f"“{word}”" for word in self.words) if self.words else "what was said"
        if self.is_all:
            return "everything"
        if self.since is None or self.until is None:
            return holding if self.words else "this"
        told = f"{holding}, said" if self.words else holding
        first, last = self.since, self.until - timedelta(seconds=1)
        day, other = f"{first:%A} {first.day} {first:%B %Y}", f"{last:%A} {last.day} {last:%B %Y}"
        return f"{told} on {day}" if day == other else f"{told} from {day} until {other}"


KEPT = TypeAdapter(Aim)
"""An aim as a database keeps it."""


def read_aim(text: str, *, now: datetime, order: UUID) -> Aim:
    """The aim in *text*; *now* is where its person is. Raises ToolFailed where it is none, or could mean several things."""
    said = " ".join(text.split()).strip(" .!“”\"'")
    if not said:
        raise ToolFailed(HOW)
    if _ALL.fullmatch(said):
        return Aim(is_all=True, order=order)
    if _LAST.fullmatch(said):
        return Aim(is_last=True, order=order)
    if _ID.fullmatch(said):
        return Aim(begins=said.replace("-", "").lower(), order=order)
    rest = said[_ABOUT.match(said).end() :].lstrip("@") or said  # type: ignore[union-attr]
    splits = [(0, 0), *((found.start(), found.end()) for found in _TAIL.finditer(rest))]
    for end, start in splits:  # the whole of it is a time, or what is at its end
        if (span := span_of(rest[start:], now)) is not None:
            return _with_words(Aim(since=span[0], until=span[1], order=order), rest[:end])
    return _with_words(Aim(order=order), rest)


def _with_words(aim: Aim, text: str) -> Aim:
    words = tuple(dict.fromkeys(terms(text)))
    if not words and (text.strip() or aim.since is None):
        raise ToolFailed(TOO_COMMON)
    return replace(aim, words=words)


def span_of(text: str, now: datetime) -> Span | None:
    """The time that all of *text* names, which has begun already. Raises ToolFailed where it is not clear."""
    if found := _RANGE.fullmatch(text):
        first, last = found[1] or found[3], found[2] or found[4]
        begins, ends = _day(first, now), _day(last, now) if last else (now, now)
        return (begins[0], max(ends[1], begins[1])) if begins and ends else None
    text = re.sub(r"^(?:on|in)\s+", "", text, flags=re.I)
    if found := _UNIT.fullmatch(text):
        unit = found[2].lower()
        first = bounds(now.date(), unit)[0]
        return _days(*bounds(first - timedelta(days=1) if found[1].lower() == "last" else first, unit), now)
    if found := _LATELY.fullmatch(text):
        return _days(now.date() - timedelta(days=int(found[1]) * (7 if found[2].lower() == "week" else 1)), now.date(), now)
    return _day(text, now)


def _day(text: str, now: datetime) -> Span | None:
    """A day that is named, the last one of that name; of a moment, from then on until the end of its day."""
    when = find_when(text, now=now)
    if isinstance(when, Unclear):
        raise ToolFailed(when.question)
    if when is None or when.rule or when.span != (0, len(text)) or not (re.search(r"\d", text) or _DAY.fullmatch(text)):
        return None
    day = _past(when, text, now.date())
    begins = datetime.combine(day, when.time or time(), now.tzinfo)
    return begins, _days(day, day, now)[1]


def _past(when: When, text: str, today: date) -> date:
    if when.date <= today:
        return when.date
    if _DAY.fullmatch(text):
        return when.date - timedelta(days=7)
    return when.date if re.search(r"\d{4}", text) else shift(when.date, -1, "year")


def _days(first: date, last: date, now: datetime) -> Span:
    return datetime.combine(first, time(), now.tzinfo), datetime.combine(last + timedelta(days=1), time(), now.tzinfo)


def patterns(words: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """What finds each word in a text, also in its plural and the like: `tulips` where it says “tulip”, and never inside another word."""
    return tuple(re.compile(rf"(?<!\w){_stem(word)}(?:s|es|ed|ing)?(?!\w)", re.I) for word in words)


def _stem(word: str) -> str:
    ending, instead = next(((end, new) for end, new in _ENDINGS if word.endswith(end)), ("", ""))
    base = word[: len(word) - len(ending)] + instead
    if ending == "s" and (base.endswith(("s", "u", "i")) or len(base) < 3):
        return re.escape(word)
    if len(base) < 4 and ending != "s":
        return re.escape(word)
    return f"(?:{re.escape(base)}|{re.escape(word)})"
