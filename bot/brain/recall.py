"""Which remembered turns answer a question: pure, from candidates that either database found; no model but word and sentence vectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMMON = frozenset(
    """i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its itself they
    them their theirs themselves what which who whom this that these those am is are was were be been being have has had having do does did
    doing a an the and but if or because as until while of at by for with about against between into through during before after above below
    to from up down in out on off over under again further then once here there when where why how all any both each few more most other some
    such no nor not only own same so than too very s t can will just don should now""".split()
)
"""The words that PostgreSQL's `english` leaves out; SQLite's question leaves them out as well, which its FTS5 would not."""
_WHEN = re.compile(r"\A\W*when\b|\bhow long\b|\bwhat (?:date|year|month|day)\b", re.I)
_TIME = re.compile(
    r"\b(?:yesterday|today|tomorrow|tonight|last|next|ago|(?:week|month|year)s?|weekend|recently|since|morning|evening|soon|few days|\d{4}"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october|november|december)\b",
    re.I,
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What counts how much, where a turn's cosine (of unit vectors, less the candidates' mean) counts 1. All but the two of BM25 were
    tuned on three conversations, each judged by the other two, and rounded (docs/decisions/0012-recall.md)."""

    lexical: float = 0.3  # BM25 as a share of the best candidate's
    covered: float = 0.75  # the share of the question, weighed by rarity, whose words or their like stand in the turn
    alike: float = 0.4  # the least cosine of two words' vectors that makes them alike
    decay: float = 0.3  # of a score, with each step to a neighbour
    reach: int = 2  # steps to the furthest neighbour that is heard
    session: float = 0.5  # of the best score in a turn's session, added to each of its turns
    when: float = 0.15  # for words of time where the question asks when
    asking: float = 0.1  # taken from a turn that asks, since answers are looked for
    speaker: float = 0.4  # for what the one person said who is named in the question
    k1: float = 0.9  # BM25's saturation and length, as Anserini sets them (Yang, Fang, Lin 2017): chat's turns are short
    b: float = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A turn that may answer: `position` counts within its session; `cosine` is with the question, None without a vector."""

    key: str
    said: str
    speaker: str
    session: str
    position: int
    on: date
    cosine: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Of all the turns that might have been found: their number, their mean length in `terms`, and how many hold
    each of the question's `terms`, by the stemmer of the database."""

    turns: int
    mean_terms: float
    holding: Mapping[str, int]

    def rarity(self, word: str) -> float:
        """BM25's inverse document frequency, in Lucene's form, which is never negative."""
        held = min(self.holding.get(word, 0), self.turns)
        return log(1 + (self.turns - held + 0.5) / (held + 0.5))


Vectors = Callable[[Sequence[str]], "NDArray[Any]"]
"""Words to their unit vectors, (words, dimensions)."""


def terms(text: str) -> list[str]:
    """The words of a text that say something, in lower case and in their order."""
    return [word for word in _WORD.findall(text.lower()) if word not in COMMON]


def searched(turn: Candidate) -> str:
    """The text by which a turn is found: who said it, what, and on which day."""
    return f"{turn.speaker}: {turn.said} {turn.on.day} {turn.on:%B %Y}"


def stem(word: str) -> str:
    """The first six letters, roughly a stem: what endings this misses, the words' vectors know."""
    return word[:6]


def rank(
    question: str, turns: Sequence[Candidate], corpus: Corpus, *, vectors: Vectors | None = None, weights: Weights | None = None
) -> list[tuple[float, Candidate]]:
    """The candidates, best first, with their scores, which compare only within one question.

    Candidates are what the database found by words and by vectors, with the neighbours of these within `reach`.
    """
    import numpy as np  # only who remembers needs it: 17 MB

    if not turns:
        return []
    w = weights or Weights()
    held = [terms(searched(turn)) for turn in turns]
    score = w.lexical * _bm25(question, held, corpus, w) + w.covered * _centred(_covered(question, held, corpus, vectors, w))
    score += _centred(np.array([turn.cosine or 0.0 for turn in turns]))
    score = _with_session(_with_neighbours(score, turns, w), turns, w)
    score += w.when * np.array([bool(_WHEN.search(question) and _TIME.search(turn.said)) for turn in turns])
    score -= w.asking * np.array(["?" in turn.said for turn in turns])
    about = named(question, [turn.speaker for turn in turns])
    score += w.speaker * np.array([turn.speaker == about for turn in turns])
    return [(float(score[at]), turns[at]) for at in np.argsort(-score, kind="stable")]


def named(question: str, speakers: Iterable[str]) -> str | None:
    """The one of the speakers whose first name stands in the question; None where it is nobody, or more than one."""
    words = set(_WORD.findall(question.lower()))
    found = [each for each in set(speakers) if words & set(_WORD.findall(each.lower())[:1])]
    return found[0] if len(found) == 1 else None


def _bm25(question: str, held: Sequence[Sequence[str]], corpus: Corpus, w: Weights) -> NDArray[Any]:
    """BM25 as a share of the best."""
    import numpy as np

    asked = {stem(word): corpus.rarity(word) for word in terms(question)}
    score = np.zeros(len(held))
    for at, words in enumerate(held):
        counts = Counter(map(stem, words))
        slack = w.k1 * (1 - w.b + w.b * len(words) / max(corpus.mean_terms, 1))
        score[at] = sum(rarity * counts[each] * (w.k1 + 1) / (counts[each] + slack) for each, rarity in asked.items())
    return score / max(score.max(), 1e-9)


def _covered(question: str, held: Sequence[Sequence[str]], corpus: Corpus, vectors: Vectors | None, w: Weights) -> NDArray[Any]:
    """Soft coverage: of each of the question's words, how near the nearest word of the turn comes to it, weighed by rarity; 0 to 1."""
    import numpy as np

    asked = list(dict.fromkeys(terms(question)))
    known = {word: at for at, word in enumerate(dict.fromkeys(word for words in held for word in words))}
    if not asked or not known:
        return np.zeros(len(held))
    near = vectors(asked) @ vectors(list(known)).T if vectors else np.zeros((len(asked), len(known)))
    stems = np.array([stem(word) for word in known])
    near = np.where(stems == np.array([[stem(word)] for word in asked]), 1.0, np.where(near < w.alike, 0.0, near))
    rarity = np.array([corpus.rarity(word) for word in asked])
    best = np.stack([near[:, [known[word] for word in words]].max(1, initial=0.0) for words in held], 1)
    return rarity @ best / max(rarity.sum(), 1e-9)


def _with_neighbours(score: NDArray[Any], turns: Sequence[Candidate], w: Weights) -> NDArray[Any]:
    """Each score with `decay` of those one step away in its session, `decay` squared of those two away; who is not there counts 0, the mean."""
    import numpy as np

    place = {(turn.session, turn.position): at for at, turn in enumerate(turns)}
    padded, whole = np.append(score, 0.0), score.copy()
    for step in (*range(-w.reach, 0), *range(1, w.reach + 1)):
        whole += w.decay ** abs(step) * padded[[place.get((turn.session, turn.position + step), -1) for turn in turns]]
    return whole


def _with_session(score: NDArray[Any], turns: Sequence[Candidate], w: Weights) -> NDArray[Any]:
    import numpy as np

    best: dict[str, float] = {}
    for value, turn in zip(score, turns, strict=True):
        best[turn.session] = max(float(value), best.get(turn.session, -np.inf))
    return score + w.session * np.array([best[turn.session] for turn in turns])


def _centred(values: NDArray[Any]) -> NDArray[Any]:
    return values - values.mean()
