"""Which remembered turns answer a question: pure, from candidates that either database found, by words, vectors, neighbours and session."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.domain.memory import Corpus

_READ = tomllib.loads((Path(__file__).parent / "prompts" / "recall.toml").read_text("utf-8"))
COMMON = frozenset(_READ["common"].split())
_WORD, _WHEN, _TIME = re.compile(r"[^\W_]+"), re.compile(_READ["when"], re.I), re.compile(_READ["time"], re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What counts how much, where a turn's cosine with the question, less the candidates' mean, counts 1.

    All but BM25's two were chosen on three conversations, each judged by the other two, and rounded: docs/decisions/0012-recall.md.
    """

    lexical: float = 0.3  # BM25, as a share of the best candidate's
    covered: float = 0.75  # the share of the question, by rarity, whose words or their like stand in the turn
    alike: float = 0.4  # the least cosine by which two words are alike
    decay: float = 0.3  # of a score, with each step to a neighbour
    reach: int = 2  # steps to the furthest neighbour that is heard
    session: float = 0.5  # of the best score in the session, added to each of its turns
    when: float = 0.15  # for words of time, where the question asks when
    asking: float = 0.1  # taken from a turn that asks: answers are looked for
    speaker: float = 0.4  # for what the one person said who is named in the question
    k1: float = 0.9  # BM25's saturation, and b its length, as Anserini sets them (Yang, Fang and Lin 2017)
    b: float = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A turn that may answer: `position` counts within its session; `cosine` is with the question, None where it has no vector."""

    key: str
    said: str
    speaker: str
    session: Hashable
    position: int
    on: date
    cosine: float | None = None


Vectors = Callable[[Sequence[str]], Any]
"""Words to unit vectors: an array, (words, dimensions); None where there is no model of words."""


def terms(text: str) -> list[str]:
    """The words of a text that say something, in lower case, in their order."""
    return [word for word in _WORD.findall(text.lower()) if word not in COMMON]


def stems(text: str) -> dict[str, str]:
    """The beginnings by which its words are known again, with the words."""
    return {_stem(word): word for word in terms(text)}


def searched(turn: Candidate) -> str:
    """The text by which a turn is found: who said what, and on which day."""
    return f"{turn.speaker}: {turn.said} {_day(turn.on)}"


@lru_cache(maxsize=1024)
def _day(on: date) -> str:
    return f"{on.day} {on:%B %Y}"


def named(question: str, speakers: Iterable[str]) -> str | None:
    """The one speaker whose first name stands in the question; None where it is nobody, or more than one."""
    words = {*_WORD.findall(question.lower())}
    found = [each for each in {*speakers} if words & {*_WORD.findall(each.lower())[:1]}]
    return found[0] if len(found) == 1 else None


def rank(
    question: str, turns: Sequence[Candidate], corpus: Corpus, *, vectors: Vectors | None = None, weights: Weights | None = None
) -> list[tuple[float, Candidate]]:
    """The candidates, best first, each with its score, which compares only within one question.

    Candidates are what was found by words and by vectors, with neighbours within `reach`. Without `vectors` only like beginnings are alike.
    """
    w, held = weights or Weights(), [terms(searched(turn)) for turn in turns]
    cosines, covered = _centred([turn.cosine for turn in turns]), _centred(_covered(question, held, corpus, vectors, w))
    parts = zip(cosines, covered, _bm25(question, held, corpus, w), strict=True)
    scores = _with_neighbours([cosine + w.covered * share + w.lexical * lexical for cosine, share, lexical in parts], turns, w)
    best: dict[Hashable, float] = {}
    for score, turn in zip(scores, turns, strict=True):
        best[turn.session] = max(score, best.get(turn.session, score))
    about, asks_when = named(question, [turn.speaker for turn in turns]), _WHEN.search(question) is not None
    for at, turn in enumerate(turns):
        said = w.when * (asks_when and _TIME.search(turn.said) is not None) - w.asking * ("?" in turn.said)
        scores[at] += said + w.session * best[turn.session] + w.speaker * (turn.speaker == about)
    return sorted(zip(scores, turns, strict=True), key=lambda pair: -pair[0])


def _stem(word: str) -> str:
    return word[:6]  # what this misses, the vectors of words know


def _bm25(question: str, held: Sequence[Sequence[str]], corpus: Corpus, w: Weights) -> list[float]:
    """Of each turn, as a share of the best: 0 to 1."""
    asked, scores = {_stem(word): corpus.rarity(word) for word in terms(question)}, []
    mean = corpus.mean_terms or sum(map(len, held)) / max(len(held), 1)
    for words in held:
        counts, slack = Counter(each for word in words if (each := word[:6]) in asked), w.k1 * (1 - w.b + w.b * len(words) / max(mean, 1))
        scores.append(sum(rarity * counts[each] * (w.k1 + 1) / (counts[each] + slack) for each, rarity in asked.items() if each in counts))
    return [score / most for score in scores] if (most := max(scores, default=0.0)) else scores


def _covered(question: str, held: Sequence[Sequence[str]], corpus: Corpus, vectors: Vectors | None, w: Weights) -> list[float]:
    """Of each word of the question, how near the nearest word of the turn comes to it, weighed by rarity: 0 to 1."""
    import numpy as np  # only who remembers needs it: 17 MB

    asked = list(dict.fromkeys(terms(question)))
    known = {word: at for at, word in enumerate(dict.fromkeys(word for words in held for word in words))}
    if not asked or not known:
        return [0.0] * len(held)
    near = np.zeros((len(asked), len(known) + 1))  # the last is no word, which every turn holds: nothing is less near
    if vectors and (of_asked := vectors(asked)) is not None:
        likeness = of_asked @ vectors([*known]).T
        near[:, :-1] = np.where(likeness < w.alike, 0.0, likeness)
    same = {stem: [at for at, word in enumerate(asked) if _stem(word) == stem] for stem in map(_stem, asked)}
    for word, at in known.items():
        for row in same.get(word[:6], ()):
            near[row, at] = 1.0
    rarity = np.array([corpus.rarity(word) for word in asked])
    starts = np.cumsum([0, *(len(words) + 1 for words in held[:-1])])
    places = np.array([at for words in held for at in (*(known[word] for word in words), -1)])
    nearest = np.maximum.reduceat(near[:, places], starts, axis=1).T
    return [float(share) for share in nearest @ (rarity / rarity.sum())]


def _with_neighbours(scores: Sequence[float], turns: Sequence[Candidate], w: Weights) -> list[float]:
    """With `decay` of the scores one step away in the session, its square of those two away; who is missing counts 0, the mean."""
    at = {(turn.session, turn.position): score for score, turn in zip(scores, turns, strict=True)}
    steps = {step: w.decay ** abs(step) for step in range(-w.reach, w.reach + 1) if step}
    heard = [[share * at.get((turn.session, turn.position + step), 0.0) for step, share in steps.items()] for turn in turns]
    return [score + sum(each) for score, each in zip(scores, heard, strict=True)]


def _centred(values: Sequence[float | None]) -> list[float]:
    """Less their mean; what is not known counts as the mean."""
    known = [value for value in values if value is not None]
    mean = sum(known) / max(len(known), 1)
    return [0.0 if value is None else value - mean for value in values]
