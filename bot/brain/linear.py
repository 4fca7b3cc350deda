"""A small linear classifier of texts: fitted with numpy, asked without it, so that a hub at rest stays small."""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Self
from zlib import crc32

EPOCHS, BATCH, RATE, DECAY = 10, 256, 1.0, 3e-6
"""Chosen on a fifth of CLINC150's training data that was held back."""
_WORD = re.compile(r"[^\W_]+")
_GREATEST = 127


def words(text: str) -> list[str]:
    """The words of a text in order, as grams."""
    return [f" {word}" for word in _WORD.findall(text.casefold().replace("'", "").replace("’", ""))]


def grams(text: str) -> set[str]:
    """What a text is told by: its words, pairs of them (neighbours, and with one between), and 4 letters in a row of each word."""
    said = words(text)
    found = set(said)
    found.update(first + second for first, second in zip([" ^", *said], [*said, " $"], strict=True))
    found.update(f"{first} *{second}" for first, second in zip(said, said[2:], strict=False))
    for word in said:
        framed = f"<{word[1:]}>"
        found.update(framed[start : start + 4] for start in range(max(len(framed) - 3, 1)))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """Softmax regression over grams, each of which counts 1 / sqrt(how many a text has), known or not: what is strange lowers a score.

    `keys` are the grams' CRC-32 in order, `rows` one signed byte a gram and label, which stands for so many of the label's `scale`.
    """

    labels: tuple[str, ...]
    keys: array[int]
    rows: array[int]
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def scores(self, found: Collection[str]) -> list[float]:
        """The logit of each label for these grams. Differences of them are log-odds."""
        many = len(self.labels)
        places = filter(None, map(self._place, found))
        known = [self.rows[(place - 1) * many : place * many] for place in places]
        if not known:
            return list(self.bias)
        length = sqrt(len(found))
        sums = map(sum, zip(*known, strict=True))
        return [total * scale / length + bias for total, scale, bias in zip(sums, self.scale, self.bias, strict=True)]

    def knows(self, gram: str) -> bool:
        """Whether it was fitted on this gram."""
        return bool(self._place(gram))

    def _place(self, gram: str) -> int:
        """Where the row of a gram is, from 1; 0 where there is none."""
        key = _key(gram)
        place = bisect_left(self.keys, key)
        return place + 1 if place < len(self.keys) and self.keys[place] == key else 0

    def probabilities(self, found: Collection[str]) -> dict[str, float]:
        """How likely each label is; they add up to 1."""
        logits = self.scores(found)
        parts = [exp(logit - max(logits)) for logit in logits]
        return {label: part / sum(parts) for label, part in zip(self.labels, parts, strict=True)}

    def dump(self) -> bytes:
        """All of it, as `load` reads it: a line of JSON, then the bytes of keys and rows."""
        head = {"labels": self.labels, "scale": self.scale, "bias": self.bias, "keys": len(self.keys)}
        return json.dumps(head).encode() + b"\n" + self.keys.tobytes() + self.rows.tobytes()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What `dump` gave. Raises ValueError where it is something else."""
        line, _, rest = data.partition(b"\n")
        head = json.loads(line)
        size = head["keys"] * 4
        keys, rows = array("I", rest[:size]), array("b", rest[size:])
        if len(rows) != len(keys) * len(head["labels"]):
            raise ValueError("the weights of a classifier are cut short")
        return cls(labels=tuple(head["labels"]), keys=keys, rows=rows, scale=tuple(head["scale"]), bias=tuple(head["bias"]))


def _key(gram: str) -> int:
    return crc32(gram.encode("utf-8", "surrogatepass"))


def fit(
    examples: Sequence[Collection[str]],
    labels: Sequence[str],
    weights: Sequence[float] = (),
    least: int = 2,
    smoothing: float = 0.0,
    epochs: int = EPOCHS,
    dropout: float = 0.0,
) -> Linear:
    """Learn *labels* of *examples*, which are grams, by Adagrad (Duchi et al., 2011); a gram in fewer than *least* of them is not kept.

    So much of each label is spread over all of them, as if it might be wrong (Szegedy et al., 2016), and such a share of the grams is
    overlooked at every look, so that none is leant on alone (Srivastava et al., 2014). The same input gives the same
    classifier on the same machine.
    """
    import numpy as np  # only who fits needs it: 17 MB

    counts = Counter(key for example in examples for key in map(_key, example))
    keys = sorted(key for key, count in counts.items() if count >= least)
    place = {key: number for number, key in enumerate(keys)}
    rows = [np.array(sorted(place[key] for key in map(_key, example) if key in place), np.int64) for example in examples]
    names, number = np.unique(labels, return_inverse=True)
    truth = (np.eye(len(names)) * (1 - smoothing) + smoothing / len(names)).astype(np.float32)[number]
    values = np.array([1 / sqrt(max(len(example), 1)) for example in examples], np.float32)
    weighing = np.array(weights or [1.0] * len(labels), np.float32)
    weight, bias = np.zeros((len(keys), len(names)), np.float32), np.zeros((1, len(names)), np.float32)
    squares, bias_squares = np.full_like(weight, 1e-6), np.full_like(bias, 1e-6)
    chance = np.random.default_rng(0)
    for _ in range(epochs):
        order = chance.permutation(len(rows))
        for batch in np.split(order, range(BATCH, len(rows), BATCH)):
            used, column = np.unique(np.concatenate([rows[one] for one in batch]), return_inverse=True)
            line = np.repeat(np.arange(len(batch)), [len(rows[one]) for one in batch])
            seen = np.zeros((len(batch), len(used)), np.float32)
            kept = chance.random(len(line)) >= dropout if dropout else 1.0
            seen[line, column] = values[batch][line] * kept / (1 - dropout)
            logits = seen @ weight[used] + bias
            odds = np.exp(logits - logits.max(1, keepdims=True))
            error = (odds / odds.sum(1, keepdims=True) - truth[batch]) * (weighing[batch] / len(batch))[:, None]
            for at, value, square, slope in (
                (used, weight, squares, seen.T @ error + DECAY * weight[used]),
                (slice(None), bias, bias_squares, error.sum(0, keepdims=True)),
            ):
                square[at] += slope * slope
                value[at] -= RATE * slope / np.sqrt(square[at])
    scale = np.maximum(np.abs(weight).max(0, initial=0.0), 1e-9) / _GREATEST
    small = array("b", np.rint(weight / scale).astype(np.int8).tobytes())
    return Linear(
        labels=tuple(names.tolist()), keys=array("I", keys), rows=small, scale=tuple(scale.tolist()), bias=tuple(bias[0].tolist())
    )
