"""Dates in plain words: what a person wrote becomes a day, a time and a rule, or a question where it may mean several things."""

from __future__ import annotations

import re
from calendar import day_name
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from bot.services.date_reading import CODES, HOURS, Doubt, Reading, bounds, read

LONGEST = 300
"""Characters of a text that are read."""
DAY_BEGINS = time(9)
"""When something without a time is due on its day."""
DAY_ENDS = time(23, 59, 59)
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ’\u00a0\u202f–—\n\t", "abcdefghijklmnopqrstuvwxyz'  --  ")
"""One sign for one, so that places stay where they are."""
_START = re.compile(r"(?<![\w@./:%-])(?=[\w@])")
_PAST = re.compile(r"(?:(?:what|when|who|where|how|why|which)\b.*\b)?(?:did|was|were|had|happened)\b")
"""A question about what was: its Monday is not the coming one."""
_HALVES = {"morning": "a", "first thing": "a", "afternoon": "p", "evening": "p", "noon": "p"}
_PLACES = {"-1": "the last ", "1": "the first ", "2": "the second ", "3": "the third ", "4": "the fourth ", "5": "the fifth "}
_UNITS = {"HOURLY": "hour", "DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}
Clock = time
"""`time` by a name that no field hides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class When:
    """A day where the person is, a time (None: all day), an RRULE or "", the places that said so; `is_clock` where it was a time alone."""

    date: date
    time: time | None = None
    rule: str = ""
    spans: tuple[tuple[int, int], ...]
    is_clock: bool = False

    @property
    def span(self) -> tuple[int, int]:
        """The first of its places."""
        return self.spans[0]

    def moment(self, zone: tzinfo, *, all_day_at: Clock = DAY_BEGINS) -> datetime:
        """When that is, in UTC. A time that the clocks leave out moves forward by the gap; of one that comes twice it is the first."""
        return datetime.combine(self.date, self.time or all_day_at, zone).astimezone(UTC)

    def is_past(self, now: datetime) -> bool:
        """It is over; a day without a time only when the day is."""
        return self.moment(now.tzinfo or UTC) < now if self.time else self.date < now.date()

    def spoken(self, now: datetime) -> str:
        """`today at 18:00`, `Friday 27 November at 15:00`, `every weekday at 09:00, first tomorrow`."""
        near = {0: "today", 1: "tomorrow", -1: "yesterday"}.get((self.date - now.date()).days)
        day = near or f"{self.date:%A} {self.date.day} {self.date:%B}" + f" {self.date.year}" * (self.date.year != now.year)
        clock = f" at {self.time:%H:%M}{self._change(self.time, now.tzinfo)}" if self.time else ""
        if not self.rule:
            return day + clock
        rule, until = _spoken_rule(self.rule)
        first = day if near else f"on {day}"
        return f"{rule}, first {first}{clock}{until}" if "HOURLY" in self.rule else f"{rule}{clock}, first {first}{until}"

    def _change(self, at: Clock, zone: tzinfo | None) -> str:
        """What must be told about a time in a night in which the clocks change."""
        local = datetime.combine(self.date, at, zone)
        real = local.astimezone(UTC).astimezone(zone)
        if real.replace(tzinfo=None) != local.replace(tzinfo=None):
            return f" (the clocks change then: {local:%H:%M} does not exist, so {real:%H:%M})"
        if local.replace(fold=1).utcoffset() != local.utcoffset():
            return f" (the clocks change then: {local:%H:%M} comes twice, the first is meant)"
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """Something that may be a date, with the question to ask about it."""

    question: str
    span: tuple[int, int]


Place = tuple[int, int]


def find_when(text: str, *, now: datetime, day_first: bool | None = None) -> When | Unclear | None:
    """The date that *text* names, if it does. *now* is aware and in the person's zone; *day_first* tells how they mean 03/04, if known.

    Of several the first counts; a time that stands apart from its day is joined to it.
    """
    lowered, at = text[:LONGEST].translate(_LOWER), 0
    found: list[tuple[Reading, Place]] = []
    while start := _START.search(lowered, at):
        reading = Reading(now=now.replace(tzinfo=None), day_first=day_first)
        end, counts = read(lowered, start.start(), reading)
        if counts and end > start.start():
            found.append((reading, (start.start(), end)))
        at = max(end, start.start() + 1)
    when = _settle(found, now) if found else None
    return when if not _PAST.match(lowered) or (isinstance(when, When) and when.is_past(now)) else None


def find_end(text: str, *, now: datetime, day_first: bool | None = None) -> When | Unclear | None:
    """When something ends: `until 6pm`, `for 2 hours`, `today`, `this week`. A day that is named without a time ends with it, at 23:59."""
    lowered = text[:LONGEST].translate(_LOWER)
    whole = r"(?:(?:the )?rest of (?:the|this)|all|this|the whole|the(?= weekend))"
    if period := re.search(rf"(?:\bfor |\bover )?(?<!until )(?<!till )\b{whole} (day|week(?:end)?|month|year)\b", lowered):
        return When(date=bounds(now.date(), period[1].removesuffix("end"))[1], time=DAY_ENDS, spans=(period.span(),))
    lasting = re.sub(r"\bfor(?: the next)?(?= (?:[0-9]|an? |one|two|three|half))", lambda m: "in".rjust(len(m[0])), lowered)
    found = find_when(lasting, now=now, day_first=day_first)
    if not isinstance(found, When) or found.time:
        return found
    begins = re.search(r"\bnext (?:week|month|quarter|year)$", lowered[slice(*found.span)])
    return When(date=found.date - timedelta(days=bool(begins)), time=DAY_ENDS, spans=found.spans)


def without(text: str, when: When) -> str:
    """*text* as it reads without its date."""
    places = [(0, 0), *sorted(when.spans), (len(text), len(text))]
    rest = " ".join(text[before[1] : behind[0]] for before, behind in pairwise(places))
    rest = re.sub(r"[ \t]{2,}", " ", re.sub(r"\(\s*\)", "", rest))
    return re.sub(r"(?<!\s)\s+([,.;:!?)])", r"\1", rest).strip(" ,;:-–")


def _settle(found: list[tuple[Reading, Place]], now: datetime) -> When | Unclear:
    """The first reading, joined with a later one that has what it lacks."""
    (reading, span), spans = found[0], [found[0][1]]
    for other, place in found[1:]:
        if not reading.doubt and not reading.span and reading.is_clock != other.is_clock and (other.is_clock or other.after):
            day, clock = (reading, other) if other.is_clock else (other, reading)
            if not day.has_clock:
                day.hour, day.minute, day.half, day.plain, day.part = clock.hour, clock.minute, clock.half, clock.plain, clock.part
                day.doubt = day.doubt or clock.doubt
                reading, spans = day, [span, place]
                break
    try:
        if reading.doubt:
            raise Doubt(reading.doubt)
        day_found, time_found = _resolve(reading, now)
        if reading.until and reading.until < day_found:
            raise Doubt("That would end before it begins. Until which day?")
    except Doubt as doubt:
        return Unclear(question=str(doubt), span=span)
    rule = reading.rule + (f";UNTIL={reading.until:%Y%m%d}T235959" if reading.until else "")
    return When(date=day_found, time=time_found, rule=rule, spans=tuple(spans), is_clock=reading.is_clock)


def _resolve(r: Reading, now: datetime) -> tuple[date, time | None]:
    if r.span is not None or "HOURLY" in r.rule:
        step = timedelta(hours=int(r.rule.partition("INTERVAL=")[2] or 1)) if r.span is None else r.span
        local = (now.astimezone(UTC) + step).astimezone(now.tzinfo).replace(microsecond=0)
        return local.date(), local.time().replace(fold=local.fold)
    day = r.move(r.day) if r.move and r.day else r.day
    clock = _time_of(r, on_today=day == r.today and not r.rule)
    if r.rule:
        return _first(r, day, clock), clock
    if clock is None or (day and day != r.today and r.part != "midnight"):
        return day or r.today, clock
    if r.part == "midnight" and r.hour is None:
        if day and day != r.today:
            raise Doubt("Midnight at the beginning or at the end of that day? You can write 00:00 or 23:59.")
        return r.today + timedelta(days=1), clock
    if day and r.hour is None and clock < r.now.time():
        raise Doubt(f"It is already {r.now:%H:%M}. At what time do you mean?")
    return day or _next_day(r, clock), clock


def _time_of(r: Reading, *, on_today: bool) -> time | None:
    """1 to 6 without am or pm are after noon and 7 to 12 before, unless of today's two only the other is still to come."""
    if r.hour is None:
        return time(HOURS[r.part] % 24) if r.part else None
    half = r.half or _HALVES.get(r.part, "")
    if r.part in {"night", "nite"} and not half:
        if r.hour < 5 or r.hour == 12:
            raise Doubt("In the night before or after? Please write the day and the time, for example 00:30.")
        half = "p"
    if half and r.hour <= 12:
        return time(r.hour % 12 + 12 * (half == "p"), r.minute)
    hour = r.hour + 12 * (r.hour < 7 and not r.plain)
    if on_today and not r.plain and hour < 12 and time(hour, r.minute) < r.now.time() < time(hour + 12, r.minute):
        hour += 12
    return time(hour, r.minute)


def _next_day(r: Reading, clock: time) -> date:
    """The next day on which that time is still to come. Raises Doubt where the other half of the day is as likely."""
    open_half = r.hour is not None and not (r.half or r.plain or r.part)
    if clock > r.now.time() and not (open_half and r.now.hour < 5):
        return r.today
    later_today = clock.hour < 12 and time(clock.hour + 12, clock.minute) > r.now.time()
    if open_half and (later_today or (clock.hour > 12 and not 5 <= r.now.hour < 20)):
        raise Doubt(f"Do you mean {clock.hour % 12 or 12}am or {clock.hour % 12 or 12}pm, and on which day?")
    return r.today + timedelta(days=1)


def _first(r: Reading, anchor: date | None, clock: time | None) -> date:
    """The first day of a rule, from which it is counted. Raises Doubt for one that never comes."""
    from dateutil.rrule import rrulestr

    if r.rule == "FREQ=YEARLY" and anchor:
        return anchor
    if r.rule == "FREQ=MONTHLY" and anchor:
        r.rule += f";BYMONTHDAY={anchor.day}"
    begin = datetime.combine(anchor or r.today, clock or time(0))
    every_time = rrulestr(re.sub(r";INTERVAL=\d+", "", r.rule), dtstart=begin)
    first = every_time.after(max(begin, r.now) if clock else begin, inc=True)
    if first is None:
        raise Doubt("That never comes. How often do you mean?")
    return first.date()


def _spoken_rule(rule: str) -> tuple[str, str]:
    """`every 2 weeks on Monday and Thursday` for a rule of ours, and until when."""
    parts = dict(part.split("=") for part in rule.split(";"))
    unit, days = _UNITS[parts["FREQ"]], parts.get("BYDAY", "").split(",")
    said = f"every {parts['INTERVAL']} {unit}s" if "INTERVAL" in parts else f"every {unit}"
    if "FR" in days and len(days) == 5:
        said = "every weekday"
    elif days[0]:
        named = " and ".join(f"{_PLACES.get(day[:-2], '')}{day_name[CODES.index(day[-2:])]}" for day in days)
        said = f"every {named}" if said == "every week" else f"{said} on {named}"
    elif "BYMONTHDAY" in parts:
        numbers = parts["BYMONTHDAY"].split(",")[-1 if "BYSETPOS" in parts else 0 :]
        said += " on " + " and ".join("the last day" if day == "-1" else f"day {day}" for day in numbers)
    until = datetime.fromisoformat(parts["UNTIL"]) if "UNTIL" in parts else None
    return said, f", until {until.day} {until:%B %Y}" if until else ""
