"""Brings a person's tasks, contacts, deals and notes in from a file, without doubling any, and gives them out as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from bot.services.interchange import COLUMNS, Record, decoded, read_csv, read_vcards, write_csv, write_vcards
from bot.services.journal import record
from bot.services.notes import MOST, TITLES
from bot.services.noticing import by_hand
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Stage, Task, TaskState
from storage.models.memory import StickyNote

BATCH = 200
"""Records kept in one act."""
YEARS = 50
"""What is due later was mistyped."""
DONE = ("done", "completed", "complete", "closed", "x", "yes", "true", "1")
COMPLETED = ("email", "phone", "company", "role", "detail", "tags", "next_step", "value_cents")
"""What a record may add to a row that is known; nothing that stands there is overwritten."""


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
        async with self._database.reading() as work:
            index = {key: row for row in reversed(await _rows(work, noun, errand.person)) for key in _keys(row)}
        while batch := list(islice(records, BATCH)):
            result = await self._keep(errand, noun, batch, result, index)
            done = batch[-1][0]
            told(done, total)
        told(total, total)
        if not result.added + result.merged + result.known:
            first = f": in line {result.broken[0][0]}, {result.broken[0][1]}" if result.broken else ""
            raise ToolFailed(f"There is nothing in that file that I can use{first}.")
        return result

    async def give(self, person: Person, noun: str, *, as_cards: bool = False) -> str:
        """All of a kind as CSV, or contacts as vCards."""
        async with self._database.reading() as work:
            rows = [_written(row, noun, ZoneInfo(person.timezone)) for row in await _rows(work, noun, person)]
        columns = [name for name in dict.fromkeys(COLUMNS[noun].values()) if name not in ("given", "family")]
        return write_vcards(rows) if as_cards else write_csv(columns, ([row.get(name, "") for name in columns] for row in rows))

    async def _keep(self, errand: Errand, noun: str, batch: Sequence[Record], result: Imported, index: dict[Any, Any]) -> Imported:
        """Keep a batch, in one act, with one line in the journal; what it brings is in the *index* of what is known from then on."""
        counts, broken = {"added": result.added, "merged": result.merged, "known": result.known}, list(result.broken)
        now = self._clock.now().astimezone(ZoneInfo(errand.person.timezone))
        async with self._database.unit_of_work() as work:
            for number, values in batch:
                try:
                    row = _row(noun, values, errand, now)
                except ValueError as error:
                    broken.append((number, str(error)))
                    continue
                known = next((index[key] for key in _keys(row) if key in index and not _is_other(row, index[key])), None)
                counts[await _put(work, noun, row, known)] += 1
                index |= dict.fromkeys(_keys(row), known or row)
            text = f"Imported {noun}s: {counts['added'] - result.added} new, {counts['merged'] - result.merged} completed."
            await record(work, replace(errand, key=f"{errand.key}/{batch[0][0]}"), f"{noun}.import", text, now=now)
        return Imported(**counts, broken=tuple(broken))


async def _rows(work: UnitOfWork, noun: str, person: Person) -> Sequence[Any]:
    if noun == "note":
        return await work.notes.holding(person.id, limit=MOST)
    return [row for row in await getattr(work, f"{noun}s").of(person.id) if getattr(row, "archived_at", None) is None]


async def _put(work: UnitOfWork, noun: str, row: Any, known: Any) -> str:
    """Add a row, or complete the one that is known; which of it was done."""
    rows: Any = getattr(work, f"{noun}s")
    if known is None:
        if noun == "note":
            about = {"kind": row.kind, "topic": row.topic, "on": row.on}
            await rows.add(user_id=row.user_id, text=row.text, now=row.created_at, source_id=None, **about)
        while noun != "note" and not await rows.add(row):
            row.code = make_code(6)
        return "added"
    fresh = {name: getattr(row, name) for name in COMPLETED if getattr(row, name, None) and not getattr(known, name)}
    for name, value in fresh.items():
        setattr(known, name, value)
    if fresh:
        await rows.change(known.id, **fresh)
    return "merged" if fresh else "known"


def _keys(row: Any) -> list[Any]:
    """By what a row is known to be the same as another, the surest first."""
    match row:
        case Contact():
            return [("email", row.email.casefold())] * bool(row.email) + [("name", folded(row.name))]
        case Task():
            return [(folded(row.title), row.due_on, row.state)]
        case Deal():
            return [(folded(row.title), folded(row.company))]
    return [" ".join(row.text.split())]


def _is_other(row: Any, known: Any) -> bool:
    """Whether these are namesakes: each has an address of their own."""
    return isinstance(row, Contact) and bool(row.email and known.email) and row.email.casefold() != known.email.casefold()


def _row(noun: str, values: dict[str, str] | str, errand: Errand, now: datetime) -> Any:
    """What a record says, as a row. Raises ValueError with the reason where it cannot be one."""
    ids: dict[str, Any] = {"organization_id": "", "id": new_id(), "user_id": errand.person.id, "created_at": now}
    if isinstance(values, str):
        raise ValueError(values)  # noqa: TRY004  what it says is wrong, not its type
    made: dict[str, Any] = dict(values)
    match noun:
        case "note":
            return _note(ids, made, now)
        case "contact":
            spelt = " ".join(each for each in (made.pop("given", ""), made.pop("family", "")) if each)
            made["name"] = made.get("name") or spelt or made.get("email", "").partition("@")[0]
            made["tags"] = [each.strip() for each in made.get("tags", "").split(",") if each.strip()]
            if made.get("email") and not EMAIL.fullmatch(made["email"]):
                raise ValueError(f"“{made['email']}” is no address")
            return Contact(**ids, code=make_code(4), **made | {"name": _named(made, "name")})
        case "task":
            state = {"state": TaskState.DONE, "done_at": now} if made.pop("state", "").casefold() in DONE else {}
            due = _due(made.pop("due"), now) if "due" in made else {}
            return Task(**ids, code=make_code(4), **made | {"title": _named(made, "title")} | state | due)
    worth = _worth(made)
    return Deal(**ids, code=make_code(4), changed_at=now, **made | {"title": _named(made, "title")} | worth)


def _note(ids: dict[str, Any], made: dict[str, Any], now: datetime) -> StickyNote:
    """A note as it was noted; what the file does not tell of it is read in its words."""
    noted = _due(made["noted"], now)["due_at"] if made.get("noted") else None
    one = by_hand(_named(made, "text"), now=noted or now)
    kind, on = made.get("kind", "").casefold(), _due(made["on"], now)["due_on"] if made.get("on") else one.on
    about: dict[str, Any] = {"kind": kind if kind in TITLES else one.kind, "topic": one.topic, "on": on}
    return StickyNote(**ids | {"created_at": noted or now}, text=one.text, **about)


def _named(made: dict[str, Any], column: str) -> str:
    if not (text := str(made.get(column, "")).strip()):
        raise ValueError(f"there is no {column}")
    return text if column == "text" else text[:LONGEST]


def _due(text: str, now: datetime) -> dict[str, Any]:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(now.tzinfo) if moment.tzinfo else moment
        found: Any = When(date=moment.date(), time=moment.time() if len(text) > 10 else None, spans=())
    except (ValueError, OverflowError):  # the second on the last evening of the year 9999
        found = find_when(text, now=now)
    if not isinstance(found, When) or abs(found.date.year - now.year) > YEARS:
        raise ValueError(f"“{text}” is no day I understand")
    return {"due_on": found.date, "due_at": found.moment(now.tzinfo or UTC) if found.time else None}


def _worth(made: dict[str, str]) -> dict[str, Any]:
    stage, currency = made.get("stage", "").casefold() or Stage.LEAD, made.get("currency", "").upper()
    if stage not in tuple(Stage):
        raise ValueError(f"“{stage}” is no stage; one is {', '.join(Stage)}")
    said, likely = made.pop("value", ""), made.get("probability", "").strip(" %") or str(LIKELY[Stage(stage)])
    value = parse_deal(f"x, {said}")[1] if said else {}
    value = value if "value_cents" in value else parse_deal(f"x, {said} USD")[1]  # a bare number is money in this column
    if (said and "value_cents" not in value) or not likely.isdecimal() or int(likely) > 100:
        raise ValueError(f"“{said or likely}” is no amount I understand")
    money = {"value_cents": value["value_cents"]} if said else {}
    return money | {"stage": stage, "probability": int(likely), "currency": currency or value.get("currency", "USD")}


def _written(row: Any, noun: str, zone: ZoneInfo) -> dict[str, str]:
    """A row as a file has it; it reads back as the same."""
    due = getattr(row, "due_at", None)
    values: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS[noun].values() if hasattr(row, name)}
    values |= {"on": row.on or "", "noted": row.created_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")} if noun == "note" else {}
    values |= {"due": due.astimezone(zone).strftime("%Y-%m-%d %H:%M") if due else row.due_on or ""} if noun == "task" else {}
    values |= {"value": f"{row.value_cents / 100:.2f}"} if noun == "deal" else {}
    values |= {"tags": ", ".join(row.tags)} if noun == "contact" else {}
    return {name: str(value) for name, value in values.items()}
