"""Says which of the known intents a text expresses, and how likely that is right; what is out of their scope is learned as one more."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import NamedTuple, Self
from zlib import crc32

from bot.brain.linear import Linear, fit, grams, words

OUT = "none"
"""The intent of what belongs to no other."""
SURE = 0.95
"""Below it nothing is answered. On CLINC150's training data, none of what is out of scope came so far when it was held back."""
MANY, STEPS = 5000, 30
"""Examples from which on the rarest grams are left out, and fewer folds do."""
LEAST_SHARE = 1 / 30
"""What is out of scope counts at least as this share of all examples."""


class Example(NamedTuple):
    """A phrase, what it means, and how much that counts."""

    text: str
    intent: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Intents:
    """A classifier, and the line that makes a probability of its score."""

    linear: Linear
    slope: float
    offset: float

    def read(self, text: str) -> tuple[str, float]:
        """The likeliest intent, and the probability that a text with such a score means just that, where every other text means nothing
        that is known: Platt's logistic line over the lead on what is out of scope.
        """
        intent, lead = _lead(self.linear, text)
        return intent, 1 / (1 + exp(-max(min(self.slope * lead + self.offset, 50.0), -50.0)))

    def knows(self, text: str) -> bool:
        """Whether it has seen each of the words."""
        return all(map(self.linear.knows, words(text)))

    def dump(self) -> bytes:
        """All of it, as `load` reads it."""
        return json.dumps([self.slope, self.offset]).encode() + b"\n" + self.linear.dump()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What `dump` gave. Raises ValueError."""
        line, _, rest = data.partition(b"\n")
        slope, offset = json.loads(line)
        return cls(linear=Linear.load(rest), slope=slope, offset=offset)


def learn(examples: Sequence[Example]) -> Intents:
    """Learn intents of examples, some of which are OUT of scope. How sure a score is comes from examples that were held back in turn."""
    leads, folds = [], 4 if len(examples) > MANY else 10
    for fold in range(folds):
        linear = _fit([one for one in examples if _fold(one, folds) != fold])
        held_back = [one for one in examples if _fold(one, folds) == fold]
        leads += [(one, *_lead(linear, one.text)) for one in held_back]
    slope, offset = _line([(lead, intent == one.intent, one.intent == OUT) for one, intent, lead in leads])
    return Intents(linear=_fit(examples), slope=slope, offset=offset)


def _fold(one: Example, folds: int) -> int:
    return crc32(one.text.encode("utf-8", "surrogatepass")) % folds


def _fit(examples: Sequence[Example]) -> Linear:
    out = sum(one.intent == OUT for one in examples)
    more = max(1.0, LEAST_SHARE * len(examples) / max(out, 1))
    weights = [one.weight * (more if one.intent == OUT else 1.0) for one in examples]
    return fit([grams(one.text) for one in examples], [one.intent for one in examples], weights, least=2 if len(examples) > MANY else 1)


def _lead(linear: Linear, text: str) -> tuple[str, float]:
    """The intent with the highest logit, and by how much it leads OUT."""
    scores = dict(zip(linear.labels, linear.scores(grams(text)), strict=True))
    out = scores.pop(OUT)
    intent = max(scores, key=scores.__getitem__)
    return intent, scores[intent] - out


def _line(seen: Sequence[tuple[float, bool, bool]]) -> tuple[float, float]:
    """Slope and offset of the log-odds that a reading is right (Platt, 1999), by Newton's method; (lead, is right, is out of scope) each.

    What is out of scope counts as much as all the rest together.
    """
    import numpy as np

    lead, right, out = (np.array(column, np.float64) for column in zip(*seen, strict=True))
    weights = np.where(out > 0, (len(out) - out.sum()) / max(out.sum(), 1), 1.0)
    x, line = np.stack([lead, np.ones_like(lead)]), np.zeros(2)
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-np.clip(line @ x, -30, 30)))
        slopes = (x * (weights * odds * (1 - odds))) @ x.T + np.eye(2)
        line = line - np.linalg.solve(slopes, x @ (weights * (odds - right)) + line)
    return float(line[0]), float(line[1])


if __name__ == "__main__":
    sys.stdout.buffer.write(learn([Example(*each) for each in json.load(sys.stdin)]).dump())
