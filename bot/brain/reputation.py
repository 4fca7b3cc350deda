"""What is thought of a level before it has answered: by its vendor, and by the size that its model's name tells."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from bot.brain.call import Rung
from bot.brain.pricing import Prices
from bot.domain.thought import TaskType, Usage

_PRIORS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("priors.toml").read_text("utf-8"))
STRENGTH = float(_PRIORS["strength"])
_SIZE = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.I)  # 8 billion of llama3.1:8b, 56 of 8x7b, 0.135 of 135m
_USUAL = Usage(input_tokens=1000, output_tokens=400)  # of a turn, for the price of a level that has not cost anything yet
_UNKNOWN: Mapping[str, float] = dict.fromkeys(TaskType, 0.6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A level as the router sees it: tokens that it can be shown, and by repute its worth at each task type, seconds and dollars."""

    name: str
    room: int
    worth: Mapping[str, float]
    seconds: float = 0.0
    usd: float = 0.0


def levels_of(rungs: Sequence[Rung], prices: Prices) -> tuple[Level, ...]:
    """The levels, in config's order. One of which nothing is known has the repute of its neighbour, and so keeps its place beside it."""
    first = {rung.level: rung for rung in reversed(rungs)}
    levels = [_level(first[name], prices) for name in dict.fromkeys(rung.level for rung in rungs)]
    known = next((level for level in levels if level.worth is not _UNKNOWN), Level(name="", room=0, worth=_UNKNOWN))
    for place, level in enumerate(levels):
        known = known if level.worth is _UNKNOWN else level
        levels[place] = replace(known, name=level.name, room=level.room)
    return tuple(levels)


def _level(rung: Rung, prices: Prices) -> Level:
    provider, model = rung.provider.provider, rung.provider.model
    room = rung.context - min(rung.max_output_tokens, rung.context // 2)
    size = _SIZE.search(model)
    billions = float(size[1] or 1) * float(size[2]) / (1000 if size[3] in "mM" else 1) if size else inf
    for kind in _PRIORS["kinds"]:
        if re.search(kind.get("match", ""), f"{provider}/{model}", re.I) and ("below" not in kind or billions < kind["below"]):
            worth = dict(zip(_PRIORS["columns"], kind["values"], strict=True))
            usd = prices.cost_usd(provider, model, _USUAL, level=rung.level)
            return Level(name=rung.level, room=room, worth=worth, seconds=worth["seconds"], usd=usd)
    return Level(name=rung.level, room=room, worth=_UNKNOWN)
