"""Which time zone a place has: IANA names, the cities and countries in them, and some that people name more often."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

_MORE: Mapping[str, Sequence[str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_UNCLEAR = {"center", "central", "east", "eastern", "general", "act", "north", "south", "west", "mountain", "pacific", "easter", "navajo"}
"""Last parts of names that people mean otherwise."""


@cache
def places() -> dict[str, str]:
    """Every place that is known, in small letters, with its zone."""
    names = sorted((name for name in available_timezones() if not name.startswith(("Etc/", "US/"))), reverse=True)
    lasts = {name.rpartition("/")[2].replace("_", " ").casefold(): name for name in names}
    found = {place: zone for place, zone in lasts.items() if place not in _UNCLEAR}
    found |= {city: zone for zone, cities in _MORE.items() for city in cities}
    return found | {name.casefold(): name for name in available_timezones()}


def zone_of(place: str) -> str | None:
    """The IANA name of the zone of a place; None for one that is not known."""
    return places().get(place.strip().casefold()) or places().get(" ".join(place.casefold().replace("_", " ").split()))


def nearest_place(place: str) -> str:
    """The known place that was probably meant, or ""."""
    near = difflib.get_close_matches(place.casefold(), places(), n=1, cutoff=0.75)
    return "" if not near else places()[near[0]] if "/" in near[0] else near[0].title()
