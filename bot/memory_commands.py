"""What `robbie memory` does: searches, brings in what was said elsewhere, makes every vector anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import App
from bot.brain.chat_files import read_chat
from bot.brain.memory import Found
from bot.brain.reactive import one_line
from bot.commands import Bar, Told, opened
from bot.domain.errors import RobbieError
from bot.domain.memory import Scope, Trust
from bot.learning.importing import Importing

SHOWN = 300
LISTED = 20
"""Broken lines that are shown; `--json` tells them all."""


async def search(app: App, queries: Iterable[str], as_person: str | None, limit: int) -> AsyncIterator[Told]:
    """For each query what answers it best of all that is a person's: they ask for it themselves, so strangers' words are among it."""
    async with opened(app, as_person) as person:
        scope, zone = Scope(user_id=person.id, trusts=tuple(Trust)), ZoneInfo(person.timezone)
        for query in queries:
            found = await app.rooms.recall.find(query, scope, limit=limit)
            yield (
                "\n".join(_line(each, zone) for each in found) or "nothing",
                {"query": query, "results": [_result(each, zone) for each in found]},
            )


def _at(found: Found, zone: ZoneInfo) -> datetime:
    return found.memory.at.astimezone(zone)


def _line(found: Found, zone: ZoneInfo) -> str:
    """As a person reads it: of a long text its beginning, and the id for `memory why` and `forget`."""
    memory = found.memory
    return f"{_at(found, zone):%Y-%m-%d %H:%M}  {memory.speaker}: {one_line(memory.text, SHOWN)}  ({memory.id})"


def _result(found: Found, zone: ZoneInfo) -> dict[str, Any]:
    """As a script reads it."""
    memory = found.memory
    which = {"id": str(memory.id), "external_id": memory.external_id, "text": memory.text}
    return which | {"at": _at(found, zone).isoformat(), "score": round(found.score, 4)}


async def bring(app: App, file: Path, as_person: str | None) -> tuple[list[str], Told]:
    """Import a file; what is to be said of its broken lines, and what came of it. Raises RobbieError where nothing can be imported."""
    try:
        data = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise RobbieError(f"{file} cannot be read: {error.strerror}") from error
    async with opened(app, as_person) as person:
        importing = Importing(database=app.database, embedder=app.rooms.recall.embedder)
        with Bar("importing") as bar:
            result = await importing.bring(person, read_chat(data, file, person.timezone), bar)
    broken = [f"line {number} was left out: {why}" for number, why in result.broken]
    if not result.added and not result.known:
        raise RobbieError(f"nothing in {file} can be imported" + (f"; {broken[0]}" if broken else ": it is empty"))
    said = f"{result.added} added, {result.known} known already, {len(broken)} left out"
    if result.without_vector and app.rooms.recall.embedder:
        said += f"; {result.without_vector} are found by their words alone until `robbie memory reindex`"
    told = asdict(result) | {"broken": [{"line": number, "why": why} for number, why in result.broken]}
    return broken, (said, told)


async def reindex(app: App, as_person: str | None) -> Told:
    """Give every memory its vector by the present model."""
    async with opened(app, as_person):
        with Bar("embedding what is remembered") as bar:
            made = await app.rooms.indexing.embed_all(bar, now=app.clock.now())
        async with app.database.reading() as work:
            memories = await work.memories.count()
        embedder = app.rooms.recall.embedder
    model = embedder.model if embedder else ""
    return f"{made} vectors made by {model}, for {memories} memories", {"made": made, "memories": memories, "model": model}
