"""Everything that Robbie holds about a person, as a file, and where one thing that he remembers came from. Neither holds a secret."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.errors import ToolFailed
from bot.domain.memory import Trust
from bot.services.aims import Aim, read_aim
from bot.services.tracing import beginning, every, trace
from storage.database import Database
from storage.repositories.base import FIRST_ID, values_of
from storage.repositories.forgetting import BATCH, EVERY, SHELVES

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
            total, hidden = await work.forgettings.count(person.id), await work.forgettings.hidden(person.id)
            known = await work.people.identities()
        mine = [{"channel": each.channel, "account": each.account} for each in known if each.user_id == person.id]
        about = _spelt({**{name: getattr(person, name) for name in ("name", "role", "timezone")}, "accounts": mine})
        begin, heading, between, end = _FRAMES[path.suffix]
        try:
            with open(part, "w", encoding="utf-8", errors="replace", opener=_private) as file:  # noqa: ASYNC230  nothing else waits
                file.write(begin.format(name=person.name, about=about))
                for shelf in ("memories",) if path.suffix == ".jsonl" else EVERY:
                    file.write(heading.format(shelf=shelf, title=shelf.capitalize()))
                    before = ""
                    async for _, row in every(self.database, [shelf], person.id):
                        if getattr(row, EVERY[shelf].key) not in hidden and (line := _PENS[path.suffix](shelf, row)):
                            file.write(before + line)
                            before, done = between, done + 1
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
        named = await beginning(self.database, person.id, aim.begins)
        found = await trace(self.database, person.id, Aim(ids=frozenset([named]), order=FIRST_ID))
        own: dict[str, Any] = {}
        came: list[dict[str, Any]] = []
        for shelf, start in [(shelf, start) for shelf, ids in found.rows.items() for start in range(0, len(ids), BATCH)]:
            async with self.database.reading() as work:
                rows = await work.forgettings.by_ids(shelf, found.rows[shelf][start : start + BATCH])
            for row in rows:
                if row.id == named:
                    own = {"kind": shelf, **_document(shelf, row)}
                elif not (shelf == "memories" and row.message_id):
                    came.append({"kind": shelf, "id": row.id, "at": getattr(row, SHELVES[shelf].at), "text": SHELVES[shelf].said(row)})
        return {**own, "came_of_it": came}


def _document(shelf: str, row: Any) -> dict[str, Any]:
    """A row for a program; of a memory, also what an import wants."""
    told = {name: value for name, value in values_of(row).items() if name not in LEFT_OUT}
    return told | ({"conversation": row.thread, "text": row.text} if shelf == "memories" else {})


def _json(shelf: str, row: Any) -> str:
    return _spelt(_document(shelf, row))


def _saying(shelf: str, row: Any) -> str:
    """A line for an import; none of what must not become its person's own word by that, nor be told again."""
    if row.trust in (Trust.OUTSIDE, Trust.INTIMATE) or row.corrected_by is not None:
        return ""
    part = f"/{row.part}" if row.part else ""  # each line is known by its id
    told = {"external_id": row.external_id + part, "conversation": row.thread.removeprefix("import/")}
    return _spelt({**told, "speaker": row.speaker, "text": row.text, "at": row.at}) + "\n"


def _line(shelf: str, row: Any) -> str:
    """Its words, in a list; of a row without any what there is of it."""
    who = f"{row.speaker}: " if shelf == "memories" else "Robbie: " if getattr(row, "direction", "") == "out" else ""
    said = EVERY[shelf].said(row) if EVERY[shelf].words else _json(shelf, row)
    return f"- {getattr(row, EVERY[shelf].at):%Y-%m-%d %H:%M} {who}{one_line(said, 10**6)}\n"


def _spelt(told: Mapping[str, Any]) -> str:
    return json.dumps(told, default=lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value), ensure_ascii=False)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


_PENS: Mapping[str, Callable[[str, Any], str]] = {".json": _json, ".jsonl": _saying, ".md": _line}
_FRAMES = {
    ".json": ('{{"about": [\n{about}', '\n],\n"{shelf}": [\n', ",\n", "\n]}\n"),
    ".jsonl": ("", "", "", ""),
    ".md": ("# What Robbie holds about {name}\n\n{about}\n", "\n## {title}\n\n", "", ""),
}
"""Of a kind of file what stands at its beginning, above a shelf, between two rows, and at its end."""
