"""Where a person's words stand, and how a row of each table is put out of sight, brought back, and erased."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, and_, delete, func, insert, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.orm import aliased

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.affairs import Activity, Contact, Deal, Task
from storage.models.decisions import Feedback, Proposal, ProposalState
from storage.models.housekeeping import Incident, JobRun
from storage.models.learning import CachedAnswer, Habit, Pattern
from storage.models.manners import PersonalitySetting, StoredBrief
from storage.models.memory import Forgetting, Forgotten, Memory, StickyNote, Summary, SummarySource
from storage.models.messaging import Conversation, InboxEvent, InboxState, Message, OutboxItem, OutboxState, StoredAttachment
from storage.repositories.base import FIRST_ID, Repository, ours, values_of
from storage.repositories.inbox import WAITING
from storage.repositories.memory import Memories
from storage.repositories.messaging import DELETED
from storage.repositories.summaries import Summaries

BATCH = 200
"""Rows that are hidden or erased in one act: some 20 ms of it, and nobody waits longer to write."""
SPOKEN = ("path", "tools", "quoted", "thread")
"""What a message's details hold of what was said; the rest is about it."""
GONE = "(forgotten)"
_NAME = re.compile(r"[^\s\",:{}\[\]\\]+")
_ID = re.compile(r"[\da-f]{8}-?(?:[\da-f]{4}-?){3}[\da-f]{12}")


def ids_in(value: Any) -> list[UUID]:
    """Every id that a document names."""
    return [UUID(found) for found in _ID.findall(json.dumps(value, default=str))] if value else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """A table in which a person's words stand: `said` are a row's words, `at` the column of its moment, `key` that of its id.

    `follows` are the ids that take it along, `hides` the values that put it out of sight, given the forgetting and the moment, `leaves`
    what an erased one keeps its place with: None deletes it.
    """

    table: Any
    said: Callable[[Any], str]
    at: str = "created_at"
    key: str = "id"
    follows: Callable[[Any], Iterable[UUID | None]] = lambda row: ()
    hides: Callable[[Any, UUID, datetime], Mapping[str, Any]] = lambda row, by, now: {}
    leaves: Mapping[str, Any] | None = None


def _words(*values: Any) -> str:
    return "\n".join(text for value in values for text in _leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    """The texts in a document, without the names under which they stand."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)


def _told(message: Message) -> str:
    return _words(message.text, *((message.details or {}).get(name) for name in SPOKEN))


def _by(row: Any, by: UUID, now: datetime) -> Mapping[str, Any]:
    return {"forgotten_by": by}


def _off(row: Any, by: UUID, now: datetime) -> Mapping[str, Any]:
    return {"state": Habit.OFF}


_MESSAGE: Mapping[str, Any] = {"kind": DELETED, "text": "", "digest": None, "details": {}, "personality": None}
_LINE, _BRIEF = {"text": GONE, "why": "", "undo": None}, {"text": "", "sections": []}
SHELVES: Mapping[str, Shelf] = {
    "memories": Shelf(table=Memory, said=lambda row: row.text, at="at", follows=lambda row: (row.message_id,), hides=_by),
    "messages": Shelf(
        table=Message,
        said=_told,
        at="at",
        follows=lambda row: (row.reply_to, *ids_in((row.details or {}).get("recalled"))),
        hides=lambda row, by, now: {"kind": DELETED},
        leaves=_MESSAGE,
    ),
    "notes": Shelf(table=StickyNote, said=lambda row: row.text, follows=lambda row: (row.source_id, row.memory_id), hides=_by),
    "summaries": Shelf(
        table=Summary,
        said=lambda row: _words(row.text, row.facts),
        hides=lambda row, by, now: {"forgotten_by": by} | ({} if row.superseded_at else {"superseded_at": now}),
    ),
    "cached": Shelf(
        table=CachedAnswer, said=lambda row: _words(row.question, row.text), at="at", follows=lambda row: (row.message_id,), hides=_off
    ),
    "patterns": Shelf(table=Pattern, said=lambda row: row.text, hides=_off),
    "proposals": Shelf(
        table=Proposal,
        said=lambda row: _words(row.title, row.text, row.details),
        follows=lambda row: (row.event_id, *ids_in(row.key)),
        hides=lambda row, by, now: {"state": ProposalState.WITHDRAWN} if row.state == ProposalState.WAITING else {},
        leaves={"title": GONE, "text": "", "details": {}, "key": None},
    ),
    "journal": Shelf(
        table=Activity,
        said=lambda row: _words(row.text, row.why, *((row.undo or {}).get(name) for name in ("before", "after"))),
        at="at",
        follows=lambda row: (row.source_id, *ids_in(row.undo)),
        hides=lambda row, by, now: _LINE,
        leaves={**_LINE, "key": None},  # which may be made of words, too
    ),
    "briefs": Shelf(
        table=StoredBrief,
        said=lambda row: _words(row.text, row.sections),
        at="composed_at",
        follows=lambda row: (row.message_id,),
        hides=lambda row, by, now: _BRIEF,
        leaves=_BRIEF,
    ),
}
"""By the names under which they are counted."""
STAY: Mapping[str, Shelf] = {
    "tasks": Shelf(table=Task, said=lambda row: _words(row.title, row.detail), follows=lambda row: (row.source_id,)),
    "contacts": Shelf(table=Contact, said=lambda row: _words(row.name, row.detail, row.next_step)),
    "deals": Shelf(table=Deal, said=lambda row: _words(row.title, row.detail, row.next_step)),
}
"""What a person made of their words on purpose, and takes away on purpose."""
BESIDE: Mapping[str, Shelf] = {
    "conversations": Shelf(table=Conversation, said=lambda row: f"{row.channel}: {row.key}"),
    "ratings": Shelf(table=Feedback, said=lambda row: f"{row.source} {row.detail}: {row.value} {row.signals}", at="at", key="message_id"),
    "settings": Shelf(table=PersonalitySetting, said=lambda row: f"{row.name} = {row.value} ({row.context})", at="at"),
}
"""What else is known of a person, and holds no words of theirs."""
EVERY: Mapping[str, Shelf] = {**BESIDE, **SHELVES, **STAY}


def _of(table: Any, column: Any, *more: Any) -> Any:
    return (ours(table), column.in_(given("which", expanding=True)), *more)


_NEXT = {
    name: select(each.table)
    .where(ours(each.table), each.table.user_id == given("user"), (key := getattr(each.table, each.key)) > given("after"))
    .order_by(key)
    .limit(given("limit"))
    for name, each in EVERY.items()
}
_COUNTS = [
    select(func.count()).select_from(each.table).where(ours(each.table), each.table.user_id == given("user")) for each in EVERY.values()
]
_ROWS = {name: select(each.table).where(*_of(each.table, each.table.id)) for name, each in SHELVES.items()}
_SOURCES = select(SummarySource.summary_id, SummarySource.memory_id).where(*_of(SummarySource, SummarySource.summary_id))
_HIDDEN = (
    select(Forgotten.row_id)
    .join(Forgetting, and_(Forgetting.organization_id == Forgotten.organization_id, Forgetting.id == Forgotten.forgetting_id))
    .where(ours(Forgotten), Forgetting.user_id == given("user"), Forgetting.id != given("by"))
)
_ADD = insert(Forgetting)
_BY_ID = select(Forgetting).where(ours(Forgetting), Forgetting.id == given("which"))
_MOVE = update(Forgetting).where(ours(Forgetting), Forgetting.id == given("which"), Forgetting.state == given("was_in"))
_MOVE_BEFORE, _MOVE_FROM = _MOVE.where(Forgetting.due_at > given("now")), _MOVE.where(Forgetting.due_at <= given("now"))
_OPEN = (
    select(Forgetting).where(ours(Forgetting), Forgetting.state.in_(("shown", "hiding", "waiting", "purging"))).order_by(Forgetting.due_at)
)
_DROP = delete(Forgetting).where(ours(Forgetting), Forgetting.id == given("which"), Forgetting.state == "shown")
_TARGET = insert_or_skip(Forgotten)
_TARGETS = select(Forgotten).where(ours(Forgotten), Forgotten.forgetting_id == given("by"))
_BATCH = _TARGETS.order_by(Forgotten.kind, Forgotten.row_id).limit(given("limit"))
_DONE_WITH = delete(Forgotten).where(ours(Forgotten), Forgotten.forgetting_id == given("by"))
_ERASED = delete(Forgotten).where(*_of(Forgotten, Forgotten.row_id))
_ALREADY = select(Forgotten.row_id, Forgotten.was).where(*_of(Forgotten, Forgotten.row_id))
_ALSO = aliased(Forgotten)
_SHARED = (
    select(Forgotten.row_id)
    .join(_ALSO, and_(_ALSO.organization_id == Forgotten.organization_id, _ALSO.row_id == Forgotten.row_id))
    .where(ours(Forgotten), Forgotten.forgetting_id == given("by"), _ALSO.forgetting_id != Forgotten.forgetting_id)
)
_UNANSWERED = select(InboxEvent.id).where(*_of(InboxEvent, InboxEvent.id, InboxEvent.state.in_((*WAITING, InboxState.QUEUED))))
_UNSENT = select(OutboxItem.event_id).where(
    *_of(OutboxItem, OutboxItem.event_id, OutboxItem.state.in_((OutboxState.STREAMING, OutboxState.READY)))
)
_RAW = update(InboxEvent).where(*_of(InboxEvent, InboxEvent.id)).values(raw="")
_LATER = select(InboxEvent.id, InboxEvent.raw).where(
    *_of(InboxEvent, InboxEvent.conversation_id, InboxEvent.kind.in_(("edit", "delete", "reaction")), InboxEvent.raw != "")
)
_FILES = select(StoredAttachment.path).where(*_of(StoredAttachment, StoredAttachment.message_id, StoredAttachment.path.is_not(None)))
_WITH_MESSAGES: Sequence[Executable] = (
    _RAW,
    delete(StoredAttachment).where(*_of(StoredAttachment, StoredAttachment.message_id)),
    update(Feedback).where(*_of(Feedback, Feedback.message_id)).values(detail=""),
)
_ABOUT_MESSAGES: Sequence[Executable] = (
    update(JobRun).where(*_of(JobRun, JobRun.slot)).values(details={}),
    update(Incident).where(*_of(Incident, Incident.key)).values(detail=""),
)
_UNDO_LINE = update(Activity).where(ours(Activity), Activity.key == given("the_key")).values(undo=None)


class Forgettings(Repository):
    """What people want forgotten, and the rows that go."""

    async def rows(self, shelf: str, user_id: UUID, after: UUID = FIRST_ID, *, limit: int = 500) -> list[Any]:
        """A person's next rows of a shelf, in the order of their keys."""
        return await self._all(EVERY[shelf].table, _NEXT[shelf], user=user_id, after=after, limit=limit)

    async def count(self, user_id: UUID) -> int:
        """How many rows a person has on all shelves."""
        return sum([await self._value(each, user=user_id) or 0 for each in _COUNTS])

    async def sources(self, summaries: Collection[UUID]) -> Sequence[Sequence[UUID]]:
        """Of these summaries, each with each of the memories that it was made of."""
        return (await self._execute(_SOURCES, which=list(summaries))).all()

    async def hidden(self, user_id: UUID, *, but_by: UUID) -> set[UUID]:
        """What of a person's is out of sight already, for another aim than this one."""
        return set(await self._values(_HIDDEN, user=user_id, by=but_by))

    async def show(self, *, user_id: UUID, what: str, targets: Mapping[str, Any], now: datetime, due_at: datetime) -> Forgetting:
        """Keep an aim of which nothing is forgotten yet."""
        which: dict[str, Any] = {"organization_id": self._organization, "id": new_id(), "user_id": user_id}
        row = Forgetting(**which, what=what, targets=dict(targets), state="shown", created_at=now, due_at=due_at)
        await self._insert(_ADD, **values_of(row))
        return row

    async def find_by_id(self, which: UUID) -> Forgetting | None:
        """The forgetting of this id, whosever it is."""
        return await self._first(Forgetting, _BY_ID, which=which)

    async def open(self) -> list[Forgetting]:
        """Everybody's that are neither done nor undone, by when they are due."""
        return await self._all(Forgetting, _OPEN)

    async def move(self, which: UUID, was_in: str, **values: Any) -> bool:
        """Give one that is in this state these values; False where it is not, any more."""
        return await self._changes(_MOVE, which=which, was_in=was_in, **values)

    async def begin_purge(self, which: UUID, now: datetime) -> bool:
        """From now on it cannot be taken back; False where that is not due."""
        return await self._changes(_MOVE_FROM, which=which, was_in="waiting", now=now, state="purging")

    async def drop(self, which: UUID) -> bool:
        """Throw an aim away that was only shown."""
        return await self._changes(_DROP, which=which)

    async def targets(self, which: UUID, *, limit: int = BATCH) -> list[Forgotten]:
        """Rows that are out of sight for it, and still there."""
        return await self._all(Forgotten, _BATCH, by=which, limit=limit)

    async def hide(self, by: UUID, shelf: str, which: Collection[UUID], now: datetime) -> list[UUID]:
        """Put rows out of sight, at most a `BATCH`; those of them that are questions whose answer is still to be found or sent."""
        each = SHELVES[shelf]
        rows = await self._all(each.table, _ROWS[shelf], which=list(which))
        hidden = [(row, each.hides(row, by, now)) for row in rows]
        was: dict[UUID, Any] = {row.id: {name: _plain(getattr(row, name)) for name in values} for row, values in hidden}
        was |= dict((await self._execute(_ALREADY, which=list(which))).all())  # what another aim hides looks otherwise than it did
        await self._insert_all(_TARGET, [{"forgetting_id": by, "kind": shelf, "row_id": one, "was": was[one]} for one in was])
        await self._give(shelf, [(row.id, values) for row, values in hidden])
        if shelf != "messages":
            return []
        found = [*await self._values(_UNANSWERED, which=list(which)), *await self._values(_UNSENT, which=list(which))]
        return [each for each in dict.fromkeys(found) if each is not None]

    async def restore(self, which: UUID, now: datetime) -> bool:
        """Bring back what no other aim is about; False where it is too late, or was done."""
        if not await self._changes(_MOVE_BEFORE, which=which, was_in="waiting", now=now, state="undone", what="", targets={}, done_at=now):
            return False
        by_shelf: dict[str, list[tuple[UUID, Mapping[str, Any]]]] = defaultdict(list)
        shared = set(await self._values(_SHARED, by=which))
        for row in await self._all(Forgotten, _TARGETS, by=which):
            if row.row_id not in shared:
                by_shelf[row.kind].append((row.row_id, row.was))
        for shelf, values in by_shelf.items():
            await self._give(shelf, values)
        await self._changes(_DONE_WITH, by=which)
        return True

    async def files(self, targets: Sequence[Forgotten]) -> list[str]:
        """Where the bytes lie of what came with messages among these."""
        found = await self._values(_FILES, which=[row.row_id for row in targets if row.kind == "messages"])
        return [path for path in found if path]

    async def erase(self, targets: Sequence[Forgotten]) -> None:
        """Delete these rows for good, or empty those whose place is still needed; may be done again."""
        for shelf, each in SHELVES.items():
            which = [row.row_id for row in targets if row.kind == shelf]
            if not which:
                continue
            if shelf == "memories":
                await Memories(self._connection, self._organization).remove(which)
            elif each.leaves is None:
                await self._delete(each.table, which)
            else:
                await self._give(shelf, [(one, each.leaves) for one in which])
            if shelf == "messages":
                await self._erase_with(which)
        await self._changes(_ERASED, which=[row.row_id for row in targets])

    async def forget_undo(self, key: str) -> None:
        """The journal's line of this key cannot be taken back any more."""
        await self._changes(_UNDO_LINE, the_key=key)

    async def _delete(self, table: Any, which: Sequence[UUID]) -> None:
        if table is Summary:
            await Summaries(self._connection, self._organization).remove(which)
        else:
            await self._changes(delete(table).where(*_of(table, table.id)), which=list(which))

    async def _erase_with(self, which: Sequence[UUID]) -> None:
        """What stands elsewhere of messages: raw events, also of what changed them, files, words on answers, steps of research."""
        messages = await self._all(Message, _ROWS["messages"], which=list(which))
        named = {row.external_id.rpartition(":")[2] for row in messages if row.external_id}  # as the channel's own events name it
        events = (await self._execute(_LATER, which=list({row.conversation_id for row in messages}))).all()
        later = [event for event, raw in events if not named.isdisjoint(_NAME.findall(raw))]
        for statement in _WITH_MESSAGES:
            await self._changes(statement, which=[*which, *(later if statement is _RAW else ())])
        for statement in _ABOUT_MESSAGES:
            await self._changes(statement, which=[str(each) for each in which])

    async def _give(self, shelf: str, values: Sequence[tuple[UUID, Mapping[str, Any]]]) -> None:
        """Give rows of a shelf values; those that get the same, a batch at a time in one statement."""
        table, alike = SHELVES[shelf].table, defaultdict(list)
        for which, one in values:
            alike[json.dumps(one, default=str, sort_keys=True)].append((which, one))
        for group in alike.values():
            for start in range(0, len(group), BATCH):
                if group[0][1]:
                    batch = [each for each, _ in group[start : start + BATCH]]
                    await self._changes(update(table).where(*_of(table, table.id)).values(dict(group[0][1])), which=batch)


def _plain(value: Any) -> Any:
    """What is hidden by a value was nothing, a word or a document before."""
    return value if value is None or isinstance(value, str | list | dict) else str(value)
