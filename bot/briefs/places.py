"""Which time zone a place has: IANA names, the cities and countries in them, and some that people name more often."""

from __future__ import annotations

import difflib
from functools import cache
from zoneinfo import available_timezones

_MORE = """
America/New_York: nyc, new york city, boston, miami, atlanta, philadelphia, washington, washington dc, orlando; America/Chicago: dallas,
houston, austin, new orleans, nashville; America/Los_Angeles: la, san francisco, sf, seattle, san diego, las vegas, portland, palo alto,
california; America/Denver: salt lake city, santa fe; America/Toronto: ottawa; America/Sao_Paulo: rio, rio de janeiro; Asia/Kolkata: delhi,
new delhi, mumbai, bangalore, bengaluru, chennai, hyderabad, pune, india; Asia/Shanghai: beijing, shenzhen, guangzhou, china; Asia/Tokyo:
osaka, kyoto, sapporo; Asia/Jerusalem: tel aviv; Asia/Dubai: abu dhabi; Asia/Makassar: bali; Asia/Bangkok: phuket, thailand, hanoi;
Africa/Johannesburg: cape town, durban; Europe/Berlin: munich, münchen, hamburg, frankfurt, cologne, köln, stuttgart, leipzig, düsseldorf,
germany; Europe/Paris: lyon, marseille, bordeaux, toulouse, cannes, france; Europe/Madrid: barcelona, valencia, seville, malaga, mallorca,
spain; Europe/Rome: milan, milano, florence, venice, naples, turin, italy; Europe/Zurich: geneva, basel, bern, davos, switzerland;
Europe/London: manchester, edinburgh, glasgow, oxford, cambridge, bristol, uk, england, scotland; Europe/Amsterdam: rotterdam, the hague,
netherlands; Europe/Lisbon: porto; Europe/Vienna: salzburg, graz, austria; Europe/Warsaw: krakow, gdansk; Europe/Moscow: st petersburg;
Europe/Athens: greece; Europe/Kyiv: kiev, lviv; Australia/Sydney: canberra; Pacific/Honolulu: hawaii, maui
"""
_UNCLEAR = {"center", "central", "east", "eastern", "general", "act", "north", "south", "west", "mountain", "pacific", "easter", "navajo"}
"""Last parts of names that people mean otherwise."""


@cache
def places() -> dict[str, str]:
    """Every place that is known, in small letters, with its zone."""
    names = sorted((name for name in available_timezones() if not name.startswith(("Etc/", "US/"))), reverse=True)
    lasts = {name.rpartition("/")[2].replace("_", " ").casefold(): name for name in names}
    found = {place: zone for place, zone in lasts.items() if place not in _UNCLEAR}
    for entry in " ".join(_MORE.split()).split("; "):
        zone, _, cities = entry.partition(": ")
        found |= dict.fromkeys(cities.split(", "), zone)
    return found | {name.casefold(): name for name in available_timezones()}


def zone_of(place: str) -> str | None:
    """The IANA name of the zone of a place; None for one that is not known."""
    return places().get(place.strip().casefold()) or places().get(" ".join(place.casefold().replace("_", " ").split()))


def nearest_place(place: str) -> str:
    """The known place that was probably meant, or ""."""
    near = difflib.get_close_matches(place.casefold(), places(), n=1, cutoff=0.75)
    return "" if not near else places()[near[0]] if "/" in near[0] else near[0].title()
