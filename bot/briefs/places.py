"""Which time zone a place has: IANA names, the cities and countries in them, and some that people name more often."""

from __future__ import annotations

import difflib
from functools import cache
from zoneinfo import available_timezones

_MORE = """
America/New_York: nyc; new york city; boston; miami; atlanta; philadelphia; washington; washington dc; orlando; pittsburgh; charlotte
America/Chicago: dallas; houston; austin; san antonio; minneapolis; new orleans; nashville; st louis; kansas city; milwaukee
America/Los_Angeles: la; san francisco; sf; seattle; san diego; las vegas; portland; palo alto; sacramento; california; silicon valley
America/Denver: salt lake city; santa fe; albuquerque; colorado
America/Toronto: ottawa; quebec
America/Sao_Paulo: rio; rio de janeiro; brasilia
Asia/Kolkata: delhi; new delhi; mumbai; bangalore; bengaluru; chennai; hyderabad; pune; india
Asia/Shanghai: beijing; shenzhen; guangzhou; hangzhou; china
Asia/Tokyo: osaka; kyoto; nagoya; sapporo
Asia/Jerusalem: tel aviv; haifa
Asia/Dubai: abu dhabi; emirates
Asia/Makassar: bali
Asia/Bangkok: phuket; chiang mai; hanoi; thailand
Africa/Johannesburg: cape town; durban; pretoria; south africa
Europe/Berlin: munich; münchen; hamburg; frankfurt; cologne; köln; stuttgart; leipzig; dresden; düsseldorf; germany
Europe/Paris: lyon; marseille; bordeaux; toulouse; strasbourg; cannes; france
Europe/Madrid: barcelona; valencia; seville; malaga; bilbao; ibiza; mallorca; spain
Europe/Rome: milan; milano; florence; venice; naples; turin; bologna; italy
Europe/Zurich: geneva; basel; bern; lausanne; davos; switzerland
Europe/London: manchester; edinburgh; glasgow; oxford; cambridge; bristol; birmingham; leeds; liverpool; uk; england; scotland; wales
Europe/Amsterdam: rotterdam; the hague; utrecht; eindhoven; holland; netherlands
Europe/Lisbon: porto; faro
Europe/Vienna: salzburg; graz; austria
Europe/Warsaw: krakow; gdansk; wroclaw
Europe/Moscow: st petersburg; saint petersburg
Europe/Athens: crete; greece
Europe/Kyiv: kiev; lviv; odesa; ukraine
Australia/Sydney: canberra
Pacific/Honolulu: hawaii; maui
"""
_UNCLEAR = {
    "center",
    "central",
    "east",
    "eastern",
    "general",
    "act",
    "north",
    "south",
    "west",
    "mountain",
    "pacific",
    "easter",
    "navajo",
    "zulu",
}
"""Last parts of names that people mean otherwise."""


@cache
def places() -> dict[str, str]:
    """Every place that is known, in small letters, with its zone."""
    names = {name for name in available_timezones() if not name.startswith(("Etc/", "posix", "right", "SystemV", "US/"))}
    found = {name.rpartition("/")[2].replace("_", " ").casefold(): name for name in sorted(names, reverse=True)}
    found = {place: zone for place, zone in found.items() if place not in _UNCLEAR}
    for line in _MORE.strip().splitlines():
        zone, _, cities = line.partition(": ")
        found |= dict.fromkeys(cities.split("; "), zone)
    return found | {name.casefold(): name for name in available_timezones()}


def zone_of(place: str) -> str | None:
    """The IANA name of the zone of a place; None for one that is not known."""
    return places().get(" ".join(place.casefold().replace("_", " ").split())) or places().get(place.strip().casefold())


def nearest_place(place: str) -> str:
    """The known place that was probably meant, or ""."""
    near = difflib.get_close_matches(place.casefold(), places(), n=1, cutoff=0.75)
    return near[0].title().replace("_", " ") if near and "/" not in near[0] else places()[near[0]] if near else ""
