"""How far answers to one question agree, measured without a model: what they claim exactly, the rest by its words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

WEIGHT = 3
"""Of a number or a "not", where any other word weighs 1."""
CLAIMS_SHARE = 0.8
"""Of the agreement of two answers that both claim something; the rest is by their words."""
SAME, SHORT_WORDS = 0.9, 60
"""Answers of at most so many words that agree so far say the same."""

_NUMBER = r"[-−]?[$€£]?\d+(?:,\d{3})*(?:\.\d+)?"
_CLAIMS = (
    re.compile(r"\A\W*(yes|no|true|false)\s*(?:[,.:;!–—-]|\Z|\n)", re.I),
    re.compile(r"\b(?i:answer is|choose|pick|go with|recommend):?\s+(?i:option )?\(?([A-E])\b(?!')|\A\W*(?i:option )?([A-E])\W*\Z"),
    re.compile(rf"(?:\b(?:answer|total|result|therefore)\b|=|####|boxed)[^.\n\d]{{0,60}}?({_NUMBER})", re.I),
)
"""What an answer comes to: yes or no, an option's letter, a number; of several the last. A short one's only number is its claim as well."""
_WORD = re.compile(rf"(?<![\w.]){_NUMBER}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+(?:['’]t)?")
_NOT = re.compile(r"not?|never|cannot|without|avoid|\w+['’]t")
_Read = tuple[dict[int, str], set[str], list[str]]
_COMMON = frozenset(tomllib.loads((Path(__file__).parent / "prompts" / "council.toml").read_text("utf-8"))["common"].split())


def supports(answers: Sequence[str], question: str = "") -> list[float]:
    """Of each answer, its mean agreement with the others, 0 to 1; 0 for one alone.

    Two agree by CLAIMS_SHARE for equal claims, where both make any, and by the overlap of their words. That is Ochiai's coefficient,
    |A∩B| / √(|A|·|B|), of numbers and content words (by their first six letters), weighted, without those of the question.
    """
    read = [(claims_of(answer), _terms(answer) - _terms(question), words_of(answer)) for answer in answers]
    others = [[other for at, other in enumerate(read) if at != place] for place in range(len(read))]
    return [sum(_agreement(one, other) for other in rest) / max(len(rest), 1) for one, rest in zip(read, others, strict=True)]


def _agreement(one: _Read, other: _Read) -> float:
    (left, said, words), (right, also, as_well) = one, other
    overlap = 1.0 if words == as_well != [] else _weight(said & also) / sqrt(max(_weight(said) * _weight(also), 1))
    common = left.keys() & right.keys()
    return CLAIMS_SHARE * all(left[kind] == right[kind] for kind in common) + (1 - CLAIMS_SHARE) * overlap if common else overlap


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
    return _weight(_terms(answer) & _terms(whole)) / max(_weight(_terms(answer)), 1)


def claims_of(answer: str) -> dict[int, str]:
    """What an answer comes to, by the place of its kind in _CLAIMS; nothing where nothing stands out."""
    text = re.sub(r"```.*?(?:```|\Z)|[*_`]", "", answer, flags=re.DOTALL)
    found = [[next(filter(None, match.groups())) for match in pattern.finditer(text)] for pattern in _CLAIMS]
    numbers = set(filter(_is_number, words_of(text)))
    if not found[-1] and len(numbers) == 1 and len(text.split()) <= SHORT_WORDS // 2:
        found[-1] = [*numbers]
    return {kind: words_of(values[-1])[0] for kind, values in enumerate(found) if values}


def words_of(text: str) -> list[str]:
    """The words of *text* in small letters; numbers as they are counted, whatever their signs and noughts."""
    return [_counted(word) if _is_number(word) else word.casefold() for word in _WORD.findall(text)]


def _terms(text: str) -> set[str]:
    words = {"not" if _NOT.fullmatch(word) else word for word in words_of(text)} - _COMMON
    return {word if _is_number(word) else word[:6] for word in words if len(word) > 3 or not word.isascii() or _weight({word}) > 1}


def _counted(number: str) -> str:
    return f"{float(re.sub('[$€£,]', '', number).replace('−', '-')):f}".rstrip("0").rstrip(".")


def _is_number(word: str) -> bool:
    return word[-1:].isdecimal()


def _weight(terms: set[str]) -> int:
    return sum(WEIGHT if term == "not" or _is_number(term) else 1 for term in terms)
