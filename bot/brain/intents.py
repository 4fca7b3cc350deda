"""Says which of the known intents a text expresses, and how likely that is right; what is out of their scope is learned as one more."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from typing import NamedTuple
from zlib import crc32

from bot.brain.linear import Linear, fit, grams

OUT = "none"
"""The intent of what belongs to no other."""
SURE = 0.95
"""Below it nothing is answered. On CLINC150's training data, none of what is out of scope came so far when it was held back."""
MANY, STEPS = 5000, 30
"""Examples from which on the rarest grams are left out, and fewer folds do; steps of Newton's."""
LEAST_SHARE = 1 / 30
"""What is out of scope counts at least as this share of all examples."""


class Example(NamedTuple):
    """A phrase, what it means, and how much that counts."""

    text: str
    intent: str
    weight: float = 1.0


def read(linear: Linear, text: str) -> tuple[str, float]:
    """The likeliest intent by what `learn` gave, and the probability that a text with such a lead over OUT means just that, where every
    other text is out of scope.
    """
    intent, lead = _lead(linear, text)
    return intent, 1 / (1 + exp(-max(min(lead, 50.0), -50.0)))


def learn(examples: Sequence[Example]) -> Linear:
    """Learn intents of examples, some of which are OUT of scope. How sure a lead is comes from examples that were held back in turn, and is
    put into the classifier: a lead of its logits is the log-odds of being right (Platt, 1999).
    """
    seen, folds = [], 4 if len(examples) > MANY else 10
    parts = [crc32(one.text.encode("utf-8", "surrogatepass")) % folds for one in examples]
    for fold in set(parts):
        linear = _fit([one for one, part in zip(examples, parts, strict=True) if part != fold])
        seen += [(one.intent, *_lead(linear, one.text)) for one, part in zip(examples, parts, strict=True) if part == fold]
    slope, offset = _line(seen)
    linear = _fit(examples)
    bias = [slope * bias - offset * (label == OUT) for label, bias in zip(linear.labels, linear.bias, strict=True)]
    return replace(linear, scale=tuple(slope * scale for scale in linear.scale), bias=tuple(bias))


def _fit(examples: Sequence[Example]) -> Linear:
    more = max(1.0, LEAST_SHARE * len(examples) / max(sum(one.intent == OUT for one in examples), 1))
    weights = [one.weight * (more if one.intent == OUT else 1.0) for one in examples]
    return fit([grams(one.text) for one in examples], [one.intent for one in examples], weights, least=2 if len(examples) > MANY else 1)


def _lead(linear: Linear, text: str) -> tuple[str, float]:
    """The intent with the highest logit, and by how much it leads OUT."""
    scores = dict(zip(linear.labels, linear.scores(grams(text)), strict=True))
    out = scores.pop(OUT)
    intent = max(scores, key=scores.__getitem__)
    return intent, scores[intent] - out


def _line(seen: Sequence[tuple[str, str, float]]) -> tuple[float, float]:
    """Slope and offset of the log-odds that a reading is right over its lead, by Newton's method; (intent, read as, lead) each. What is out
    of scope counts as much as all the rest together.
    """
    import numpy as np

    out = np.array([intent == OUT for intent, _, _ in seen])
    right = np.array([intent == taken for intent, taken, _ in seen])
    weights = np.where(out, (~out).sum() / max(out.sum(), 1), 1.0)
    x, line = np.array([[lead for _, _, lead in seen], [1.0] * len(seen)]), np.zeros(2)
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-np.clip(line @ x, -30, 30)))
        slopes = (x * (weights * odds * (1 - odds))) @ x.T + np.eye(2)
        line = line - np.linalg.solve(slopes, x @ (weights * (odds - right)) + line)
    return float(line[0]), float(line[1])


if __name__ == "__main__":
    sys.stdout.buffer.write(learn([Example(*each) for each in json.load(sys.stdin)]).dump())
