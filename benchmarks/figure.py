"""One measured figure, as one JSON line; ratios to a yardstick that was timed in the same run, since machines differ."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What was measured. `bar` is what it must reach, in words; `ok` whether it does; `ratio` compares it with its yardstick."""

    name: str
    value: float
    unit: str
    bar: str
    ok: bool
    yardstick: dict[str, Any] = field(default_factory=dict)
    ratio: float | None = None

    def show(self) -> None:
        """One line on stdout."""
        print(json.dumps({key: _rounded(value) for key, value in asdict(self).items()}), flush=True)


def progress(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def p50(samples: Sequence[float]) -> float:
    """The median."""
    return statistics.median(samples)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value
