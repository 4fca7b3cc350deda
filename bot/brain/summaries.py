"""What older memories come to: the facts a text states, a summary made of its own best sentences, how a memory reads by its age. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from math import log
from uuid import UUID

from bot.brain.recall import COMMON, stems
from storage.models.memory import Memory, Summary

FRESH, RECENT, OLD = timedelta(days=7), timedelta(days=30), timedelta(days=180)
"""Up to these ages a memory reads verbatim, beside its session's summary, and beside its month's line; older ones are one line."""
SESSION, MONTH, YEAR = 1, 2, 3
WORDS = {SESSION: 80, MONTH: 50, YEAR: 30}
"""Levels of summaries, and how many words each may have."""
CLIPPED = {SESSION: 300, MONTH: 160, YEAR: 100}
"""Characters that are left of a found memory's own words when it has reached a level's age."""
LONGEST_SUMMARY, LEAST_ROOM, FRAME = {SESSION: 900, MONTH: 240}, 120, 24
"""Characters of a summary as it is told, the least for which it is, and what frames it and marks a clipped text."""
FACTS_SHOWN, LONGEST_SENTENCE = 5, 60
SHORTEST = 6
"""Words: of shorter sentences ("Hey Mel!") a summary is made only where there are no others."""
LEAST_KEPT = 0.75
"""The share of the facts that a rewrite must keep of what it replaces."""
_NOT = frozenset("not no never nobody nothing nowhere neither nor without cannot".split())  # noqa: SIM905
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_DATE = re.compile(
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTHS})\b(?:,?\s\d{{4}}\b)?|\b(?:{_MONTHS})\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}}\b)?"
    rf"|\b(?:{_MONTHS})\s\d{{4}}\b",
    re.I,
)
_WORD = re.compile(r"[$€£]?[^\W_]+(?:[.,:'’-][^\W_]+)*%?")
_LETTERS = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_CLAUSE = re.compile(r"[,;:()\[\]\"“”.!?…]+(?=\s|$)|\s[-–—]+\s|\s(?:and|but|or|because|so|which|who|when|while|that|if)\s", re.I)


def facts_of(text: str) -> list[str]:
    """What *text* states, as short strings in lower case, in their order, each once. A fact is

    - a date: day and month, month and year, or all three;
    - a number with the word after it: "3 dogs", "$40", "7:30";
    - a name: words that begin with a capital where no sentence begins;
    - a piece: two or three words that say something, neighbours in a clause: mostly a verb and its object; with "not" where it is denied.

    Questions state nothing. It knows the small words of English; in other languages all words say something.
    """
    return [*_weighed(text)]


def kept(old_facts: Collection[str], new_text: str) -> float:
    """The share of these facts that *new_text* still states, all words of one in a sentence, denied as it was; 1 where there are none."""
    states = _stating(new_text)
    return sum(map(states, old_facts)) / len(old_facts) if old_facts else 1.0


def left_out(memories: Sequence[Memory], text: str) -> list[str]:
    """The facts of memories that a summary of them does not state: they are kept beside it, so that it loses none."""
    told, states = [fact for each in memories for fact in facts_of(each.text)], _stating(text)
    return [fact for fact in dict.fromkeys(told) if not states(fact)]


def extract(memories: Sequence[Memory], words: int) -> str:
    """The sentences, verbatim, with day and speaker, that tell most of the memories in about *words* words; the best one in any case.

    What a sentence adds is the facts that those chosen before it do not state, each by how rare its words are among the sentences; what is
    central, by how often its words come up, adds the more. It is chosen for what it adds by its length: the greedy maximum coverage of
    Filatova and Hatzivassiloglou (2004).
    """
    every = [(memory, each) for memory in memories for each in _sentences(memory.text)]
    sentences = [(memory, each) for memory, each in every if len(each.split()) >= SHORTEST] or every
    told, lengths = _telling([each for _, each in sentences]), [len(each.split()) for _, each in sentences]
    chosen, known, left = set[int](), set[str](), words
    while at_hand := [at for at in range(len(sentences)) if at not in chosen and (lengths[at] <= left or not chosen)]:
        adds = {at: sum(worth for fact, worth in told[at].items() if fact not in known) / (lengths[at] + SHORTEST) for at in at_hand}
        best = max(adds, key=lambda at: adds[at])
        if chosen and adds[best] <= 0:
            break
        chosen.add(best)
        known |= told[best].keys()
        left -= lengths[best]
    return _told([sentences[at] for at in sorted(chosen)])


def is_fit(rewrite: str, text: str, material: str, words: int) -> bool:
    """Whether a model's words may stand for the *text* extracted from the *material*: not much longer than they should be, no more than a
    quarter of its facts lost, and every number and name in them borne out.
    """
    said, held = rewrite.split(), {_stem(word) for word in _words(material)}
    own = {word for fact, weight in _weighed(rewrite).items() if weight > 1 for word in _words(fact)}
    borne_out = all(_stem(word) in held for word in own if word not in COMMON)
    return 0 < len(said) <= 2 * words and borne_out and kept(facts_of(text), rewrite) >= LEAST_KEPT


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a memory reads at its age: what is left of its words, below what stands at their `head`, which is of that `summary`."""

    words: str
    head: str = ""
    summary: UUID | None = None


def aged(memories: Sequence[Memory], summaries: Mapping[UUID, Sequence[Summary]], now: datetime, *, question: str = "") -> list[Reading]:
    """How each memory that was found reads in a prompt, by its age; *summaries* are those that cover it, of any level, by its id.

    Up to 7 days verbatim; to 30 clipped, with its session's summary; to 180 clipped further, with its month's line (its session's,
    until the month has one) and some facts that the clipping lost; from then on one line. A summary is told once, where it adds to
    what is left, in the room that clipping its memories made: no age reads longer than verbatim would.
    """
    asked, room, told, readings = stems(question), Counter[UUID](), set[UUID](), list[Reading]()
    levels = [bisect_right((FRESH, RECENT, OLD), now - each.at) for each in memories]
    left = [_words_left(each, level, asked) for each, level in zip(memories, levels, strict=True)]
    covering = [_summary_for(level, summaries.get(each.id, ())) for each, level in zip(memories, levels, strict=True)]
    for memory, words, summary in zip(memories, left, covering, strict=True):
        room[summary.id if summary else memory.id] += len(memory.text) - len(words)
    states = _stating("\n".join(left))
    for level, words, summary in zip(levels, left, covering, strict=True):
        reading = Reading(words=words)
        if summary is not None and summary.id not in told and room[summary.id] >= LEAST_ROOM:
            told.add(summary.id)
            short = clipped(summary.text, min(room[summary.id], LONGEST_SUMMARY[level]) - FRAME, asked)
            if (facts := facts_of(short)) and sum(map(states, facts)) < LEAST_KEPT * len(facts):
                reading = Reading(words=words, head=f"[In short: {short}] ", summary=summary.id)
        readings.append(reading)
    return readings


def clipped(text: str, room: int, asked: Collection[str]) -> str:
    """*room* characters of a text, from the beginning of a sentence, or of a word, after which most of the *asked* stems stand."""
    if len(text) <= room:
        return text
    hits = [(each.start(), stem) for each in _LETTERS.finditer(text) if (stem := each.group().lower()[:6]) in asked]
    begins, starts = [0, *(each.end() for each in _SENTENCE.finditer(text))], [0]
    for at, _ in hits:
        near = text.find(" ", at - room // 2, at) + 1 or at if at > room // 2 else 0
        starts.append(max(begins[bisect_right(begins, at) - 1], near))
    start = max(starts, key=lambda start: (len({stem for at, stem in hits if start <= at < start + room}), start))
    part = text[start : start + room]
    end = part.rfind(" ", room // 2) if start + room < len(text) else -1
    return "… " * (start > 0) + (part[:end] if end > 0 else part) + " …" * (start + room < len(text))


def _words_left(memory: Memory, level: int, asked: Collection[str]) -> str:
    """A memory's own words as they read at a level's age."""
    words = clipped(memory.text, CLIPPED[level], asked) if level else memory.text
    facts = left_out([memory], words) if level == MONTH else []
    lost = "; ".join(islice((fact for fact in facts if not any(fact in other for other in facts if fact != other)), FACTS_SHOWN))
    return f"{words} ({lost})" if lost and len(words) + len(lost) < len(memory.text) else words


def _summary_for(level: int, summaries: Sequence[Summary]) -> Summary | None:
    """The most general one up to a month's; a memory that is one line has none."""
    return max((each for each in summaries if each.level <= level < YEAR), key=lambda each: each.level, default=None)


def _telling(sentences: Sequence[str]) -> list[dict[str, float]]:
    """The facts of each sentence, and what telling one is worth there: by its weight, how rare it is, and how central the sentence."""
    said = [{_stem(word) for word in _words(each) if _is_saying(word)} for each in sentences]
    counts = Counter(stem for each in said for stem in each)

    def rarity(fact: str) -> float:
        of_it = [log(1 + len(sentences) / counts[stem]) for stem in map(_stem, _words(fact)) if stem in counts]
        return sum(of_it) / max(len(of_it), 1)

    central = [1 + sum(counts[stem] for stem in each) / max(len(each), 1) / max(counts.values(), default=1) for each in said]
    return [
        {fact: weight * rarity(fact) * much for fact, weight in _weighed(each).items()}
        for each, much in zip(sentences, central, strict=True)
    ]


def _stating(text: str) -> Callable[[str], bool]:
    """Tells of a fact whether the text states it."""
    holding: dict[str, set[int]] = {}
    for at, sentence in enumerate(_SENTENCE.split(text)):
        for word in _words(sentence):
            holding.setdefault(_stem(word), set()).add(at)

    def states(fact: str) -> bool:
        stems = {_stem(word) for word in _words(fact)}
        places = set.intersection(*(holding.get(stem, set()) for stem in stems)) if stems else {0}
        return bool(places if "not" in stems or len(stems) == 1 else places - holding.get("not", set()))

    return states


def _weighed(text: str) -> dict[str, float]:
    """The facts of a text; names, numbers and dates weigh twice what a piece does."""
    facts: dict[str, float] = {}
    for sentence in _SENTENCE.split(text):
        if not sentence.rstrip().endswith("?"):
            dates = [" ".join(_words(each)) for each in _DATE.findall(sentence)]
            plain = _DATE.sub(" , ", sentence)
            facts |= dict.fromkeys((*dates, *_numbers(plain), *_names(plain)), 2.0)
            facts |= {piece: 1.0 for clause in _CLAUSE.split(plain) for piece in _pieces(_words(clause)) if piece not in facts}
    return facts


def _numbers(sentence: str) -> Iterable[str]:
    words = _words(sentence)
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if any(sign.isdecimal() for sign in word):
            yield f"{word} {after}" if after and after not in COMMON and after.isalpha() else word


def _names(sentence: str) -> Iterable[str]:
    run: list[str] = []
    for word in [*_WORD.findall(sentence)[1:], ""]:
        if word[:1].isupper() and _is_saying(word.lower()):
            run.append(word.lower().replace("’", "'").removesuffix("'s"))
        elif run:
            yield " ".join(run)
            run = []


def _pieces(words: Sequence[str]) -> Iterable[str]:
    """A clause's words that say something, by twos and threes."""
    saying, denied = [word for word in words if _is_saying(word)], ["not"] if "not" in words else []
    number = -(-len(saying) // 3)
    for at in range(number):
        piece = saying[at * len(saying) // number : (at + 1) * len(saying) // number]
        if len(denied + piece) > 1:
            yield " ".join(denied + piece)


def _words(text: str) -> list[str]:
    """Words in lower case; whatever denies is "not"."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    return ["not" if word in _NOT or word.endswith("n't") else word for word in words]


def _is_saying(word: str) -> bool:
    return word.partition("'")[0] not in COMMON and word not in _NOT


def _stem(word: str) -> str:
    return word.removesuffix("'s")[:6]  # as recall has it


def _sentences(text: str) -> Iterable[str]:
    for sentence in _SENTENCE.split(text):
        words = sentence.split()
        yield from (" ".join(words[at : at + LONGEST_SENTENCE]) for at in range(0, len(words), LONGEST_SENTENCE))


def _told(chosen: Sequence[tuple[Memory, str]]) -> str:
    """Sentences in their order, each with its day and speaker where these are others than before."""
    parts, day, speaker = [], "", ""
    for memory, sentence in chosen:
        when = f"{memory.day}, " if memory.day != day else ""
        parts.append(f"{when}{memory.speaker}: {sentence}" if when or memory.speaker != speaker else sentence)
        day, speaker = memory.day, memory.speaker
    return " ".join(parts)
