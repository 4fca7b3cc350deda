"""What the patterns of dates mean: each takes its words into a reading. What is doubtful is raised as Doubt, never guessed."""

from __future__ import annotations

import re
import tomllib
from calendar import day_name, month_name, monthrange
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

Words = Mapping[str, str]
"""What a pattern's groups took, "" where one took nothing; `all` is the whole."""

CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DATA: Mapping[str, Any] = tomllib.loads(files("bot.services").joinpath("date_patterns.toml").read_text(encoding="utf-8"))
HOURS: Mapping[str, int] = _DATA["hours"]
_COUNTS = {
    "": 1, "a": 1, "an": 1, "other": 2, "couple": 2, "quarter": 15, "fifteen": 15, "twenty": 20, "half": 30, "thirty": 30, "forty": 40,
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1,
} | {word: number for number, word in enumerate(_DATA["names"]["NUMBER"].split("|"), 1)}  # fmt: skip
_STEPS = {"d": ("days", 1), "w": ("weeks", 1), "f": ("weeks", 2), "m": ("months", 1), "q": ("months", 3), "y": ("years", 1)}
_RULES = {"h": "HOURLY", "d": "DAILY", "w": "WEEKLY", "f": "WEEKLY", "m": "MONTHLY", "q": "MONTHLY", "y": "YEARLY"}
_NAMES_A_DAY = {"weekday", "written", "numeric", "slashed", "near", "monthday"}
_LEAD, _GOES_ON, _ELSEWHERE = (re.compile(_DATA["around"][name]) for name in ("lead", "goes_on", "elsewhere"))


class Doubt(Exception):  # it asks, it is no mistake
    """What was written may mean several things, or none: the question to ask about it."""


@dataclass(kw_only=True, slots=True)
class Reading:
    """What was understood so far at one place of a text. `now` is the person's wall clock, `doubt` the first question there is."""

    now: datetime
    day_first: bool | None = None
    day: date | None = None
    hour: int | None = None
    minute: int = 0
    half: str = ""
    plain: bool = False
    part: str = ""
    rule: str = ""
    until: date | None = None
    span: timedelta | None = None
    move: Callable[[date], date] | None = None
    doubt: str = ""
    after: str = ""

    @property
    def today(self) -> date:
        """The person's date."""
        return self.now.date()

    @property
    def has_clock(self) -> bool:
        """A time was named."""
        return self.hour is not None or bool(self.part)

    @property
    def is_clock(self) -> bool:
        """Nothing but a time was named."""
        return self.has_clock and not self.day and not self.rule and self.span is None

    # -- days
    def near(self, m: Words) -> None:
        """Today and its neighbours."""
        days = 2 if m["n"] else -2 if m["how"] else 1 if m["one"] else -1 if m["back"] else 0
        self.day = self.today + timedelta(days=days + 7 * bool(m["week"]))

    def away(self, m: Words) -> None:
        """In two weeks, two days ago, two weeks before the date that follows."""
        amount, unit = count(m["n"]) * (-1 if m["how"] in {" ago", " before"} else 1), m["u"]
        if m["how"] not in {"", " ago"}:
            self.move = lambda day: shift(day, amount, unit)
        else:
            self.day = shift(self.today, amount, unit)

    def beside(self, m: Words) -> None:
        """The Friday before the date that follows."""
        wanted, step = _weekday(m["wd"]), -1 if m["how"] == "before" else 1
        self.move = lambda day: day + timedelta(days=step * (step * (wanted - day.weekday()) % 7 or 7))

    def written(self, m: Words) -> None:
        """A day with its month by name, the first where it has none; a weekday beside it must agree."""
        today = self.today if m["d"] else self.today.replace(day=1)
        self._agree(coming(today, _month(m["mo"]), count(m["d"]), m["y"]), m["wd"])

    def numeric(self, m: Words) -> None:
        """A date whose order is known."""
        self.day = coming(self.today, int(m["mm"] or 1), int(m["d"] or 1), m["y"])

    def slashed(self, m: Words) -> None:
        """Day and month in an order that only the numbers or the person's habit can tell."""
        a, b = int(m["a"]), int(m["b"])
        if max(a, b) <= 12 and a != b and self.day_first is None:
            raise Doubt(f"Is {a}/{b} the {a} {month_name[b]} or the {b} {month_name[a]}?")
        day, month = (b, a) if b > 12 or (self.day_first is False and a <= 12) else (a, b)
        self.day = coming(self.today, month, day, m["y"])

    def monthday(self, m: Words) -> None:
        """The 15th: of the coming month that has it, or of every month where that was said."""
        day, which, today = count(m["o"]), m["which"].strip(), self.today
        if self.rule == "FREQ=MONTHLY":
            self.rule += _on_days(m)
            return
        if m["also"] or day < 0:
            raise Doubt("Which day do you mean, of which month?")
        first = shift(today.replace(day=1), int(which == "next" or (not which and day < today.day)), "month")
        self._agree(exact(today, first.year, first.month, day), m["wd"])

    def nth_weekday(self, m: Words) -> None:
        """The first Monday of a month."""
        number, weekday, first = count(m["o"]), _weekday(m["wd"]), self.today.replace(day=1)
        if self.rule == "FREQ=MONTHLY":
            self.rule += _on_days(m)
            return
        first = coming(first, _month(m["mo"]), 1, m["y"]) if m["mo"] else shift(first, int(m["which"] == "next"), "month")
        self.day = _nth(first, number, weekday)

    def weekday(self, m: Words) -> None:
        """A weekday is the coming one; `next` is asked wherever one of this week is still to come."""
        wanted, which, then, today = _weekday(m["wd"]), m["which"], m["then"], self.today.weekday()
        if self.rule.startswith("FREQ=WEEKLY") and "BYDAY" not in self.rule:
            self.rule += f";BYDAY={CODES[wanted]}"
            return
        ahead, this = (wanted - today) % 7, "this" in which + then
        near = self.today + timedelta(days=ahead or 7)
        far, past = near + timedelta(days=7), which in {"last", "this past"}
        if "next week" in which + then:
            self.day = self.today + timedelta(days=7 - today + wanted)
        elif past:
            self.day = near - timedelta(days=7 if ahead else 14)
        elif then == " week" and which != "next":
            self.day = far
        elif (then and not this) or (which == "next" and (wanted > today or today == 6 != wanted)):
            one, other = (far, far + timedelta(days=7)) if then else (near, far)
            raise Doubt(f"Do you mean {_say(one)} or {_say(other)}?")
        elif (this and wanted < today) or (not ahead and not which):
            raise Doubt(f"Today is {day_name[today]}. Do you mean {'' if this else 'today or '}{_say(near)}?")
        else:
            self.day = self.today if this and not ahead else near

    def period(self, m: Words) -> None:
        """The first day of the coming week, month, quarter or year; a weekend is its Saturday."""
        unit, saturday = m["u"], self.today + timedelta(days=5 - self.today.weekday())
        if unit != "weekend":
            self.day = shift(bounds(self.today, unit)[0], -1 if m["which"] == "last" else 2 if m["then"] else 1, unit)
        elif m["which"] == "next" and self.today.weekday() < 5:
            raise Doubt(f"Do you mean {_say(saturday)} or {_say(saturday + timedelta(days=7))}?")
        else:
            weeks = -1 if m["which"] == "last" else int(m["which"] == "next" or self.today > saturday)
            self.day = saturday + timedelta(days=7 * weeks)

    def edge(self, m: Words) -> None:
        """The beginning, middle or end of a period; a week ends on its Friday."""
        unit, edge = ("quarter" if m["q"] else m["u"] or "month"), m["edge"] or "end"
        if m["mo"] or m["q"]:
            month = _month(m["mo"]) if m["mo"] else int(m["q"]) * 3 - 2
            year = int(m["y"] or self.today.year + (month + 2 * bool(m["q"]) < self.today.month))
            inside = exact(self.today, year, month, 1)
        else:
            inside = shift(self.today, int(m["which"] in {"next", "coming"}), unit)
        first, last = bounds(inside, unit)
        last -= timedelta(days=2 * (unit[0] == "w" and edge != "last day"))
        middle = first.replace(day=15) if unit[0] == "m" else first + (last - first) // 2
        self.day = last if edge in {"end", "last day"} else middle if edge[0] == "m" else first

    def feast(self, m: Words) -> None:
        """Christmas and its like, of this year or the next."""
        name, year = m["feast"], self.today.year
        days = [_feast(name, year), _feast(name, year + 1)]
        self.day = days[days[0] < self.today]

    # -- times
    def elapse(self, m: Words) -> None:
        """In an hour and a half."""
        n = m["n"]
        amount = 0.5 if n == "half an" else 0.25 if "quarter" in n else float(n.replace(",", ".")) if re.search(r"[.,]", n) else count(n)
        unit = {"s": "seconds", "m": "minutes", "h": "hours"}[m["u"][0]]
        span = timedelta(**{unit: amount + 0.5 * bool(m["b"])}) + timedelta(minutes=int(m["m"] or 0))
        self.span = -span if m["ago"] else span

    def clock(self, m: Words) -> None:
        """A time by its figures; `plain` where they tell which half of the day is meant."""
        self.hour, self.minute, self.half = count(m["h"]), int(m["m"] or 0), m["half"] or self.half
        if m["to"] and m["half"] == "p" and int(m["to"]) % 12 < self.hour < 12:
            self.half = "a"  # from 11 to 1pm
        self.plain = bool(m["full"]) or self.hour > 12 or m["h"].startswith("0")
        if self.hour > 23 or self.minute > 59 or (m["half"] and not 1 <= self.hour <= 12):
            raise Doubt(f"There is no time {m['all']}. Which do you mean, for example 15:00 or 3pm?")

    def told(self, m: Words) -> None:
        """Half past four, quarter to nine."""
        minutes = sum(count(word) for word in re.split("[ -]", m["p"]))
        to = m["w"] in {"to", "till", "of"}
        if not 1 <= count(m["h"]) <= 12 or minutes > 59:
            raise Doubt(f"Which time is “{m['all']}”? For example 15:00 or 3pm.")
        self.hour, self.minute, self.half = count(m["h"]) - to or 12, 60 - minutes if to else minutes, m["half"] or self.half

    def same_time(self, m: Words) -> None:
        """This time tomorrow."""
        self.hour, self.minute, self.plain = self.now.hour, self.now.minute, True
        self.day = self.today + timedelta(days=7) if m["week"] else self.day

    def name_part(self, m: Words) -> None:
        """A part of the day; `this` one is today's."""
        self.part = next(part for part in HOURS if part in m["all"])
        self.day = self.day or (self.today if m["this"] and not self.rule else None)

    # -- rules
    def every(self, m: Words) -> None:
        """Every day, every 2 weeks on Monday, once a month."""
        n, unit = count(m["n"]), m["u"]
        if unit.startswith(("min", "sec")) or unit == "m" or m["n"] == "half" or not n:
            raise Doubt("Once an hour is the most often that I can. How often do you mean?")
        if unit[0] not in _RULES or unit.startswith("work"):
            raise Doubt("I cannot count working days in a rule. Every weekday, or every so many days?")
        if n > 999:
            raise Doubt("So seldom? How often do you mean?")
        n *= {"f": 2, "q": 3}.get(unit[0], 1)
        self.rule = f"FREQ={_RULES[unit[0]]}" + (f";INTERVAL={n}" if n > 1 else "") + (f";BYDAY={_listed(m['wds'])}" if m["wds"] else "")

    def every_weekday(self, m: Words) -> None:
        """Every other Friday, Mondays and Thursdays."""
        self.rule = f"FREQ=WEEKLY{f';INTERVAL={n}' if (n := count(m['n'])) > 1 else ''};BYDAY={_listed(m['wds'] or m['wd'])}"

    def every_month(self, m: Words) -> None:
        """The last Friday of every month, every 1st and 15th."""
        self.rule = "FREQ=MONTHLY" + _on_days(m)

    def last_for(self, m: Words) -> None:
        """For two weeks: how long a rule goes on."""
        self.until = shift(self.today, count(m["n"]), m["u"])

    def ask(self, m: Words) -> None:
        """Something that has no one meaning."""
        raise Doubt(f"When exactly is “{m['all']}”? Please name a day, and a time if there is one.")

    def _agree(self, day: date, weekday: str) -> None:
        if weekday and _weekday(weekday) != day.weekday():
            raise Doubt(f"{day.day} {month_name[day.month]} {day.year} is a {day_name[day.weekday()]}. Which of the two do you mean?")
        self.day = day


def read(text: str, start: int, reading: Reading) -> tuple[int, bool]:
    """Read what belongs together at *start* of a lowered text: where that ends, and whether it stands by itself."""
    end, taken, strong = start, list[str](), False
    while lead := _LEAD.match(text, end):
        words = lead.group().replace("the ", " ").split()
        before = "in" if "in" in words else words[-1] if words else ""
        for kind, needs, pattern, take in _table() if _any().match(text, lead.end()) else ():
            is_open = (kind not in taken or kind == "part") and (kind not in {"until", "nth"} or reading.rule)
            found = pattern.match(text, lead.end()) if is_open else None
            if not found or text.startswith("'s ", found.end()):
                continue
            alone = start == 0 and not taken and not words and not text[found.end() :].strip(" .!?")
            if (
                (needs == "+" and not taken)
                or (needs[:1] == "!" and before not in needs[1:].split() and not alone and "move" not in taken)
                or (needs == "^" and start and not taken)
            ):
                continue
            strong = strong or needs[:1] != "-" or alone or bool(taken) or (before in needs.split() if " " in needs else bool(before))
            if "since" in words:
                return found.end(), False  # it tells of what was
            reading.after = reading.after or before
            _take(take, reading, found, kind, before)
            end = found.end()
            taken.append(kind)
            break
        else:
            end = _second_day(text, end, lead.end(), reading)
            break
    if taken and _GOES_ON.match(text, end):
        reading.doubt = reading.doubt or "I can keep one day and one time, or one rule without exceptions. Which is it?"
    if "clock" in taken and _ELSEWHERE.match(text, end):
        reading.doubt = reading.doubt or "That is by another clock than yours. What time is it where you are?"
    return end, strong and not (reading.move and not reading.day and not reading.doubt)


def _second_day(text: str, end: int, begin: int, reading: Reading) -> int:
    """Where a reading ends for which another day stands right behind: the same by another name (tomorrow, Wednesday), or a doubt."""
    day = reading.day
    if day is None or reading.rule or reading.move:
        return end
    for kind, _, pattern, take in _table():
        found = pattern.match(text, begin) if kind == "day" and take in _NAMES_A_DAY else None
        if found:
            other = Reading(now=reading.now, day_first=reading.day_first)
            _take(take, other, found, kind, "")
            if other.day != day:
                reading.doubt = reading.doubt or f"Those are two days, and {_say(day)} is one of them. Which do you mean?"
            return found.end()
    return end


def _take(take: str, reading: Reading, found: re.Match[str], kind: str, before: str) -> None:
    """Take the words of one pattern in; a doubt is kept, and reading goes on."""
    words = defaultdict(str, {name.rstrip("123"): value for name, value in found.groupdict().items() if value} | {"all": found.group()})
    was = reading.day
    try:
        if take.startswith("FREQ="):
            reading.rule = reading.rule or take
        else:
            getattr(reading, take)(words)
        if before == "after" and kind in {"day", "part"} and not reading.move:
            raise Doubt(f"How long after “{found.group()}”? Please name a day and a time.")
    except Doubt as doubt:
        reading.doubt = reading.doubt or str(doubt)
    if reading.rule and before in {"until", "till"}:
        if kind == "day":
            reading.until, reading.day = reading.day, was
        elif kind in {"clock", "part"}:
            reading.doubt = reading.doubt or "A rule I can keep until a day. How often, and until which day?"


@cache
def _table() -> tuple[tuple[str, str, re.Pattern[str], str], ...]:
    """The rows of date_patterns.toml, each name in them replaced by its pattern."""
    names: dict[str, str] = {}
    for name, pattern in _DATA["names"].items():
        names[name] = re.sub(r"(?<!P)<([A-Z]+)>", lambda m: f"(?:{names[m[1]]})", pattern)
    rows = [(kind, needs, re.sub(r"<([A-Z]+)>", lambda m: names[m[1]], row), take) for kind, needs, row, take in _DATA["grammar"]["rows"]]
    return tuple((kind, needs, re.compile(row), take) for kind, needs, row, take in rows)


@cache
def _any() -> re.Pattern[str]:
    """All rows at once: most places of a text begin nothing, and are passed over the quicker."""
    return re.compile("|".join(re.sub(r"\(\?P<\w+>", "(?:", pattern.pattern) for _, _, pattern, _ in _table()))


def count(word: str) -> int:
    """`3`, `three`, `a` or `third` as a number. Raises Doubt for `a few`."""
    bare = re.sub(r"^an? (?=.)| of$", "", word)
    if bare in {"few", "several"}:
        raise Doubt("How many exactly? For example “in 3 days”.")
    return _COUNTS[bare] if bare in _COUNTS else int(re.sub(r"[^0-9]", "", bare))


def shift(day: date, amount: int, unit: str) -> date:
    """*day* moved by so many units; a month after the 31st is the last of its month. Raises Doubt beyond what can be planned."""
    if unit.startswith(("business", "work")):
        weeks, rest = divmod(min(day.weekday(), 4) + amount, 5)
        return shift(day, 7 * weeks + rest - day.weekday(), "day")
    from dateutil.relativedelta import relativedelta

    name, factor = _STEPS[unit[0]]
    try:
        moved: date = day + relativedelta(**{name: amount * factor})  # type: ignore[arg-type]  # the stubs know no names from a table
    except (ValueError, OverflowError):
        moved = date.max
    return exact(day, moved.year, moved.month, moved.day)


def exact(today: date, year: int, month: int, day: int) -> date:
    """That date. Raises Doubt where there is none or it is too far away."""
    if not 1 <= month <= 12:
        raise Doubt(f"There is no month {month}. Which date do you mean, for example 27 November?")
    if not 1900 <= year <= today.year + 50:
        raise Doubt(f"I can plan up to the year {today.year + 50}. Which date do you mean?")
    last, name = monthrange(year, month)[1], month_name[month]
    if not 1 <= day <= last:
        raise Doubt(f"{name} {year} has {last} days. Did you mean {last} {name} or 1 {month_name[month % 12 + 1]}?")
    return date(year, month, day)


def coming(today: date, month: int, day: int, year: str = "") -> date:
    """That date of the year named, else the next such. Raises Doubt where it has only just passed."""
    if year:
        return exact(today, int(year) + 2000 * (len(year) == 2), month, day)
    passed = (month, day) < (today.month, today.day)
    found = exact(today, today.year + passed, month, day)
    if passed and (found - today).days > 305:
        raise Doubt(f"{day} {month_name[month]} has just passed. Did you mean {day} {month_name[month]} {found.year}?")
    return found


def bounds(day: date, unit: str) -> tuple[date, date]:
    """The first and last day of the week, month, quarter or year around *day*."""
    months = {"m": 1, "q": 3, "y": 12}.get(unit[0])
    first = day.replace(day=1, month=(day.month - 1) // months * months + 1) if months else day - timedelta(days=day.weekday())
    return first, shift(first, 1, unit) - timedelta(days=1)


def _nth(first: date, number: int, weekday: int) -> date:
    """The second Friday, say, of the month that begins with *first*; -1 is its last."""
    if number < 0:
        end = bounds(first, "month")[1]
        return end - timedelta(days=(end.weekday() - weekday) % 7)
    return exact(first, first.year, first.month, 1 + (weekday - first.weekday()) % 7 + 7 * (number - 1))


def _feast(name: str, year: int) -> date:
    from dateutil.easter import easter

    if "thanks" in name:
        return _nth(date(year, 11, 1), 4, 3)
    if "easter" in name or name == "good friday":
        return easter(year) + timedelta(days={"good friday": -2, "easter monday": 1}.get(name, 0))
    day, month = _DATA["feasts"][name]
    return date(year, month, day)


def _on_days(m: Words) -> str:
    """Days of every month; one that not every month has is the last of the shorter ones."""
    days = [count(word) for word in (m["o"], m["also"]) if word]
    if not all(day and -1 <= day <= (5 if m["wd"] else 31) for day in days):
        raise Doubt("No month has that many. Which day of the month do you mean?")
    if m["wd"]:
        return ";BYDAY=" + ",".join(f"{day}{CODES[_weekday(m['wd'])]}" for day in days)
    if len(days) == 1 and days[0] in {29, 30}:
        return f";BYMONTHDAY={','.join(map(str, range(28, days[0] + 1)))};BYSETPOS=-1"
    return f";BYMONTHDAY={','.join(str(-1 if day == 31 else day) for day in days)}"


def _listed(names: str) -> str:
    found = {_weekday(name) for name in re.findall(r"(?:mo|tu|we|th|fr|sa|su)\w*", names)}
    return ",".join(CODES[number] for number in sorted(found))


def _weekday(name: str) -> int:
    return CODES.index(name[:2].upper())


def _month(name: str) -> int:
    return [month[:3].lower() for month in month_name].index(name[:3])


def _say(day: date) -> str:
    return f"{day_name[day.weekday()]} {day.day} {month_name[day.month]}"
