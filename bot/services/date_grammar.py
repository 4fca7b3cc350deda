"""How people write dates: one table of patterns, and what each adds to a reading. What is doubtful is raised as Doubt, never guessed."""

from __future__ import annotations

import re
from calendar import day_name, month_name, monthrange
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

Words = Mapping[str, str]
"""What a pattern's groups took, "" where one took nothing; `all` is the whole."""
CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
WORKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
_COUNTS = {word: number for number, word in enumerate(_NUMBERS, 1)} | {
    "a": 1, "an": 1, "": 1, "other": 2, "second": 2, "couple": 2, "quarter": 15, "twenty": 20, "half": 30, "first": 1, "third": 3, "fourth": 4, "last": -1,
}  # fmt: skip
_HOLIDAYS = {
    "christmas eve": (24, 12), "christmas": (25, 12), "xmas": (25, 12), "boxing day": (26, 12), "new year's eve": (31, 12), "new year's": (1, 1),
    "valentine's day": (14, 2), "st patrick's day": (17, 3), "april fools": (1, 4), "4th of july": (4, 7), "halloween": (31, 10),
}  # fmt: skip
PARTS = {"morning": 9, "first thing": 9, "lunch": 12, "afternoon": 15, "midday": 12, "noon": 12, "evening": 18, "midnight": 24, "night": 20}
"""The hour that a part of the day stands for where none is named; whatever else ends the working day is at 17."""

_COUNT = rf"[0-9]{{1,4}}|{'|'.join(_NUMBERS)}|an?(?: couple(?: of)?| few)?|couple(?: of)?|few|several"
_UNITS = "(?:business |working |work)?days?|weeks?|wks?|fortnights?|months?|quarters?|years?|yrs?"
_N, _UNIT = rf"(?P<n>{_COUNT})", rf"(?P<u>{_UNITS})\b"
_WDS = r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:s|nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_WD, _LIST = rf"(?P<wd>{_WDS})\b\.?", rf"(?P<wds>{_WDS}s?(?:(?:,? and |, ?|/| ?& ?){_WDS}s?)*)\b"
_MO = r"(?P<mo>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_MONTH = _MO.replace("?P<mo>", "?:")
_D, _O = r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th|\.)?", r"(?P<o>first|second|third|fourth|last|[0-9]{1,2}(?:st|nd|rd|th))"
_Y = r"(?:,? (?P<y>[0-9]{4})\b(?![:.]?[0-9]))?"
_END = r"(?=\W*$|[.,;:!?)]| (?:at|to|about|with|for|and|in|by|from|before|because|please|remind|call|until|starting|on|of)\b)"
_MORE = (
    r"(?! ?(?:[%$€£°]|[:/.,-][0-9])|[0-9]| (?!(?:as|this|is|was|us|its|thanks)\b)[a-z]*[^\Ws]s\b"
    r"| (?:percent|per|people|million|k|km|or|more|less)\b| \w+ (?:street|st|road|ave|lane)\b)"
)
"""After a bare hour: nothing that makes its number a count, a price or an address."""
_H = rf"(?P<h>[0-9]{{1,2}}|{'|'.join(_NUMBERS)})"
_TO = r"(?: ?(?:-|to|until) ?[0-9]{1,2}(?:[:.][0-5][0-9])?)?"
_HALF = r" ?(?P<half>[ap])(?:m\b|\.m\.?)"
_SPAN = rf"(?P<n>half an|(?:a )?quarter of an|[0-9]+[.,][0-9]+|{_COUNT}) ?(?P<u>minutes?|mins?|hours?|hrs?|h|seconds?)(?: and a (?P<b>half)|(?: and)? ?(?P<m>[0-9]{{1,2}})(?: ?m(?:in(?:ute)?s?)?)?)?\b"


Action = Callable[[Words, "Reading"], None]


class Doubt(Exception):  # noqa: N818  # a question, no mistake
    """What was written may mean several things, or none: the question to ask about it."""


@dataclass(kw_only=True, slots=True)
class Reading:
    """What was understood so far at one place of a text; `now` is the person's wall clock, `before` the last preposition."""

    now: datetime
    day_first: bool | None = None
    before: str = ""
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

    @property
    def today(self) -> date:
        """The person's date."""
        return self.now.date()


def count(word: str) -> int:
    """`3`, `three`, `a` or `third` as a number. Raises Doubt for `a few`."""
    word = word.removeprefix("a ").removesuffix(" of")
    if word in {"few", "several"}:
        raise Doubt("How many exactly? For example “in 3 days”.")
    return _COUNTS[word] if word in _COUNTS else int(re.sub(r"\D", "", word))


def shift(day: date, amount: int, unit: str) -> date:
    """*day* moved by so many units; a month later than the 31st is the last of the month. Raises Doubt beyond what can be planned."""
    from dateutil.relativedelta import relativedelta

    if unit.startswith(("business", "work")):
        weeks, rest = divmod(min(day.weekday(), 4) + amount, 5)
        return day + timedelta(days=7 * weeks + rest - day.weekday())
    name, factor = {"q": ("months", 3), "f": ("weeks", 2), "w": ("weeks", 1), "d": ("days", 1), "m": ("months", 1), "y": ("years", 1)}[
        unit[0]
    ]
    try:
        moved: date = day + relativedelta(**{name: amount * factor})  # type: ignore[arg-type]
        return exact(day, moved.year, moved.month, moved.day)
    except (ValueError, OverflowError):
        raise Doubt("That is further away than I can plan. Which date do you mean?") from None


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
    """That date in the year named, else the next such. Raises Doubt where it has only just passed."""
    if year:
        return exact(today, int(year) + (2000 if len(year) == 2 else 0), month, day)
    passed = (month, day) < (today.month, today.day)
    found = exact(today, today.year + passed, month, day)
    if passed and (found - today).days > 305:
        raise Doubt(f"{day} {month_name[month]} has just passed. Did you mean {day} {month_name[month]} {found.year}?")
    return found


def nth(first: date, number: int, weekday: int) -> date:
    """The second Friday, say, of the month that begins with *first*; -1 is its last."""
    if number < 0:
        end = shift(first, 1, "month") - timedelta(days=1)
        return end - timedelta(days=(end.weekday() - weekday) % 7)
    found = first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))
    return exact(first, first.year, first.month, found.day if found.month == first.month else 32)


def _number(name: str) -> int:
    return next(number for number, day in enumerate(CODES) if day == name[:2].upper())


def _month(name: str) -> int:
    return next(number for number, month in enumerate(month_name) if number and month.lower()[:3] == name[:3])


def _today(days: int) -> Action:
    return lambda _, r: setattr(r, "day", r.today + timedelta(days=days))


def _written(m: Words, r: Reading) -> None:
    """A date with a named month; a weekday beside it must agree."""
    r.day = coming(r.today, _month(m["mo"]), int(m["d"]), m["y"])
    _agree(m["wd"], r.day)


def _agree(weekday: str, day: date) -> None:
    if weekday and _number(weekday) != day.weekday():
        raise Doubt(f"{day.day} {month_name[day.month]} {day.year} is a {day_name[day.weekday()]}. Which of the two do you mean?")


def _numeric(m: Words, r: Reading) -> None:
    r.day = coming(r.today, int(m["mm"]), int(m["d"]), m["y"])


def _slashed(m: Words, r: Reading) -> None:
    """Day and month in an order that only the numbers or the person's habit can tell."""
    a, b = int(m["a"]), int(m["b"])
    if max(a, b) > 12 or a == b or r.day_first is not None:
        day, month = (b, a) if b > 12 or (r.day_first is False and a <= 12) else (a, b)
        r.day = coming(r.today, month, day, m["y"])
        return
    raise Doubt(f"Is {m['a']}/{m['b']} the {a} {month_name[b]} or the {b} {month_name[a]}?")


def _weekday(m: Words, r: Reading) -> None:
    """`next` is of the coming calendar week, and asked where a nearer one is two days away or more and could be meant."""
    wanted, which, then = _number(m["wd"]), m["which"], m["then"]
    if r.rule.startswith("FREQ=WEEKLY") and "BYDAY" not in r.rule:
        r.rule += f";BYDAY={CODES[wanted]}"
        return
    ahead, name = (wanted - r.today.weekday()) % 7, day_name[wanted]
    near = r.today + timedelta(days=ahead or 7)
    far = near + timedelta(days=7)
    if "after next" in then or then.startswith(" in "):
        raise Doubt(
            f"Do you mean {_short(far)} or {_short(far + timedelta(days=7))}?"
            if "next" in then
            else f"Which {name} do you mean, {_short(far)}?"
        )
    if which.startswith("last"):
        r.day = near - timedelta(days=7 if ahead else 14)
    elif "next week" in then or "next week" in which:
        r.day = r.today + timedelta(days=7 - r.today.weekday() + wanted)
    elif then == " week":
        r.day = far
    elif which.startswith("this") and wanted < r.today.weekday():
        raise Doubt(f"{name} of this week is over. Do you mean {_short(near)}?")
    elif which.startswith("next") and (wanted > r.today.weekday() or r.today.weekday() == 6 != wanted):
        raise Doubt(f"Do you mean {_short(near)} or {_short(far)}?")
    elif not ahead and not which:
        raise Doubt(f"Today is {name}. Do you mean today or {_short(near)}?")
    else:
        r.day = r.today if not ahead and which.startswith("this") else near


def _short(day: date) -> str:
    return f"{day_name[day.weekday()]} {day.day} {month_name[day.month]}"


def _period(m: Words, r: Reading) -> None:
    """The first day of a week, month, quarter or year to come; a weekend is its Saturday."""
    unit, weeks = m["u"], 2 if m["then"] else 1
    monday = r.today - timedelta(days=r.today.weekday())
    if unit == "weekend":
        if m["which"] == "next" and r.today.weekday() < 5:
            saturday = monday + timedelta(days=5)
            raise Doubt(f"Do you mean {_short(saturday)} or {_short(saturday + timedelta(days=7))}?")
        r.day = monday + timedelta(days=12 if m["which"] == "next" or r.today.weekday() == 6 else 5)
    elif unit == "week":
        r.day = monday + timedelta(days=7 * weeks)
    else:
        first = r.today.replace(
            day=1, month=1 if unit == "year" else (r.today.month - 1) // 3 * 3 + 1 if unit == "quarter" else r.today.month
        )
        r.day = shift(first, weeks, unit)


def _edge(m: Words, r: Reading) -> None:
    """The beginning, middle or end of a period; a week ends on its Friday."""
    unit, edge, later = m["u"] or "month", m["edge"] or "end", m["which"] == "next"
    if unit == "week" and not m["mo"] + m["q"]:
        friday = r.today - timedelta(days=r.today.weekday() - 4 - 7 * later)
        r.day = friday if edge == "end" else friday - timedelta(days=4 if edge[0] in "bs" else 2)
        return
    if m["mo"] or m["q"]:
        month, months = (_month(m["mo"]), 1) if m["mo"] else (int(m["q"]) * 3 - 2, 3)
        first = exact(r.today, int(m["y"] or r.today.year + (month + months - 1 < r.today.month)), month, 1)
    else:
        months = {"m": 1, "q": 3, "y": 12}[unit[0]]
        first = shift(r.today.replace(day=1, month=(r.today.month - 1) // months * months + 1), months * later, "month")
    ends = shift(first, months, "month") - timedelta(days=1)
    r.day = ends if edge == "end" else first if edge[0] in "bs" else first.replace(day=15) if months == 1 else first + (ends - first) / 2


def _moved(m: Words, r: Reading) -> None:
    """So many days before or after the date that follows, or after today."""
    amount, unit = count(m["n"]) * (-1 if m["how"] in {" before", " ago"} else 1), m["u"]
    r.move = lambda day: shift(day, amount, unit)


def _away(m: Words, r: Reading) -> None:
    r.day = shift(r.today, count(m["n"]) * (-1 if m["how"] else 1), m["u"])


def _weekday_beside(m: Words, r: Reading) -> None:
    wanted, step = _number(m["wd"]), -1 if m["how"] == "before" else 1
    r.move = lambda day: day + timedelta(days=step * ((step * (wanted - day.weekday())) % 7 or 7))


def _monthday(m: Words, r: Reading) -> None:
    """The 15th, of the coming month that has one, or of every month where that was said."""
    day, which = count(m["o"]), m["which"].split(" ")[0]
    if r.rule == "FREQ=MONTHLY":
        r.rule += _by_monthday(day)
    elif day < 0:
        raise Doubt("The last of which month?")
    else:
        first = shift(r.today.replace(day=1), int(which == "next" or (day < r.today.day and which != "this")), "month")
        r.day = exact(r.today, first.year, first.month, day)
        _agree(m["wd"], r.day)


def _by_monthday(day: int) -> str:
    """A day that not every month has is the last of the shorter ones."""
    if day in {29, 30}:
        return f";BYMONTHDAY={','.join(map(str, range(28, day + 1)))};BYSETPOS=-1"
    if not -1 <= day <= 31:
        raise Doubt("A month has at most 31 days. Which day do you mean?")
    return f";BYMONTHDAY={-1 if day == 31 else day}"


def _nth_weekday(m: Words, r: Reading) -> None:
    number, weekday, month = count(m["o"]), _number(m["wd"]), m["mo"]
    if r.rule == "FREQ=MONTHLY":
        r.rule += f";BYDAY={number}{CODES[weekday]}"
        return
    first = (
        coming(r.today.replace(day=1), _month(month), 1, m["y"])
        if month
        else shift(r.today.replace(day=1), int(m["which"] == "next"), "month")
    )
    r.day = nth(first, number, weekday)


def _holiday(m: Words, r: Reading) -> None:
    from dateutil.easter import easter

    name = m["holiday"]
    if name in _HOLIDAYS:
        day, month = _HOLIDAYS[name]
        r.day = coming(r.today, month, day) if (month, day) >= (r.today.month, r.today.day) else date(r.today.year + 1, month, day)
        return
    offset = {"good friday": -2, "easter monday": 1}.get(name, 0)
    found = [
        nth(date(year, 11, 1), 4, 3) if "thanks" in name else easter(year) + timedelta(days=offset)
        for year in (r.today.year, r.today.year + 1)
    ]
    r.day = found[found[0] < r.today]


def _which_day(m: Words, _: Reading) -> None:
    raise Doubt(f"Which day exactly is “{m['all']}”?")


def _clock(m: Words, r: Reading) -> None:
    """A time by its figures. `plain` is one that says itself which half of the day it means."""
    r.hour, r.minute, r.half = count(m["h"]), int(m["m"] or 0), m["half"] or r.half
    r.plain = bool(m["full"]) or r.hour > 12 or m["h"].startswith("0")
    if r.hour > 23 or r.minute > 59 or (m["half"] and not 1 <= r.hour <= 12):
        raise Doubt(f"There is no time {m['all']}. Which do you mean, for example 15:00 or 3pm?")


def _spoken_clock(m: Words, r: Reading) -> None:
    """Half past four, quarter to nine."""
    minutes, to = count(m["p"].replace("-", " ").split(" ")[0]) + 5 * (" " in m["p"] or "-" in m["p"]), m["w"] in {"to", "till", "before"}
    r.hour, r.minute, r.half = (count(m["h"]) - to) or 12, 60 - minutes if to else minutes, m["half"] or r.half


def _part(m: Words, r: Reading) -> None:
    r.part = next((part for part in PARTS if part in m["all"]), "eod")
    if m["all"].startswith(("this", "to")) and r.day is None:
        r.day = r.today


def _span(m: Words, r: Reading) -> None:
    n = m["n"]
    amount = 0.5 if n == "half an" else 0.25 if "quarter" in n else float(n.replace(",", ".")) if re.match(r"[0-9]+[.,]", n) else count(n)
    unit = {"s": "seconds", "m": "minutes", "h": "hours"}[m["u"][0]]
    r.span = timedelta(**{unit: amount + (0.5 if m["b"] else 0)}) + timedelta(minutes=int(m["m"] or 0))


def _every(m: Words, r: Reading) -> None:
    """Every day, every 2 weeks on Monday, once a month."""
    n, unit = count(m["n"]), m["u"]
    if unit.startswith(("min", "sec")) or not n:
        raise Doubt("Once an hour is the most often that I can. How often do you mean?")
    frequency, factor = {
        "h": ("HOURLY", 1),
        "d": ("DAILY", 1),
        "w": ("WEEKLY", 1),
        "f": ("WEEKLY", 2),
        "m": ("MONTHLY", 1),
        "q": ("MONTHLY", 3),
        "y": ("YEARLY", 1),
    }[unit[0]]
    r.rule = f"FREQ={frequency}" + (f";INTERVAL={n * factor}" if n * factor > 1 else "")
    if m["wds"]:
        r.rule += f";BYDAY={_listed(m['wds'])}"


def _every_weekday(m: Words, r: Reading) -> None:
    r.rule = f"FREQ=WEEKLY{';INTERVAL=2' if m['n'] else ''};BYDAY={_listed(m['wds'])}"


def _listed(names: str) -> str:
    found = {_number(name) for name in re.findall(_WDS, names)}
    return ",".join(CODES[number] for number in sorted(found))


def _fixed(rule: str) -> Action:
    return lambda _, r: setattr(r, "rule", rule)


def _every_month(m: Words, r: Reading) -> None:
    r.rule = "FREQ=MONTHLY" + (f";BYDAY={count(m['o'])}{CODES[_number(m['wd'])]}" if m["wd"] else _by_monthday(count(m["o"])))


def _in_month(m: Words, r: Reading) -> None:
    r.day = coming(r.today.replace(day=1), _month(m["mo"]), 1, m["y"])


_IN, _ON, _BEFORE = "in within another", "on by until till before due from for since", "in by until till before"
_AT = "at @ by until till before around from after"
_EDGE = r"(?P<edge>end|beginning|start|middle|mid)[- ](?:of )?(?:the )?"
_FEAST = rf"{'|'.join(_HOLIDAYS)}|thanksgiving|easter monday|good friday|easter(?: sunday)?"
_A_DATE = rf"(?= (?:the |today\b|tomorrow\b|next |this |[0-9]|{_WDS}\b|{_MONTH}|{_FEAST}))"
_ROWS: tuple[tuple[str, str, str, Action], ...] = (
    ("rule", "", rf"(?:every|each) (?:(?P<n>other|second|2nd) )?{_LIST}", _every_weekday),
    ("rule", "", rf"(?=[a-z]+days\b){_LIST}", _every_weekday),
    ("rule", "", rf"every {_O} {_WD}(?: (?:of|in) (?:the|each|every) month)?", _every_month),
    ("rule", "", rf"{_O} {_WD} (?:of|in) (?:each|every) month", _every_month),
    ("rule", "", rf"every {_O}(?: day)?(?: of (?:the|each|every) month|{_END})", _every_month),
    ("rule", "", rf"{_O}(?: day)? (?:of|in) (?:each|every) month", _every_month),
    ("rule", "", r"(?:every|each) (?:week|work(?:ing )?|business )day\b|(?:weekdays|workdays)\b", _fixed(WORKDAYS)),
    ("rule", "", r"(?:every|each) weekend\b|weekends\b", _fixed("FREQ=WEEKLY;BYDAY=SA")),
    ("rule", "", r"(?:every|each)(?= (?:morning|noon|lunch|afternoon|evening|night)\b)|daily" + _END, _fixed("FREQ=DAILY")),
    ("rule", "", rf"(?:every|each|once an?) (?:(?P<n>{_COUNT}|other|second) )?(?P<u>{_UNITS}|(?:second|minute|hour)s?)\b(?: on {_LIST})?", _every),
    ("rule", "", rf"(?P<u>hour|week|month|quarter|fortnight|year)ly{_END}(?: on {_LIST})?", _every),
    ("rule", "", rf"(?:every|each)(?= (?:{_FEAST}|(?:[0-9]\S* )?{_MONTH}))|annually{_END}", _fixed("FREQ=YEARLY")),
    ("rule", "", rf"bi-?(?:weekly|monthly|annually){_END}|twice an? (?:day|week|month|year)\b", _which_day),
    ("span", "", rf"{_SPAN} from now\b", _span),
    ("span", f"!{_IN}", _SPAN, _span),
    ("day", "", r"day after tomorrow\b|overmorrow\b", _today(2)),
    ("day", "", r"day before yesterday\b", _today(-2)),
    ("day", "", r"(?:tomm?orr?ow|tmrw|tmr|tmw|2moro|2morrow)\b", _today(1)),
    ("day", "", r"yesterday\b", _today(-1)),
    ("day", "", r"today\b(?! week)", _today(0)),
    ("day", "", r"(?P<u>today) week\b", _today(7)),
    ("move", "", rf"(?P<u>day|week|month)(?P<how> before| after){_A_DATE}", _moved),
    ("move", "", rf"{_WD} (?P<how>before|after){_A_DATE}", _weekday_beside),
    ("move", "", rf"{_N} {_UNIT}(?P<how> before| after| from| on|(?= to)){_A_DATE}", _moved),
    ("day", "", rf"{_N} {_UNIT}(?: from now\b|(?P<how> ago)\b)", _away),
    ("day", f"!{_IN}", rf"{_N} {_UNIT}(?:'?s?'? time)?(?! of\b)", _away),
    ("day", "", r"(?P<y>[0-9]{4})[-/](?P<mm>[0-9]{1,2})[-/](?P<d>[0-9]{1,2})(?:t(?=[0-9]))?(?![-/]|(?<!t)\w)", _numeric),
    ("day", "", r"(?P<d>[0-9]{1,2})\.(?P<mm>[0-9]{1,2})\.(?P<y>[0-9]{4})(?![.\w])", _numeric),
    ("day", "-", r"(?P<d>[0-9]{1,2})\.(?P<mm>[0-9]{1,2})\.(?P<y>[0-9]{2})?(?!\w)", _numeric),
    ("day", f"!{_ON}", r"(?P<d>[0-9]{1,2})\.(?P<mm>0?[1-9]|1[0-2])(?![.\w]| ?[ap]\.?m)", _numeric),
    ("day", "", r"(?P<a>[0-9]{1,2})[/-](?P<b>[0-9]{1,2})[/-](?P<y>[0-9]{4})(?![-/\w])", _slashed),
    ("day", "-", r"(?!24/7)(?P<a>[0-9]{1,2})/(?P<b>[0-9]{1,2})(?:/(?P<y>[0-9]{2}))?(?![-/\w])", _slashed),
    ("day", "", rf"(?:{_WD},? (?:the )?)?{_D} (?:day )?(?:of )?{_MO}{_Y}", _written),
    ("day", "", rf"(?:{_WD},? (?:the )?)?{_MO} (?:the )?{_D}(?![:.]?[0-9]| ?[ap]m){_Y}", _written),
    ("day", "", rf"(?:early|late|sometime in|around) {_MO}", _which_day),
    ("day", "", rf"{_EDGE}(?:(?P<which>this|next|coming) )?(?:(?P<u>week|month|quarter|year)\b|{_MO}{_Y}|q(?P<q>[1-4])\b)", _edge),
    ("day", "", r"(?:(?P<u>month|year)[- ]end|eom)\b", _edge),
    ("day", f"!{_BEFORE}", rf"(?:next )?{_MO}{_Y}{_END}", _in_month),
    ("day", "", rf"{_O} {_WD} (?:of|in) (?:{_MO}{_Y}|(?:the )?(?:(?P<which>this|next|coming) )?month\b)", _nth_weekday),
    ("day", "-", rf"{_O} {_WD}{_END}", _nth_weekday),
    ("day", "", rf"{_WD} (?:the )?(?P<o>[0-9]{{1,2}}(?:st|nd|rd|th))", _monthday),
    ("day", "", rf"{_O}(?: day)? of (?:the )?(?P<which>next |this |)month\b", _monthday),
    ("day", f"!{_ON}", rf"{_O}{_END}", _monthday),
    ("day", "", rf"(?P<which>next week),? (?:on )?{_WD}", _weekday),
    ("day", "", rf"(?P<which>this(?: coming)?|next|coming|last|this past) {_WD}", _weekday),
    ("day", "", rf"{_WD}(?P<then> week| (?:of )?next week| after next| in (?:two|2|three|3) weeks)\b", _weekday),
    ("day", "", rf"(?:(?<!the )|(?=\w+{_END}))(?P<wd>(?:mon|tues|wednes|thurs|fri|satur|sun)day|tues?|weds|thurs?|thu|fri)\b\.?", _weekday),
    ("day", "-", _WD, _weekday),
    ("day", "", r"(?:(?P<which>next|this) )?(?P<u>weekend)\b", _period),
    ("day", "", r"next (?P<u>week|month|quarter|year)\b", _period),
    ("day", "", r"(?P<u>week|month) (?P<then>after next)\b", _period),
    ("day", "", r"(?:later |sometime )?this week\b|(?:later|sometime) (?:this|next) (?:week|month|year)\b", _which_day),
    ("day", f"!{_BEFORE}", r"q[1-4]\b|year [0-9]{4}\b", _which_day),
    ("day", "", rf"(?P<holiday>{_FEAST})(?: day)?\b", _holiday),
    ("clock", "", rf"{_H}(?:[:.](?P<m>[0-9]{{2}}))?{_TO}{_HALF}", _clock),
    ("clock", "", r"(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2})(?::[0-9]{2})?(?: ?(?:-|to) ?[0-9]{1,2}:[0-9]{2})?(?![:\w])", _clock),
    ("clock", "", r"(?P<h>[0-9]{1,2}) ?(?P<full>h|uhr)(?P<m>[0-5][0-9])?\b", _clock),
    ("clock", "", r"(?P<h>[0-2][0-9])(?P<m>[0-5][0-9]) ?(?P<full>h|hrs|hours)\b", _clock),
    ("clock", "", rf"{_H} ?o'?clock\b", _clock),
    ("clock", "", rf"(?P<p>half|quarter|five|ten|twenty(?:[ -]five)?)(?: minutes)? (?P<w>past|to|till) {_H}\b(?:{_HALF})?{_MORE}", _spoken_clock),
    ("clock", "", rf"(?P<p>[0-9]{{1,2}}) (?:minutes )?(?P<w>past) {_H}\b(?:{_HALF})?", _spoken_clock),
    ("clock", "", rf"(?P<p>half) (?P<h>{'|'.join(_NUMBERS)})\b(?:{_HALF})?", _spoken_clock),
    ("clock", f"!{_AT}", r"(?P<h>[0-9]{1,2})\.(?P<m>[0-5][0-9])(?![.\w])", _clock),
    ("clock", f"!{_AT}", rf"(?P<h>[0-2][0-9])(?P<m>[0-5][0-9])\b{_END}", _clock),
    ("clock", f"!{_AT}", rf"{_H}\b{_MORE}", _clock),
    ("clock", "^", rf"{_H}(?= (?:in the (?:morning|afternoon|evening)|tonight|(?:tomorrow|this) (?:morning|afternoon|evening|night))\b)", _clock),
    ("part", "", r"this (?:morning|afternoon|evening)\b|tonight\b|tonite\b", _part),
    ("part", "", r"(?:first thing(?: in the morning)?|noon|midday|midnight|lunch ?time|eod|cob|eob|close of (?:business|play)|end of (?:business|play)"
     r"|end of (?:the )?(?:business |working |work)?day)\b", _part),
    ("part", "- in at by before until till around", r"(?:early |late )?(?:morning|lunch|afternoon|evening|night)\b", _part),
)  # fmt: skip
_TABLE = tuple((kind, need, re.compile(pattern), action) for kind, need, pattern, action in _ROWS)
_LEAD = re.compile(
    r"[\s,(-]{0,3}(?:(?:at|on|in|by|until|till|before|due|starting|start|from|for|since|around|after|within|another|of|and) +|@ ?)*(?:the +)?"
)


def read(text: str, start: int, reading: Reading) -> tuple[int, bool]:
    """Read as much as belongs together at *start* of lowered *text*; where it ends (at *start* where nothing does), and whether it stands by itself.

    A row's need: "" stands alone; "-" does beside another piece or a preposition, "!" only after one of its prepositions, "^" at the beginning.
    """
    end, taken, strong, first = start, set[str](), False, start == 0
    while len(taken) < 6:
        lead = _LEAD.match(text, end)
        begin = lead.end() if lead else end
        before = (lead.group().replace("the ", " ").split() or [""])[-1] if lead else ""
        for kind, need, pattern, action in _TABLE:
            if kind in taken or not (found := pattern.match(text, begin)) or text.startswith("'s ", found.end()):
                continue
            alone = first and not taken and not text[found.end() :].strip(" .!?")
            if (need[:1] == "!" and before not in need[1:].split() and not alone) or (need == "^" and not (first or taken)):
                continue
            strong = strong or not need.startswith("-") or alone or bool(taken) or (before in need.split() if " " in need else bool(before))
            reading.before = before
            _take(
                defaultdict(str, {name: value or "" for name, value in found.groupdict().items()} | {"all": found.group()}), reading, action
            )
            if reading.rule and kind == "day" and before in {"until", "till"}:
                reading.until, reading.day = reading.day, None
            taken.add(kind)
            if kind == "move":
                taken.discard("day")
            end = found.end()
            break
        else:
            break
    return end, strong and not (reading.move and not reading.day)


def _take(words: Words, reading: Reading, action: Action) -> None:
    try:
        action(words, reading)
    except Doubt as doubt:
        reading.doubt = reading.doubt or str(doubt)
