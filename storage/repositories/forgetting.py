"""Where a person's words stand, and how a row of each table is put out of sight, brought back, and erased."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
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
from storage.models.models import ModelUsage
from storage.repositories.base import FIRST_ID, Rows, ours, values_of
from storage.repositories.inbox import WAITING
from storage.repositories.memory import Memories
from storage.repositories.messaging import DELETED
from storage.repositories.summaries import Summaries

BATCH = 200
"""Rows that are hidden or erased in one act: some 20 ms of it, and nobody waits longer to write."""
GONE = "(forgotten)"
_NAME = re.compile(r"[^\s\",:{}\[\]\\]+")
_ID = re.compile(r"[\da-f]{8}-?(?:[\da-f]{4}-?){3}[\da-f]{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """A table in which a person's words stand.

    `words` and `after` name columns, or what a document in one holds (details.path): those with the words, and those with the ids that
    take a row along. `at` is the column of its moment, `key` that of its id. `hides` is what puts a row out of sight, beside its
    `forgotten_by` where it has one; `leaves` is what an erased row keeps its place with: None deletes it.
    """

    table: Any
    words: str = ""
    after: str = ""
    at: str = "created_at"
    key: str = "id"
    hides: Mapping[str, Any] = field(default_factory=dict)
    leaves: Mapping[str, Any] | None = None

    def said(self, row: Any) -> str:
        """A row's words."""
        return "\n".join(_texts([_held(row, name) for name in self.words.split()]))

    def follows(self, row: Any) -> list[UUID]:
        """The ids that take a row along."""
        named = [value for name in self.after.split() if (value := _held(row, name))]
        return [UUID(found) for found in _ID.findall(json.dumps(named, default=str))] if named else []


def _held(row: Any, name: str) -> Any:
    column, _, inside = name.partition(".")
    value = getattr(row, column)
    return (value or {}).get(inside) if inside else value


def _texts(value: Any) -> Iterator[str]:
    """The texts in a document, without the names under which they stand."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


_MESSAGE: Mapping[str, Any] = {"kind": DELETED, "text": "", "digest": None, "details": {}, "personality": None}
_LINE, _BRIEF = {"text": GONE, "why": "", "undo": None}, {"text": "", "sections": []}
_OFF, _WITHDRAWN = {"state": Habit.OFF}, {"state": ProposalState.WITHDRAWN}
_NO_PROPOSAL: Mapping[str, Any] = {"title": GONE, "text": "", "details": {}, "key": None}
_SPOKEN = "text details.path details.tools details.quoted details.thread"  # the rest of a message's details is about it
SHELVES: Mapping[str, Shelf] = {
    "memories": Shelf(table=Memory, words="text", at="at", after="message_id"),
    "messages": Shelf(table=Message, words=_SPOKEN, at="at", after="reply_to details.recalled", hides={"kind": DELETED}, leaves=_MESSAGE),
    "notes": Shelf(table=StickyNote, words="text", after="source_id memory_id"),
    "summaries": Shelf(table=Summary, words="text facts"),
    "cached": Shelf(table=CachedAnswer, words="question text", at="at", after="message_id", hides=_OFF),
    "patterns": Shelf(table=Pattern, words="text", hides=_OFF),
    "proposals": Shelf(table=Proposal, words="title text details", after="event_id key", hides=_WITHDRAWN, leaves=_NO_PROPOSAL),
    "journal": Shelf(
        table=Activity,
        words="text why undo.before undo.after",
        at="at",
        after="source_id undo",
        hides=_LINE,
        leaves={**_LINE, "key": None},  # which may be made of words, too
    ),
    "briefs": Shelf(table=StoredBrief, words="text sections", at="composed_at", after="message_id", hides=_BRIEF, leaves=_BRIEF),
}
"""By the names under which they are counted."""
STAY: Mapping[str, Shelf] = {
    "tasks": Shelf(table=Task, words="title detail", after="source_id"),
    "contacts": Shelf(table=Contact, words="name detail next_step"),
    "deals": Shelf(table=Deal, words="title detail next_step"),
}
"""What a person made of their words on purpose, and takes away on purpose."""
BESIDE: Mapping[str, Shelf] = {
    "conversations": Shelf(table=Conversation),
    "ratings": Shelf(table=Feedback, at="at", key="message_id"),
    "settings": Shelf(table=PersonalitySetting, at="at"),
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
_CHANGE = {name: update(each.table).where(ours(each.table), each.table.id == given("which")) for name, each in SHELVES.items()}
_DELETE = {name: delete(each.table).where(*_of(each.table, each.table.id)) for name, each in SHELVES.items()}
_SOURCES = select(SummarySource.summary_id, SummarySource.memory_id).where(*_of(SummarySource, SummarySource.summary_id))
_OF_PERSON = select(Forgetting.id).where(ours(Forgetting), Forgetting.user_id == given("user"), Forgetting.id != given("by"))
_HIDDEN = select(Forgotten.row_id).where(ours(Forgotten), Forgotten.forgetting_id.in_(_OF_PERSON))
_MOVE = update(Forgetting).where(ours(Forgetting), Forgetting.id == given("which"), Forgetting.state == given("was_in"))
_OPEN = select(Forgetting).where(ours(Forgetting), Forgetting.state.not_in(("done", "undone"))).order_by(Forgetting.due_at)
_TARGETS = select(Forgotten).where(ours(Forgotten), Forgotten.forgetting_id == given("by"))
_BATCH = _TARGETS.order_by(Forgotten.kind, Forgotten.row_id).limit(given("limit"))
_OTHER = aliased(Forgotten)
_OTHERS = select(_OTHER.row_id).where(_OTHER.organization_id == Forgotten.organization_id, _OTHER.forgetting_id != given("by"))
_ALONE = _TARGETS.where(Forgotten.row_id.not_in(_OTHERS))
_DONE_WITH = delete(Forgotten).where(ours(Forgotten), Forgotten.forgetting_id == given("by"))
_ERASED = delete(Forgotten).where(*_of(Forgotten, Forgotten.row_id))
_ALREADY = select(Forgotten.row_id, Forgotten.was).where(*_of(Forgotten, Forgotten.row_id))
_PENDING = (
    select(InboxEvent.id).where(*_of(InboxEvent, InboxEvent.id, InboxEvent.state.in_((*WAITING, InboxState.QUEUED)))),
    select(OutboxItem.event_id).where(
        *_of(OutboxItem, OutboxItem.event_id, OutboxItem.state.in_((OutboxState.STREAMING, OutboxState.READY)))
    ),
)
_LATER = select(InboxEvent.id, InboxEvent.raw).where(
    *_of(InboxEvent, InboxEvent.conversation_id, InboxEvent.kind.in_(("edit", "delete", "reaction")), InboxEvent.raw != "")
)
_FILES = select(StoredAttachment.path).where(*_of(StoredAttachment, StoredAttachment.message_id, StoredAttachment.path.is_not(None)))
_SENDS = select(OutboxItem.id).where(*_of(OutboxItem, OutboxItem.event_id))
_RAW = update(InboxEvent).where(*_of(InboxEvent, InboxEvent.id)).values(raw="")
_WITH_MESSAGES = (
    delete(StoredAttachment).where(*_of(StoredAttachment, StoredAttachment.message_id)),
    update(Feedback).where(*_of(Feedback, Feedback.message_id)).values(detail=""),
    update(OutboxItem).where(*_of(OutboxItem, OutboxItem.event_id)).values(last_error=None),
    update(ModelUsage).where(*_of(ModelUsage, ModelUsage.event_id, ModelUsage.detail != "")).values(detail=""),
)
_ABOUT_ROWS = (
    update(JobRun).where(*_of(JobRun, JobRun.slot)).values(details={}),
    update(Incident).where(*_of(Incident, Incident.key)).values(detail=""),
)
_UNDO_LINE = update(Activity).where(ours(Activity), Activity.key == given("the_key")).values(undo=None)


class Forgettings(Rows[Forgetting]):
    """What people want forgotten, and the rows that go."""

    table = Forgetting

    def __init__(self, connection: AsyncConnection, organization: str, memories: Memories, summaries: Summaries) -> None:
        super().__init__(connection, organization)
        self._removing: Mapping[str, Memories | Summaries] = {"memories": memories, "summaries": summaries}

    async def rows(self, shelf: str, user_id: UUID, after: UUID = FIRST_ID, *, limit: int = 500) -> list[Any]:
        """A person's next rows of a shelf, in the order of their keys."""
        return await self._all(EVERY[shelf].table, _NEXT[shelf], user=user_id, after=after, limit=limit)

    async def by_ids(self, shelf: str, which: Collection[UUID]) -> list[Any]:
        """These rows of a shelf."""
        return await self._all(SHELVES[shelf].table, _ROWS[shelf], which=list(which))

    async def count(self, user_id: UUID) -> int:
        """How many rows a person has on all shelves."""
        return sum([await self._value(each, user=user_id) or 0 for each in _COUNTS])

    async def sources(self, summaries: Collection[UUID]) -> Sequence[Sequence[UUID]]:
        """Of these summaries, each with each of the memories that it was made of."""
        return (await self._execute(_SOURCES, which=list(summaries))).all()

    async def hidden(self, user_id: UUID, *, but_by: UUID = FIRST_ID) -> set[UUID]:
        """What of a person's is out of sight already, for another aim than this one."""
        return set(await self._values(_HIDDEN, user=user_id, by=but_by))

    async def show(self, *, user_id: UUID, what: str, targets: Mapping[str, Any], now: datetime, due_at: datetime) -> Forgetting:
        """Keep an aim of which nothing is forgotten yet."""
        which: dict[str, Any] = {"organization_id": self._organization, "id": new_id(), "user_id": user_id}
        row = Forgetting(**which, what=what, targets=dict(targets), state="shown", created_at=now, due_at=due_at)
        await self._insert(insert(Forgetting), **values_of(row))
        return row

    async def open(self) -> list[Forgetting]:
        """Everybody's that are neither done nor undone, by when they are due."""
        return await self._all(Forgetting, _OPEN)

    async def move(self, which: UUID, was_in: str, **values: Any) -> bool:
        """Give one that is in this state these values; False where it is not, any more."""
        return await self._changes(_MOVE, which=which, was_in=was_in, **values)

    async def undo(self, which: UUID, was_in: str, now: datetime) -> bool:
        """It is not meant any more; False where it is in another state."""
        return await self.move(which, was_in, state="undone", what="", targets={}, done_at=now)

    async def targets(self, which: UUID, *, limit: int = BATCH) -> list[Forgotten]:
        """Rows that are out of sight for it, and still there."""
        return await self._all(Forgotten, _BATCH, by=which, limit=limit)

    async def hide(self, by: UUID, shelf: str, which: Collection[UUID]) -> set[UUID]:
        """Put rows out of sight, at most a `BATCH`; those of them that are questions whose answer is still to be found or sent."""
        values = {**SHELVES[shelf].hides} | ({"forgotten_by": by} if hasattr(SHELVES[shelf].table, "forgotten_by") else {})
        rows = await self.by_ids(shelf, which)
        # what another aim hides looks otherwise than it did
        was: dict[UUID, Any] = dict((await self._execute(_ALREADY, which=list(which))).all())
        changing = [row for row in rows if not (isinstance(row, Proposal) and row.state != ProposalState.WAITING)]
        for row in changing:
            was.setdefault(row.id, {name: getattr(row, name) for name in values})
        found = [{"forgetting_id": by, "kind": shelf, "row_id": row.id, "was": was.get(row.id, {})} for row in rows]
        await self._insert_all(insert_or_skip(Forgotten), found)
        await self._give(shelf, [(row.id, values) for row in changing])
        pending = [await self._values(each, which=list(which)) for each in _PENDING] if shelf == "messages" else []
        return {each for found in pending for each in found if each is not None}

    async def restore(self, which: UUID, now: datetime) -> bool:
        """Bring back what no other aim is about; False where it is too late, or was done."""
        row = await self.find_by_id(which)
        if row is None or row.due_at <= now or not await self.undo(which, "waiting", now):
            return False
        by_shelf: dict[str, list[tuple[UUID, Mapping[str, Any]]]] = defaultdict(list)
        for each in await self._all(Forgotten, _ALONE, by=which):
            by_shelf[each.kind].append((each.row_id, each.was))
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
        by_shelf: dict[str, list[UUID]] = defaultdict(list)
        for row in targets:
            by_shelf[row.kind].append(row.row_id)
        about = [row.row_id for row in targets]
        for shelf, which in by_shelf.items():
            if shelf == "messages":
                about += await self._erase_with(which)
            if (leaves := SHELVES[shelf].leaves) is not None:
                await self._give(shelf, [(one, leaves) for one in which])
            elif shelf in self._removing:
                await self._removing[shelf].remove(which)
            else:
                await self._changes(_DELETE[shelf], which=which)
        for statement in _ABOUT_ROWS:
            await self._changes(statement, which=[str(each) for each in about])
        await self._changes(_ERASED, which=[row.row_id for row in targets])

    async def forget_undo(self, key: str) -> None:
        """The journal's line of this key cannot be taken back any more."""
        await self._changes(_UNDO_LINE, the_key=key)

    async def _erase_with(self, which: list[UUID]) -> list[UUID]:
        """What stands elsewhere of messages: raw events, also of what changed them, files, words on answers; the ids of their sends."""
        messages = await self.by_ids("messages", which)
        named = {row.external_id.rpartition(":")[2] for row in messages if row.external_id}  # as the channel's own events name it
        events = (await self._execute(_LATER, which=list({row.conversation_id for row in messages}))).all()
        later = [event for event, raw in events if not named.isdisjoint(_NAME.findall(raw))]
        await self._changes(_RAW, which=[*which, *later])
        for statement in _WITH_MESSAGES:
            await self._changes(statement, which=which)
        return list(await self._values(_SENDS, which=which))

    async def _give(self, shelf: str, values: Iterable[tuple[UUID, Mapping[str, Any]]]) -> None:
        """Give rows of a shelf values: those whose values have the same names in one go."""
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for which, one in values:
            alike[tuple(sorted(one))].append({"organization": self._organization, "which": which, **one})
        for names, rows in alike.items():
            if names:
                await self._connection.execute(_CHANGE[shelf], rows)
