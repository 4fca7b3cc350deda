"""Which questions a level does better or worse than usual: a ridge regression, in plain Python, on what can be counted in a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite, log1p, sqrt

ENOUGH = 200
"""Scored answers of a level at a task type from which on its questions are told apart."""
RIDGE = 1000.0
"""As if so many further answers had shown no difference: a few hundred say little about any one feature."""
MOST, OUTLYING, LOOKED_AT = 0.2, 3.0, 4_000
"""How far a question may move what is believed of a level; standard deviations, and characters, beyond which nothing more counts."""
_WORD, _NUMBER, _SENTENCE = re.compile(r"[^\W\d_']+"), re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?"), re.compile(r"[.!?]+(?:\s|$)")
_RELATION = re.compile(r"\b(if|than|as|times|more|less|half|twice|each|every|per|total|remaining|left|rest)\b", re.I)
"""Words that say how one quantity comes of another."""


def features(text: str) -> tuple[float, ...]:
    """How long a question is, how much there is to reckon with, how it is written: always as many numbers, in the same order."""
    text = text[:LOOKED_AT]
    words, numbers = _WORD.findall(text.lower()), _NUMBER.findall(text)
    counts = [len(text), len(numbers), len(_SENTENCE.findall(text)), len(_RELATION.findall(text))]
    counts += [sum("." in number for number in numbers), *(text.count(mark) for mark in ",/%$\n")]
    biggest = max((float(number.replace(",", "")[:15]) for number in numbers), default=0.0)
    said, length = max(len(words), 1), max(len(text), 1)
    shape = log1p(biggest), len(set(words)) / said, sum(map(len, words)) / said, sum(map(str.isupper, text)) / length
    return (*map(sqrt, counts), *shape)


def shift(leaning: Sequence[Sequence[float]], asked: Sequence[float]) -> float:
    """How much better or worse than usual a level does at a question of these features; 0 where nothing was learned of such."""
    if len(leaning) != len(asked):
        return 0.0
    moved = sum(weight * _standard(value, mean, spread) for value, (mean, spread, weight) in zip(asked, leaning, strict=True))
    return min(max(moved, -MOST), MOST) if isfinite(moved) else 0.0


def fit(answers: Sequence[tuple[str, float]]) -> list[list[float]]:
    """The leaning of a level, from its questions and their scores: of each feature mean, spread and weight. None where they are too few."""
    if len(answers) < ENOUGH:
        return []
    columns = list(zip(*(features(text) for text, _ in answers), strict=True))
    means = [sum(column) / len(column) for column in columns]
    spreads = [sqrt(sum((value - mean) ** 2 for value in column) / len(column)) for column, mean in zip(columns, means, strict=True)]
    scaled = [[_standard(each, *about) for each in column] for column, *about in zip(columns, means, spreads, strict=True)]
    usual = sum(score for _, score in answers) / len(answers)
    rows = [[*(_dot(one, other) for other in scaled), _dot(one, [score - usual for _, score in answers])] for one in scaled]
    for place, row in enumerate(rows):
        row[place] += RIDGE
    return [list(told) for told in zip(means, spreads, _solved(rows), strict=True)]


def _standard(value: float, mean: float, spread: float) -> float:
    return min(max((value - mean) / spread, -OUTLYING), OUTLYING) if spread > 0 else 0.0


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _solved(rows: list[list[float]]) -> list[float]:
    """Solve linear equations, each a row that ends in its right side, by elimination; the ridge keeps every pivot from 0."""
    for place, pivot in enumerate(rows):
        pivot[:] = [value / pivot[place] for value in pivot]
        for row in rows:
            if row is not pivot:
                row[:] = [value - row[place] * by for value, by in zip(row, pivot, strict=True)]
    return [row[-1] for row in rows]
