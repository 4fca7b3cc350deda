"""Says what sort of work a question is: a small classifier, trained beforehand (docs/task-types.md); only long context is counted."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from bot.brain.linear import Linear
from bot.domain.thought import Prompt, TaskType, estimate_tokens

WEIGHTS = Path(__file__).with_name("task_types.bin")
LONG_CONTEXT_TOKENS = 16_000
LOOKED_AT = 600
"""Characters, at each end of a question, by which it is told: what is wanted stands there, and a megabyte must not hold anyone up."""
_END_WORDS = 12
_WORD = re.compile(r"[^\W\d_]+|\d+")
_DIGIT = re.compile(r"\d")
_SIGNS = re.compile(r"[{}()\[\];=<>\\/_#|&*+:$`]")
_CODE_LINE = re.compile(
    r"[;{}):][ \t]*$|^[ \t]*(?:def|class|import|from|return|const|let|var|func|public|#include|@)\b|^(?: {4}|\t)\S", re.MULTILINE
)
_NAME = re.compile(r"\w_\w|[a-z][A-Z]|\w\(\)|\w\.\w+\(|--\w")


def classify(prompt: Prompt) -> tuple[TaskType, float]:
    """The task type of a prompt's question, and how likely that is right."""
    return (TaskType.LONG_CONTEXT, 1.0) if prompt.tokens() > LONG_CONTEXT_TOKENS else _learned(prompt.lines[-1].text)


def classify_text(text: str) -> tuple[TaskType, float]:
    """The same of a text alone."""
    return (TaskType.LONG_CONTEXT, 1.0) if estimate_tokens(text) > LONG_CONTEXT_TOKENS else _learned(text)


def _learned(text: str) -> tuple[TaskType, float]:
    """The likeliest of the types that are learned, with a probability that was fitted on sources which it had not been trained on."""
    likely = _weights().probabilities(features(text))
    best = max(likely, key=lambda label: likely[label])
    return TaskType(best), likely[best]


@cache
def _weights() -> Linear:
    return Linear.load(WEIGHTS.read_bytes())


def features(text: str) -> set[str]:
    """What a task type is told by: words and pairs of them, which of them come first and last, and how the text looks."""
    seen = text if len(text) <= 2 * LOOKED_AT else f"{text[:LOOKED_AT]}\n{text[-LOOKED_AT:]}"
    words = [word for run in _WORD.findall(seen.casefold()) for word in _parts(run)]
    found = {*map(" {}".format, words), *map(" {} {}".format, ["^", *words], words)} | _looks(seen, len(text), len(words))
    found.update(f"^{word}" for word in words[:_END_WORDS])
    found.update(f"{word}$" for word in words[_END_WORDS:][-_END_WORDS:])
    return found


def _parts(word: str) -> list[str]:
    """A word as it is told by: numbers by their length; where no spaces part words, as in Chinese, every two signs."""
    if word.isdigit():
        return ["0" * min(len(word), 4)]
    return [word[start : start + 2] for start in range(max(len(word) - 1, 1))] if ord(word[0]) > 0x2E7F else [word]


def _looks(seen: str, length: int, words: int) -> set[str]:
    """How it looks, in steps: its length, its lines, and how many signs, numbers, lines of code and names of code it has."""
    counts = {
        "length": length // 8,
        "lines": seen.count("\n"),
        "signs": 100 * len(_SIGNS.findall(seen)) // (len(seen) + 1),
        "numbers": 20 * len(_DIGIT.findall(seen)) // (words + 1),
        "code": len(_CODE_LINE.findall(seen)),
        "names": len(_NAME.findall(seen)),
        "fences": seen.count("```"),
        "asked": seen.count("?"),
    }
    ends = {f"ends {seen.rstrip()[-1:]}", f"few {words}" if words < 8 else "many"}
    return ends | {f"{name} >{step}" for name, count in counts.items() for step in range(count.bit_length() + 1)}
