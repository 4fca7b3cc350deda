"""How far answers to one question agree, measured without a model: what they claim exactly, the rest by its words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path
from string import ascii_lowercase

WEIGHT = 3
"""Of a number or a "not", where any other word weighs 1."""
CLAIMS_SHARE = 0.8
"""Of the agreement of two answers that both claim something; the rest is by their words."""
SAME, SHORT_WORDS = 0.9, 60
"""Answers of at most so many words that agree so far say the same."""

_TIMES = {"k": 1e3, "thousand": 1e3, "million": 1e6, "bn": 1e9, "billion": 1e9, "trillion": 1e12}
_NUMBER = rf"[-−]?[$€£]?\d+(?:,\d{{3}})*(?:\.\d+)?(?:\s?(?i:{'|'.join(_TIMES)})\b)?"
_CLAIMS = (
    re.compile(r"\A\W*(yes|no|true|false)\s*(?:[,:;!–—\n]|\.(?!\s?\d)|-(?!\w)|\Z)", re.I),
    re.compile(
        r"\b(?i:answer is|choose|pick|go with|recommend):?\s+(?i:option )?\(?([B-E]|A(?! \w))(?![\w'’/&+#-])|\A\W*(?i:option )?([A-E])\W*\Z"
    ),
    re.compile(
        rf"(?:\banswer(?:[^\w.]|\b(?:is|was|would|be|about|exactly)\b){{0,20}}?|(?:=|####|boxed)[^\w.]{{0,3}}?"
        rf"|\b(?:total|result|therefore)\b(?=[^\n]{{0,300}}\Z)[^.\n\d]{{0,60}}?)({_NUMBER})",
        re.I,
    ),
)
"""What an answer comes to: yes or no, an option's letter, a number; of several the last (after words that are
common in prose only on the last line). A short one's only number is its claim as well."""
_WORD = re.compile(rf"(?<![\w.]){_NUMBER}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+(?:['’]t|\+\+|#)?")
_NOT = re.compile(r"not?|never|cannot|without|avoid|\w+['’]t")
_Read = tuple[dict[int, str], set[str], list[str]]
_COMMON = frozenset(tomllib.loads((Path(__file__).parent / "prompts" / "council.toml").read_text("utf-8"))["common"].split())


def supports(answers: Sequence[str], question: str = "") -> list[float]:
    """Of each answer, its mean agreement with the others, 0 to 1; 0 for one alone.

    Two agree by CLAIMS_SHARE for equal claims, where both make any, and by the overlap of their words. That is Ochiai's coefficient,
    |A∩B| / √(|A|·|B|), of numbers and content words (by their first six letters), weighted, without those of the question.
    """
    read = [(claims_of(answer), {*_content(answer)} - {*_content(question)}, words_of(answer)) for answer in answers]
    others = [[other for at, other in enumerate(read) if at != place] for place in range(len(read))]
    return [sum(_agreement(one, other) for other in rest) / max(len(rest), 1) for one, rest in zip(read, others, strict=True)]


def _agreement(one: _Read, other: _Read) -> float:
    (left, said, words), (right, also, as_well) = one, other
    overlap = 1.0 if words == as_well != [] else _weight(said & also) / sqrt(max(_weight(said) * _weight(also), 1))
    common = left.keys() & right.keys()
    return CLAIMS_SHARE * all(left[kind] == right[kind] for kind in common) + (1 - CLAIMS_SHARE) * overlap if common else overlap


def are_same(answers: Sequence[str]) -> bool:
    """Whether short answers say one thing: all deny something or none, and the words of the shortest stand in the others in their order."""
    brief, *others = (_content(answer) for answer in sorted(answers, key=len))
    pairs = [(other.count("not"), iter(other)) for other in others]
    are_alike = all(brief.count("not") == nots and all(word in ahead for word in brief) for nots, ahead in pairs)
    return are_alike and all(len(answer.split()) <= SHORT_WORDS for answer in answers)


def difference(answers: Sequence[str], names: Sequence[str]) -> tuple[str, set[str]]:
    """What answers, called by these names, claim, where that differs, in words and as it stands; else nothing."""
    claims = [claims_of(answer) for answer in answers]
    for kind in range(len(_CLAIMS)):
        values = dict.fromkeys(claimed[kind] for claimed in claims if kind in claimed)
        if len(values) > 1:
            who = [[name for name, claimed in zip(names, claims, strict=False) if claimed.get(kind) == value] for value in values]
            return "; ".join(f"{' and '.join(names)}: {value}" for names, value in zip(who, values, strict=True)), set(values)
    return "", set()


def kept(answer: str, whole: str) -> float:
    """How much of an answer's words and numbers is in the *whole*, 0 to 1."""
    said = {*_content(answer)}
    return _weight(said & {*_content(whole)}) / max(_weight(said), 1)


def claims_of(answer: str) -> dict[int, str]:
    """What an answer comes to, by the place of its kind in _CLAIMS; nothing where nothing stands out."""
    text = re.sub(r"```.*?(?:```|\Z)|[*_`]", "", answer, flags=re.DOTALL).strip()
    found = [[next(filter(None, match.groups())) for match in pattern.finditer(text)] for pattern in _CLAIMS]
    numbers, is_short = set(filter(_is_number, words_of(text))), len(text.split()) <= SHORT_WORDS // 2
    if not found[-1] and len(numbers) == 1 and is_short and ("not", *numbers) not in [*pairwise(_content(text))]:
        found[-1] = [*numbers]
    return {kind: words_of(values[-1])[0] for kind, values in enumerate(found) if values}


def words_of(text: str) -> list[str]:
    """The words of *text* in small letters; numbers as they are counted, whatever their signs and noughts."""
    return [_counted(word) if _is_number(word) else word.casefold() for word in _WORD.findall(text)]


def _content(text: str) -> list[str]:
    """What is said, in its order: numbers and what they count, each "not", and the words that are neither short nor common."""
    words = ["not" if _NOT.fullmatch(word) else word for word in words_of(text)]
    return [
        word if _is_number(word) else word[:6]
        for before, word in zip(["", *words], words, strict=False)
        if word not in _COMMON and (len(word) > 3 or word == "not" or _is_number(before) or not (word.isascii() and word.isalpha()))
    ]


def _counted(number: str) -> str:
    plain = re.sub(r"[$€£,\s]", "", number.casefold()).replace("−", "-")
    digits = plain.rstrip(ascii_lowercase)
    return f"{float(digits) * _TIMES.get(plain[len(digits) :], 1):f}".rstrip("0").rstrip(".")


def _is_number(word: str) -> bool:
    return any(map(str.isdecimal, word))


def _weight(terms: set[str]) -> int:
    return sum(WEIGHT if term == "not" or _is_number(term) else 1 for term in terms)
