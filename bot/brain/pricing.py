"""What a call costs, from the one dated price file beside this module."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self

from bot.domain.thought import Usage

_FILE = Path(__file__).with_name("prices.toml")
_MILLION = 1_000_000
# What a vendor appends to a model's name without changing its price: a date, or a word for "the newest".
_SAME_MODEL = re.compile(r"^[-@](\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|latest|chat-latest)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """US dollars per million tokens."""

    input: float
    output: float

    def cost(self, usage: Usage) -> float:
        """What *usage* costs at this rate, in US dollars."""
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / _MILLION


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """A model's rate, and the one that holds for the whole request when its input is longer than `above` tokens."""

    rate: Rate
    long: Rate | None = None
    above: int = 0

    def cost(self, usage: Usage) -> float:
        """What *usage* costs, in US dollars."""
        return (self.long if self.long and usage.input_tokens > self.above else self.rate).cost(usage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Every price that is known, as of a day; what is not known is reckoned at the dearest that its vendor asks, never as free.

    `own` are the prices that the owner gives to levels, by their names: the same model may cost something else elsewhere.
    """

    as_of: date
    free: frozenset[str]
    tables: Mapping[str, Mapping[str, Price]]
    own: Mapping[str, Rate] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path = _FILE) -> Self:
        """The prices of *path*; the file that is shipped, where none is named."""
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        as_of, free = told.pop("as_of"), frozenset(told.pop("free"))
        tables = {vendor: {model: _price(entry) for model, entry in table.items()} for vendor, table in told.items()}
        return cls(as_of=as_of, free=free, tables=tables)

    def known(self, provider: str, model: str, *, level: str) -> bool:
        """Whether the price of *model* on this level is known, rather than reckoned."""
        return level in self.own or provider in self.free or self._find(provider, model) is not None

    def cost_usd(self, provider: str, model: str, usage: Usage, *, level: str) -> float:
        """What *usage* of *model* on this level costs, in US dollars."""
        if level in self.own:
            return self.own[level].cost(usage)
        if provider in self.free:
            return 0.0
        return (self._find(provider, model) or self._dearest(provider)).cost(usage)

    def _find(self, provider: str, model: str) -> Price | None:
        """The price of *model* itself, else of the longest listed name that it is a dated form of."""
        table = self.tables.get(provider, {})
        if model in table:
            return table[model]
        names = (name for name in table if model.startswith(name) and _SAME_MODEL.match(model[len(name) :]))
        return table.get(max(names, key=len, default=""))

    def _dearest(self, provider: str) -> Rate:
        """The highest input and the highest output rate of *provider*'s table, or of all tables."""
        tables = [self.tables[provider]] if provider in self.tables else self.tables.values()
        rates = [rate for table in tables for price in table.values() for rate in (price.rate, price.long) if rate]
        return Rate(input=max(rate.input for rate in rates), output=max(rate.output for rate in rates))


def _price(entry: Mapping[str, Any]) -> Price:
    rate, long = Rate(input=entry["input"], output=entry["output"]), entry.get("long")
    return Price(rate=rate, long=long and Rate(input=long["input"], output=long["output"]), above=long["above"] if long else 0)
