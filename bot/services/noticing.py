"""Notices what a person's words hold that is worth a note: facts, promises, dates, preferences, decisions. Pure, without a model.

It would rather miss one than note junk: a question, a mere thought, a quotation, a joke, a secret, code and orders are nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bot.services.affairs import folded
from bot.services.dates import When, find_when, without

KINDS = ("fact", "promise", "date", "preference", "decision")
NOTE = "note"
"""The kind of what a person had noted that is none of these."""
LONGEST_READ, LONGEST_SENTENCE, MOST = 4_000, 300, 5
"""Characters of a message and of a sentence that are looked at; notes of one message."""
FEWEST_WORDS, MOST_CORRECTED, FARTHEST = 2, 6, 12
"""Words of a sentence, at least; of a correction, at most; characters before the date of what is called a date."""
LONGEST_CORRECTION = 100
LIKED = ("love", "like", "enjoy", "adore")
_STRAIGHT = str.maketrans("’‘`\u00a0", "''' ")
_FILLER = frozenset("a an the my our of on in at to is are that for with by please new currently next this it i we am m be will".split())  # noqa: SIM905
_PREPOSITIONS = ("on", "at", "in", "to", "for", "from", "until", "by")
_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _pattern(told: str) -> str:
    """A pattern of noticing.toml, each <NAME> in it replaced by its own."""
    return re.sub(r"(?<!P)<([A-Z]+)>", lambda name: _pattern(_DATA["names"][name[1]]), told)


_END, _LEAD, _CLAUSE, _FORWARDED, _CODE, _QUESTION, _VOID, _NEGATED, _SECRET, _CORRECTION, _DAY = (
    re.compile(_DATA["sentence"][name], re.I | re.DOTALL if name == "code" else re.I)
    for name in ("end", "lead", "clause", "forwarded", "code", "question", "void", "negated", "secret", "correction", "day")
)
_SEVERAL = re.compile(_DATA["several"])
_LEFT_OVER = re.compile(r"\s+(?:by|on|until|before|at|for|this|next)\s*(?=$|[.,!])")
_FROM_TO = re.compile(r"\b([0-9]{1,2})(?:st|nd|rd|th)? ?(?:-|–|to|until|till) ?[0-9]{1,2}(?:st|nd|rd|th)?(?= [a-z]{3})", re.I)
"""Days of a month, of which the first is the day a note is about."""
_ROWS = tuple((kind, re.compile(_pattern(told) + r"[.!… ]*", re.I), topic) for kind, told, topic in _DATA["grammar"]["rows"])
_NAME = re.compile(_pattern("<NAME>"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """A thing worth a note: its sentence in the person's own words, what it is about, and what it says of that (folded; empty where the
    topic tells all). `on` is the day it is about, `stem` the sentence up to what may be corrected, `deed` what a promise is to do.
    """

    kind: str
    text: str
    topic: str
    value: str = ""
    on: date | None = None
    stem: str = ""
    deed: str = ""

    def says_the_same(self, other: Noticed) -> bool:
        """Whether both say the same of their topic."""
        return self.topic == other.topic and (self.on == other.on if self.on and other.on else self.value == other.value)


def notice(text: str, *, now: datetime) -> list[Noticed]:
    """What of a message is worth a note, at most MOST. *now* is when it was said, aware and in the zone of its person."""
    found: list[Noticed] = []
    for sentence in _sentences(text):
        one = read(sentence, now=now)
        if one is not None and not any(one.topic == each.topic for each in found):
            found.append(one)
        if len(found) == MOST:
            break
    return found


def read(sentence: str, *, now: datetime) -> Noticed | None:
    """What one sentence holds; None where it holds nothing that is surely meant."""
    plain = sentence.translate(_STRAIGHT)
    begin = lead.end() if (lead := _LEAD.match(plain)) else 0
    said = plain[begin:]
    if len(said.split()) < FEWEST_WORDS or len(said) > LONGEST_SENTENCE or _QUESTION.match(said) or is_void(plain, except_for=said):
        return None
    for kind, pattern, topic in _ROWS:
        match = pattern.fullmatch(said)
        one = match and _noticed(kind, topic, match, sentence[begin:].strip(), now)
        if one:
            return one
    return None


def by_hand(words: str, *, now: datetime) -> Noticed:
    """What a person had noted: as `read`, where it is one sentence that is understood; else a note, with the day it names."""
    sentences = [each for each in _END.split(words.strip()) if each.strip()]
    known, when = read(sentences[0], now=now) if len(sentences) == 1 else None, find_when(words, now=now)
    if known is not None:
        return replace(known, text=words)
    on = when.date if isinstance(when, When) and not (when.rule or when.is_clock or when.is_past(now)) else None
    return Noticed(kind=NOTE, text=words, topic="", on=on)


def is_void(text: str, *, except_for: str = "") -> bool:
    """Whether a text must not be noted whatever it says: a secret, or words that set all of it in doubt (not those after *except_for*)."""
    return bool(_SECRET.search(text) or _VOID.search(text[: len(text) - len(except_for)] if except_for else text))


def may_correct(text: str) -> bool:
    """Whether a message sounds like a bare correction of what was said just before."""
    return len(text) <= LONGEST_CORRECTION and _CORRECTION.fullmatch(text.strip().translate(_STRAIGHT)) is not None


def corrected(old: str, text: str, *, now: datetime) -> Noticed | None:
    """What becomes of the sentence *old* by a message right after it such as "no, it's 5 May"; None where that corrects nothing in it."""
    before, found = read(old, now=now), _CORRECTION.fullmatch(text.strip().translate(_STRAIGHT))
    if before is None or not before.stem or found is None or len(found["value"].split()) > MOST_CORRECTED:
        return None
    value, first = found["value"].strip(), before.value.partition(" ")[0]
    led = f"{first} " if first in _PREPOSITIONS and value.partition(" ")[0].lower() not in _PREPOSITIONS else ""
    one = read(f"{before.stem} {led}{value}", now=now)
    is_like = (one is not None and one.on is not None) if before.on else _NAME.match(value) or value[:1].isdigit()
    return one if one is not None and is_like and one.topic == before.topic and not one.says_the_same(before) else None


def _sentences(text: str) -> Iterator[str]:
    """A person's own sentences: what was forwarded below them, quoted or is code is not among them."""
    own = text[:LONGEST_READ]
    if forwarded := _FORWARDED.search(own):
        own = own[: forwarded.start()]
    for sentence in _END.split(_CODE.sub("\n", own)):
        yield sentence.strip(" \t-*•")


def _noticed(kind: str, topic: str, match: re.Match[str], text: str, now: datetime) -> Noticed | None:
    """The reading of a match, where nothing after its first words sets it in doubt, and a date or a name is there where one is needed."""
    groups = {name: value or "" for name, value in match.groupdict().items()}
    is_deed = kind.startswith("promise")
    at = match.start("value" if groups.get("value") and kind not in ("preference",) else "what")
    rest, value = match.string[at:], _CLAUSE.split(groups.get("value", ""))[0]
    is_negated = kind.strip("!+") not in ("preference", "decision") and _NEGATED.search(match.string)
    if _VOID.search(rest) or is_negated or (is_deed and re.search(r"\byou(?:rs?)?\b", rest, re.I)):
        return None
    when = find_when(rest if is_deed else _FROM_TO.sub(r"\1", rest), now=now)
    is_day = not (when.is_clock or when.is_past(now)) if isinstance(when, When) else bool(_DAY.search(rest))
    is_dated = when is not None and when.span[0] <= FARTHEST and is_day
    if (kind.startswith("date") and not is_dated) or (kind == "promise!" and when is None and not _NAME.search(rest)):
        return None
    if kind == "preference" and groups.get("value"):
        value = "yes" if groups["value"].lower() in LIKED else "no" if topic != "my name" and "favo" not in groups["what"] else value
    what = groups.get("what", "")
    if is_deed:  # its date is told beside it, unless it is not clear; `what` begins where the rest does
        what = _CLAUSE.split(_LEFT_OVER.sub("", without(what, when) if isinstance(when, When) else what))[0]
    about = topic_of(topic.format(**groups | {"what": what, "value": value}))
    if kind == "date+" or (kind == "fact" and _SEVERAL.fullmatch(groups.get("what", "").rpartition(" ")[2])):
        about = f"{about} {folded(value)}"
    return Noticed(
        kind=kind.rstrip("!+"),
        text=text,
        topic=about,
        value=folded(value),
        on=when.date if isinstance(when, When) and _is_about(when, kind) else None,
        stem=text[:at].strip() if groups.get("value") and match.end("value") >= len(match.string.rstrip(".! ")) else "",
        deed=": ".join(filter(None, (groups.get("who"), " ".join(what.split()).strip(" ,.!")))) if is_deed else "",
    )


def _is_about(when: When, kind: str) -> bool:
    """Whether a note of this kind is about the one day that it names: a fact is where that is all it says."""
    return not (when.rule or when.is_clock or kind == "preference" or (kind == "fact" and when.span[0] > 3))


def topic_of(words: str) -> str:
    """What a note is about, the same however it is said: words without articles, endings and the like."""
    kept = [re.sub(r"(?:'s|s'|(?<!s)s)$", "", word) if len(word) > 3 else word for word in re.findall(r"[\w']+", words.casefold())]
    about = " ".join(word for word in kept if word not in _FILLER and word != "'s") or folded(words)
    return re.sub(r"\bfavorite\b", "favourite", about)[:120]
