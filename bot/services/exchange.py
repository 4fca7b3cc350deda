"""Brings a person's tasks, contacts, deals and notes in from a file, without doubling any, and gives them out as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import LONGEST, folded
from bot.services.approvals import make_code
from bot.services.contacts import EMAIL
from bot.services.dates import When, find_when
from bot.services.deals import LIKELY, parse_deal
from bot.services.interchange import ALIASES, Record, decoded, read_csv, read_vcards, write_csv, write_vcards
from bot.services.journal import record
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Stage, Task, TaskState
from storage.models.memory import StickyNote

BATCH = 200
"""Records kept in one act."""
YEARS = 50
"""What is due later was mistyped."""
DONE = ("done", "completed", "complete", "closed", "x", "yes", "true", "1")
ROWS: Mapping[str, type[Any]] = {"task": Task, "contact": Contact, "deal": Deal, "note": StickyNote}


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of a file: how many were added, completed others, or were known; and the number of each line that is broken, and why."""

    added: int = 0
    merged: int = 0
    known: int = 0
    broken: tuple[tuple[int, str], ...] = ()


class Exchange:
    """Imports and exports."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def bring(self, errand: Errand, noun: str, data: bytes, told: Callable[[int, int], None] = lambda done, total: None) -> Imported:
        """Keep what a file holds, a batch in an act; *told* hears how far it is. Raises ToolFailed where nothing in it can be used."""
        text = decoded(data)
        is_cards = noun == "contact" and text.lstrip()[:11].upper() == "BEGIN:VCARD"
        records, total, done, result = iter(read_vcards(text) if is_cards else read_csv(text, noun)), text.count("\n") + 1, 0, Imported()
        while batch := list(islice(records, BATCH)):
            result = await self._keep(errand, noun, batch, result)
            done = batch[-1][0]
            told(done, total)
        told(total, total)
        if not result.added + result.merged + result.known:
            first = f": line {result.broken[0][0]} has {result.broken[0][1]}" if result.broken else ""
            raise ToolFailed(f"There is nothing in that file that I can use{first}.")
        return result

    async def give(self, person: Person, noun: str, *, as_cards: bool = False) -> str:
        """All of a kind as CSV, or contacts as vCards."""
        async with self._database.reading() as work:
            rows = [_written(row, noun, ZoneInfo(person.timezone)) for row in await _rows(work, noun, person)]
        columns = [name for name in ALIASES[noun] if name not in ("given", "family")]
        return write_vcards(rows) if as_cards else write_csv(columns, ([row.get(name, "") for name in columns] for row in rows))

    async def _keep(self, errand: Errand, noun: str, batch: Sequence[Record], result: Imported) -> Imported:
        """Keep a batch, in one act, with one line in the journal."""
        counts, broken = {"added": result.added, "merged": result.merged, "known": result.known}, list(result.broken)
        now = self._clock.now().astimezone(ZoneInfo(errand.person.timezone))
        async with self._database.unit_of_work() as work:
            index = {key: row for row in await _rows(work, noun, errand.person) for key in _keys(row)}
            for number, values in batch:
                try:
                    row = _row(noun, values, errand, now)
                except ValueError as error:
                    broken.append((number, str(error)))
                    continue
                known = next((index[key] for key in _keys(row) if key in index), None)
                counts[await _put(work, noun, row, known)] += 1
                index |= {key: known or row for key in _keys(row)}
            text = f"Imported {noun}s: {counts['added'] - result.added} new, {counts['merged'] - result.merged} completed."
            await record(work, replace(errand, key=f"{errand.key}/{batch[0][0]}"), f"{noun}.import", text, now=now)
        return Imported(**counts, broken=tuple(broken))


async def _rows(work: UnitOfWork, noun: str, person: Person) -> Sequence[Any]:
    if noun == "note":
        return await work.notes.latest(person.id, limit=100_000)
    return [row for row in await getattr(work, f"{noun}s").of(person.id) if getattr(row, "archived_at", None) is None]


async def _put(work: UnitOfWork, noun: str, row: Any, known: Any) -> str:
    """Add a row, or complete the one that is known; which of it was done."""
    rows: Any = getattr(work, f"{noun}s")
    if known is None:
        if noun == "note":
            await rows.add(user_id=row.user_id, text=row.text, now=row.created_at, source_id=None)
        else:
            while not await rows.add(row):
                row.code = make_code(6)
        return "added"
    given = ("email", "phone", "company", "role", "detail", "tags", "next_step", "value_cents")
    fresh = {name: getattr(row, name) for name in given if hasattr(row, name) and getattr(row, name) and not getattr(known, name)}
    if not fresh:
        return "known"
    for name, value in fresh.items():
        setattr(known, name, value)
    await rows.change(known.id, **fresh)
    return "merged"


def _keys(row: Any) -> Iterator[tuple[Any, ...]]:
    """By what a row is known to be the same as another."""
    match row:
        case Contact():
            if row.email:
                yield "email", row.email.casefold()
            yield "name", folded(row.name), row.email.casefold()
            if not row.email:
                yield "name", folded(row.name)
        case Task():
            yield folded(row.title), row.due_on, row.state
        case Deal():
            yield folded(row.title), folded(row.company)
        case _:
            yield (" ".join(row.text.split()),)


def _row(noun: str, values: dict[str, str] | str, errand: Errand, now: datetime) -> Any:
    """What a record says, as a row. Raises ValueError with the reason where it cannot be one."""
    if isinstance(values, str):
        raise ValueError(values)
    made, title = dict(values), "text" if noun == "note" else "name" if noun == "contact" else "title"
    if noun == "contact":
        named = " ".join(each for each in (made.pop("given", ""), made.pop("family", "")) if each)
        made["name"] = made.get("name") or named or made.get("email", "").partition("@")[0]
        made |= {"tags": [each.strip() for each in made.get("tags", "").split(",") if each.strip()]}  # type: ignore[dict-item]
        if made.get("email") and not EMAIL.fullmatch(made["email"]):
            raise ValueError(f"“{made['email']}”, which is no address")
    if not made.get(title, "").strip():
        raise ValueError(f"no {title}")
    made[title] = made[title][: LONGEST if noun != "note" else None]
    ids: dict[str, Any] = {"organization_id": "", "id": new_id(), "user_id": errand.person.id, "created_at": now}
    ids |= {} if noun == "note" else {"code": make_code(4)}
    extra = {"task": _task_values, "deal": _deal_values}.get(noun, lambda made, now: {})(made, now)
    return ROWS[noun](**ids, **(made | extra))


def _task_values(made: dict[str, str], now: datetime) -> dict[str, Any]:
    state, due = made.pop("state", "").strip().casefold(), made.pop("due", "")
    values: dict[str, Any] = {"state": TaskState.DONE, "done_at": now} if state in DONE else {}
    return values | (_due(due, now) if due else {})


def _due(text: str, now: datetime) -> dict[str, Any]:
    try:
        moment = datetime.fromisoformat(text)
        found: Any = When(date=moment.date(), time=moment.time() if len(text) > 10 else None, rule="")
    except ValueError:
        found = find_when(text, now=now)
    if not isinstance(found, When) or abs(found.date.year - now.year) > YEARS:
        raise ValueError(f"“{text}”, which is no day I understand")
    return {"due_on": found.date, "due_at": found.moment(now.tzinfo) if found.time else None}


def _deal_values(made: dict[str, str], now: datetime) -> dict[str, Any]:
    stage, currency = made.pop("stage", "lead").strip().casefold() or "lead", made.pop("currency", "").strip().upper()
    if stage not in tuple(Stage):
        raise ValueError(f"the stage “{stage}”; it is one of {', '.join(Stage)}")
    said, likely = made.pop("value", ""), made.pop("probability", "").strip(" %")
    value = parse_deal(f"x, {said} {currency if currency not in said else ''}")[1] if said else {}
    if said and "value_cents" not in value:
        value = parse_deal(f"x, {said} USD")[1]
    if (said and "value_cents" not in value) or (likely and not likely.isdecimal()):
        raise ValueError(f"“{said or likely}”, which is no amount I understand")
    value |= {"currency": currency} if currency else {}
    return value | {"stage": stage, "probability": int(likely) if likely else LIKELY[Stage(stage)], "changed_at": now}


def _written(row: Any, noun: str, zone: ZoneInfo) -> dict[str, str]:
    """A row as a file has it; it reads back as the same."""
    due = getattr(row, "due_at", None)
    values: dict[str, Any] = {name: getattr(row, name) for name in ALIASES[noun] if hasattr(row, name)}
    values |= {"due": due.astimezone(zone).strftime("%Y-%m-%d %H:%M") if due else row.due_on or ""} if noun == "task" else {}
    values |= {"value": f"{row.value_cents / 100:.2f}"} if noun == "deal" else {}
    values |= {"tags": ", ".join(row.tags)} if noun == "contact" else {}
    return {name: str(value) for name, value in values.items()}
