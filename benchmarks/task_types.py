"""How often the sort of a question is told right, on prompts which nothing was trained on, and how long that takes.

The data are files of JSON lines (.jsonl). A line has `text` and `label` (quick, complex, code, creative), or is a
question of MT-bench, `category` and `turns`, whose categories are taken as CATEGORIES says and whose first turn is asked. Beside this
file lie two sets of our own: `prompts_seen.jsonl`, by which the classifier was mended, and `prompts_blind.jsonl`, by which it was not.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.figure import Figure, p50, progress
from bot.brain.task_type import WEIGHTS, classify_text

CATEGORIES = {"writing": "creative", "roleplay": "creative", "coding": "code"} | dict.fromkeys(
    ("reasoning", "math", "stem", "humanities"), "complex"
)
"""MT-bench's `extraction` is left out: by our words it is quick, by its own makers' none of these."""
BARS = {"code": 0.90, "creative": 0.85}
MACRO_BAR, LONGEST_MS, MOST_BYTES = 0.75, 1.0, 5_000_000
_CODE = re.compile(r"```|\b(?:def|class|import|function|const|SELECT .{1,80} FROM|Traceback|#include)\b.{0,80}[(:;{]", re.DOTALL)
_CREATIVE = re.compile(
    r"\b(write|compose|invent|imagine)\b.{0,40}\b(poem|story|song|lyrics|haiku|slogan|limerick|tale|sonnet)\b", re.I | re.DOTALL
)
_REASONING = re.compile(r"\b(why|explain|compare|prove|analy[sz]e|plan|strategy|trade-?offs?|step by step|pros and cons)\b", re.I)


async def told_right(_: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """F1 of each type and their mean, beside that of the plain rules which were there before; milliseconds; the size of the weights."""
    yield Figure(name="task_types_bytes", value=WEIGHTS.stat().st_size, unit="B", bar="< 5 MB", ok=WEIGHTS.stat().st_size < MOST_BYTES)
    if not (paths := [path for path in data if path.suffix == ".jsonl"]):
        progress("task_types: how often it is right was skipped; it needs --data FILE: JSON lines of prompts with their types")
        return
    asked = [pair for path in paths for pair in prompts(path)]
    texts, truth = [text for text, _ in asked], [label for _, label in asked]
    scores, plain = f1(truth, [classify_text(text)[0].value for text in texts]), f1(truth, [_plain(text) for text in texts])
    mean, before = (sum(each.values()) / len(each) for each in (scores, plain))
    yield Figure(
        name="task_types_macro_f1",
        value=mean,
        unit="F1",
        bar=f">= {MACRO_BAR}",
        ok=mean >= MACRO_BAR,
        yardstick={"prompts": len(asked), "rules": before},
    )
    for label, score in scores.items():
        bar = BARS.get(label, 0.0)
        yield Figure(
            name=f"task_types_{label}_f1", value=score, unit="F1", bar=f">= {bar}", ok=score >= bar, yardstick={"rules": plain[label]}
        )
    took, hashing = p50([_best(classify_text, text) for text in texts]), p50([_best(_hashed, text) for text in texts])
    yield Figure(
        name="task_types_ms",
        value=took,
        unit="ms",
        bar=f"<= {LONGEST_MS}",
        ok=took <= LONGEST_MS,
        yardstick={"sha256_ms": hashing, "slowest_ms": max(_best(classify_text, text) for text in texts)},
        ratio=took / hashing,
    )


def f1(truth: Sequence[str], told: Sequence[str]) -> dict[str, float]:
    """The F1 of each label that is true of something."""
    scores = {}
    for label in sorted(set(truth)):
        hits = sum(a == b == label for a, b in zip(truth, told, strict=True))
        scores[label] = 2 * hits / (truth.count(label) + told.count(label))
    return scores


def prompts(path: Path) -> Iterator[tuple[str, str]]:
    """The prompts of a file with their types."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "label" in row:
            yield row["text"], row["label"]
        elif row["category"] in CATEGORIES:
            yield row["turns"][0], CATEGORIES[row["category"]]


def _plain(text: str) -> str:
    """What plain rules would say, as they stood before there was a classifier."""
    if _CODE.search(text):
        return "code"
    if _CREATIVE.search(text):
        return "creative"
    return "complex" if len(text) > 420 or _REASONING.search(text) else "quick"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _best(work: Callable[[str], object], text: str) -> float:
    """Milliseconds, the least of three: what else the machine does is not counted."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        work(text)
        took.append((time.perf_counter() - began) * 1000)
    return min(took)
