"""Everything that Robbie holds about a person, as a file, and where one thing that he remembers came from. Neither holds a secret."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.errors import ToolFailed
from bot.services.aims import read_aim
from bot.services.tracing import every, trace
from storage.database import Database
from storage.repositories.base import FIRST_ID, values_of
from storage.repositories.forgetting import EVERY, SHELVES

KINDS = (".json", ".jsonl", ".md")
"""Everything, for a program; what was said, as `memory import` reads it; everything, for a person."""
LEFT_OUT = ("organization_id", "user_id", "packed", "said", "number", "undo", "key", "digest")
"""Of a row what only a database can use."""

Told = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dossier:
    """Tells a person what is held about them."""

    database: Database

    async def write(self, person: Person, path: Path, told: Told = lambda done, total: None) -> int:
        """Write everything to a new file that only its owner can read, a row at a time; how many rows. What is being forgotten is left out.

        Raises ToolFailed where the name does not say which kind (KINDS), StorageUnavailable, OSError.
        """
        if path.suffix not in KINDS:
            raise ToolFailed(f"Name the file .json, .jsonl (what was said, for `robbie memory import`) or .md, not {path.name}")
        part, done = path.with_name(f"{path.name}.part"), 0
        async with self.database.reading() as work:
            total = await work.forgettings.count(person.id)
        try:
            with open(part, "w", encoding="utf-8", errors="replace", opener=_private) as file:  # noqa: ASYNC230  nothing else waits
                begin, one, end = _PENS[path.suffix]
                file.write(begin(await self._about(person)))
                async for shelf, row, is_first in self._rows(person, only="memories" if path.suffix == ".jsonl" else ""):
                    one(file, shelf, row, is_first)
                    done += row is not None
                    told(done, max(total, done + 1))
                file.write(end)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        told(done, done)
        return done

    async def why(self, person: Person, which: str) -> dict[str, Any]:
        """What the memory, message or note of this id is, and what came of it. Raises ToolFailed, StorageUnavailable."""
        aim = read_aim(which, now=datetime.now(UTC), order=FIRST_ID)
        if not aim.begins:
            raise ToolFailed(f"“{which[:60]}” is no id: that is 32 hexadecimal digits, or the first 8 of them")
        found = await trace(self.database, person.id, aim)
        ids = [each for which_rows in found.rows.values() for each in which_rows if each.hex.startswith(aim.begins)]
        if len(ids) != 1:
            several = ", ".join(str(each) for each in ids[:5])
            raise ToolFailed(f"several begin so: {several}" if ids else "nothing of yours has that id")
        return await self._told(person, ids[0], (await trace(self.database, person.id, replace(aim, begins="", ids=frozenset(ids)))).rows)

    async def _told(self, person: Person, which: UUID, rows: Mapping[str, list[UUID]]) -> dict[str, Any]:
        """The thing itself, and each thing that came of it."""
        own: dict[str, Any] = {}
        came: list[dict[str, Any]] = []
        for shelf, ids in rows.items():
            async for row in every(self.database, shelf, person.id):
                if row.id == which:
                    own = {"kind": shelf, **_document(shelf, row)}
                elif row.id in ids and not (shelf == "memories" and row.message_id):
                    came.append({"kind": shelf, "id": row.id, "at": getattr(row, SHELVES[shelf].at), "text": SHELVES[shelf].said(row)})
        return {**own, "came_of_it": came}

    async def _about(self, person: Person) -> dict[str, Any]:
        async with self.database.reading() as work:
            accounts = [
                {"channel": each.channel, "account": each.account} for each in await work.people.identities() if each.user_id == person.id
            ]
        return {"name": person.name, "role": person.role, "timezone": person.timezone, "accounts": accounts}

    async def _rows(self, person: Person, *, only: str) -> AsyncIterator[tuple[str, Any, bool]]:
        """Every row by its shelf, and whether it is the first there; of a shelf without any, None."""
        async with self.database.reading() as work:
            hidden = await work.forgettings.hidden(person.id, but_by=FIRST_ID)
        for shelf in [only] if only else EVERY:
            is_first = True
            async for row in every(self.database, shelf, person.id):
                if getattr(row, EVERY[shelf].key) not in hidden:
                    yield shelf, row, is_first
                    is_first = False
            if is_first:
                yield shelf, None, True


def _document(shelf: str, row: Any) -> dict[str, Any]:
    """A row for a program; of a memory, also what an import wants."""
    told = {name: value for name, value in values_of(row).items() if name not in LEFT_OUT}
    if shelf == "memories":
        told |= {"conversation": row.thread, "text": row.text}
    return told


def _json(file: TextIO, shelf: str, row: Any, is_first: bool) -> None:
    if is_first:
        file.write(f'\n],\n"{shelf}": [\n')
    if row is not None:
        file.write((",\n" if not is_first else "") + json.dumps(_document(shelf, row), default=_spelt, ensure_ascii=False))


def _saying(file: TextIO, shelf: str, row: Any, is_first: bool) -> None:
    if row is not None:
        told = {name: getattr(row, name) for name in ("external_id", "speaker", "text", "at")} | {"conversation": row.thread}
        file.write(json.dumps(told, default=_spelt, ensure_ascii=False) + "\n")


def _line(file: TextIO, shelf: str, row: Any, is_first: bool) -> None:
    if is_first:
        file.write(f"\n## {shelf.capitalize()}\n\n")
    if row is not None:
        who = {"in": "", "out": "Robbie: "}.get(getattr(row, "direction", ""), "")
        file.write(f"- {getattr(row, EVERY[shelf].at):%Y-%m-%d %H:%M} {who}{one_line(EVERY[shelf].said(row), 10**6)}\n")


_Pen = tuple[Callable[[Mapping[str, Any]], str], Callable[[TextIO, str, Any, bool], None], str]
_PENS: Mapping[str, _Pen] = {
    ".json": (lambda about: '{"about": [\n' + json.dumps(about, ensure_ascii=False), _json, "\n]}\n"),
    ".jsonl": (lambda about: "", _saying, ""),
    ".md": (lambda about: f"# What Robbie holds about {about['name']}\n\n{json.dumps(about, ensure_ascii=False)}\n", _line, ""),
}


def _spelt(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
