"""How Robbie is set, for the page's panel and for scripts: look, hear the difference, set, take back."""

from __future__ import annotations

from typing import Any
from uuid import uuid5

from aiohttp import web

from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, RIGHT, SLIDERS, Personality
from bot.brain.tone import WORDS
from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.hub.auth import visitor_of
from bot.hub.server import Problem, json_response
from bot.palace.api import json_object
from bot.palace.transcript import LONGEST_ID
from bot.services.journal import Journal
from bot.services.manners import PLACES, Manners, Standing, find_mistake, read_end, spoken_end
from storage.models.manners import PersonalitySetting

NAMES = (*SLIDERS, "mood")
SHOWN = 12
"""Changes in the history."""
WHY = "set on the web page"


class MannersApi:
    """Everything under /api/manners."""

    def __init__(self, *, manners: Manners, journal: Journal, clock: Clock) -> None:
        self._manners = manners
        self._journal = journal
        self._clock = clock
        looks = (web.get("/api/manners", self._look), web.get("/api/manners/preview", self._preview))
        self.routes = (*looks, web.post("/api/manners", self._set), web.post("/api/manners/undo", self._undo))

    async def _look(self, request: web.Request) -> web.Response:
        """What holds in each context, what may be set there, what a step means, and what was changed lately."""
        return json_response(await self._told(visitor_of(request).person))

    async def _preview(self, request: web.Request) -> web.Response:
        """The same sentence before and after; nothing is changed."""
        person, context = visitor_of(request).person, request.query.get("context", EVERYWHERE)
        changes = {name: value for name, value in request.query.items() if name != "context"}
        _check(find_mistake(person, changes, context))
        return json_response({"text": await self._manners.preview(person, changes, context=context)})

    async def _set(self, request: web.Request) -> web.Response:
        """Make the changes, once for an id."""
        person, asked = visitor_of(request).person, _parse(await request.read())
        changes, context, until, now = asked["changes"], asked["context"] or EVERYWHERE, asked["until"], self._clock.now()
        ends = read_end(until, timezone=person.timezone, now=now) if until else None
        if isinstance(ends, str):
            raise Problem(400, "bad_manners", ends)
        _check(find_mistake(person, changes, context, is_past=ends is not None and ends <= now))
        what = uuid5(person.id, ascii(asked["id"])) if asked["id"] else new_id()
        errand = Errand(person=person, key=f"web/manners/{what}", why=WHY, source_id=what)
        card = await self._manners.set(errand, changes, context=context, expires_at=ends, source="web")
        return json_response({"text": card.text, **await self._told(person)})

    async def _undo(self, request: web.Request) -> web.Response:
        """Take the last thing back that this person had done, as `/undo` does."""
        person = visitor_of(request).person
        return json_response({"text": await self._journal.undo(person), **await self._told(person)})

    async def _told(self, person: Person) -> dict[str, Any]:
        standings = {standing.context: standing for standing in await self._manners.look(person)}
        settable = {context: _settable(person, context) for context in (EVERYWHERE, *CONTEXTS)}
        history = [row for row in await self._manners.history(person, limit=4 * SHOWN) if row.name in NAMES]
        return {
            "contexts": [
                {"context": context, "said": PLACES[context], "settable": names}
                | _held(standings.get(context, standings["private"]), person)
                for context, names in settable.items()
                if names
            ],
            "sliders": [{"name": name, "left": left, "right": right, "steps": _steps(name)} for name, (left, right) in SLIDERS.items()],
            "moods": MOODS,
            "history": [_entry(row, person) for row in history[:SHOWN]],
        }


def _settable(person: Person, context: str) -> list[str]:
    some = {name: str(LEFT + 1) for name in SLIDERS} | {"mood": MOODS[0]}
    return [name for name in NAMES if not find_mistake(person, {name: some[name]}, context)]


def _held(standing: Standing, person: Person) -> dict[str, Any]:
    until = {name: spoken_end(moment, person) for name, moment in standing.until.items()}
    return {"values": {name: getattr(standing.personality, name) for name in NAMES}, "until": until}


def _steps(name: str) -> list[str]:
    """What each step of a slider means: in figures, or the word for a tone."""
    if not FIGURES[name]:
        return [[word for begins, word, _ in WORDS["tone"] if begins <= step][-1] for step in range(LEFT, RIGHT + 1)]
    values: list[dict[str, Any]] = [{name: step} for step in range(LEFT, RIGHT + 1)]
    steps = [Personality(**each) for each in values]
    return [", ".join(f"{getattr(step, figure)} {label}" for figure, label in FIGURES[name].items()) for step in steps]


def _entry(row: PersonalitySetting, person: Person) -> dict[str, Any]:
    name = "Mood" if row.name == "mood" else "–".join(SLIDERS[row.name])
    until = f", until {spoken_end(row.expires_at, person)}" if row.expires_at else ""
    text = f"{name} {row.value}, {PLACES.get(row.context, row.context)}{until}"
    return {"at": row.at.isoformat(), "text": text, "source": row.source, "is_void": row.void_at is not None}


def _parse(body: bytes) -> dict[str, Any]:
    """What is to be set. Raises Problem for anything but a JSON object of the right fields."""
    asked = json_object(body)
    changes = asked.get("changes") if isinstance(asked.get("changes"), dict) else {}
    if not changes or not all(isinstance(value, str) and 0 < len(value) < 33 for value in changes.values()):
        raise Problem(400, "bad_request", '"changes" must be an object of what is to be set, such as {"gandhi": "3", "mood": "calm"}')
    words = {name: asked.get(name) or "" for name in ("id", "context", "until")}
    if not all(isinstance(word, str) and len(word) <= LONGEST_ID for word in words.values()):
        raise Problem(400, "bad_request", f'"id", "context" and "until" must be strings of up to {LONGEST_ID} characters')
    return {"changes": changes, **words}


def _check(mistake: str) -> None:
    if mistake:
        raise Problem(400, "bad_manners", mistake)
