"""Questions about a person's affairs: contacts, deals, tasks, and the journal of what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Executable, and_, func, select, update
from sqlalchemy import bindparam as given
from sqlalchemy.sql.functions import count

from bot.domain.clock import new_id
from storage.dialects import insert_or_skip
from storage.models.affairs import Activity, Contact, Deal, Task, TaskState
from storage.models.decisions import Proposal
from storage.repositories.base import Changing, Rows, make, ours, values_of

Affair = TypeVar("Affair", Contact, Deal, Task)


class Affairs(Changing[Affair]):
    """What the tables of affairs have in common: a row has a code people name it by."""

    _add: Executable
    _by_code: Any
    _of_person: Any

    def __init_subclass__(cls) -> None:
        """Each table's statements are built once."""
        super().__init_subclass__()
        table: Any = cls.table
        cls._add = insert_or_skip(table)
        cls._by_code = select(table).where(ours(table), table.user_id == given("user"), table.code == given("the_code"))
        cls._of_person = select(table).where(ours(table), table.user_id == given("user")).order_by(table.id)

    async def add(self, row: Affair) -> bool:
        """Keep a row; False where its code is taken."""
        return await self._insert(self._add, **{name: value for name, value in values_of(row).items() if name != "organization_id"})

    async def find(self, user_id: UUID, code: str) -> Affair | None:
        """A person's row of this code."""
        return await self._first(self.table, self._by_code, user=user_id, the_code=code.upper())

    async def of(self, user_id: UUID) -> list[Affair]:
        """Everything of a person's, oldest first."""
        return await self._all(self.table, self._of_person, user=user_id)


_OPEN_TASKS = (
    select(Task)
    .where(ours(Task), Task.user_id == given("user"), Task.state == TaskState.OPEN)
    .order_by(Task.due_on, Task.priority, Task.id)
)
_NEXT_DUE = (
    select(Task, count().over())
    .where(ours(Task), Task.user_id == given("user"), Task.state == TaskState.OPEN)
    .order_by(Task.due_on.is_(None), Task.due_on, Task.priority, Task.id)
    .limit(given("limit"))
)
_DUE = (
    select(Task)
    .where(ours(Task), Task.remind_at <= given("now"), Task.state == TaskState.OPEN)
    .order_by(Task.remind_at, Task.id)
    .limit(given("limit"))
    .with_for_update(skip_locked=True)
)
"""Several hubs each take others, until they commit (SQLite has one writer at a time, and is not told of locks)."""
_OF_DAY = (
    select(count())
    .select_from(Task)
    .where(ours(Task), Task.user_id == given("user"), Task.state == TaskState.OPEN, Task.due_on == given("on"), Task.kind != "reminder")
)
_NEXT_REMINDER = select(Task.remind_at).where(ours(Task), Task.remind_at.is_not(None), Task.state == TaskState.OPEN)
_MOVE_REMINDER = update(Task).where(ours(Task), Task.id == given("which"), Task.remind_at == given("was"), Task.state == TaskState.OPEN)
_IS_AT = and_(ours(Contact), Contact.user_id == given("user"), func.lower(Contact.email) == given("address"))
_BY_EMAIL = select(Contact).where(_IS_AT).order_by(Contact.id)
_WROTE_TO = update(Contact).where(_IS_AT)
_SPOKE_WITH = update(Contact).where(ours(Contact), func.lower(Contact.email) == given("address"))


class Contacts(Affairs[Contact]):
    """People somebody has to do with."""

    table = Contact

    async def by_email(self, user_id: UUID, email: str) -> list[Contact]:
        """A person's contacts of this address (in small letters), oldest first."""
        return await self._all(Contact, _BY_EMAIL, user=user_id, address=email)

    async def wrote_to(self, user_id: UUID, email: str, now: datetime) -> None:
        """A mail goes out to this address: whoever of a person's contacts it is, was written to."""
        await self._changes(_WROTE_TO, user=user_id, address=email, last_written_at=now)

    async def spoke_with(self, email: str, now: datetime) -> None:
        """Somebody of the household writes from this address, and is answered: whoever's contact it is, is silent no more."""
        await self._changes(_SPOKE_WITH, address=email, last_heard_at=now, last_written_at=now, follow_ups=0, follow_up_at=None)


class Deals(Affairs[Deal]):
    """What may be sold."""

    table = Deal


class Tasks(Affairs[Task]):
    """Things to be done, and their reminders."""

    table = Task

    async def open(self, user_id: UUID) -> list[Task]:
        """What a person has still to do, the most pressing first; what has no day comes first or last, as the database orders it."""
        return await self._all(Task, _OPEN_TASKS, user=user_id)

    async def next_due(self, user_id: UUID, *, limit: int) -> tuple[int, list[Task]]:
        """How many things a person has still to do, and the first of them that have a day."""
        rows = (await self._execute(_NEXT_DUE, user=user_id, limit=limit)).all()
        return rows[0][-1] if rows else 0, [task for task in (make(Task, row) for row in rows) if task.due_on]

    async def of_day(self, user_id: UUID, day: date) -> int:
        """How many things a person has to do on a day, reminders left out."""
        return await self._value(_OF_DAY, user=user_id, on=day) or 0

    async def to_remind(self, now: datetime, *, limit: int) -> list[Task]:
        """Whose reminder is due, the oldest first, without those that another process is just firing."""
        return await self._all(Task, _DUE, now=now, limit=limit)

    async def next_reminder(self) -> datetime | None:
        """When the next reminder of anybody is due."""
        return await self._value(_NEXT_REMINDER.order_by(Task.remind_at).limit(1))

    async def fire(self, moves: Sequence[tuple[Task, datetime | None, dict[str, Any]]]) -> None:
        """Take the reminders of tasks that `to_remind` gave in this act, so that nobody else fires them.

        With each: when it comes again, and on which `due_on` and `due_at` it is about now.
        """
        taken = [{"organization": self._organization, "which": task.id, "was": task.remind_at} for task, _, _ in moves]
        values = [{"remind_at": next_at, "due_on": task.due_on, "due_at": task.due_at} | due for task, next_at, due in moves]
        if moves:
            await self._connection.execute(_MOVE_REMINDER, [{**which, **to} for which, to in zip(taken, values, strict=True)])


_RECORD = insert_or_skip(Activity)
_TO_UNDO = (
    select(Activity)
    .where(ours(Activity), Activity.user_id == given("user"), Activity.undone_at.is_(None), Activity.undo.is_not(None))
    .where(Activity.at > given("since"))
    .order_by(Activity.id.desc())
    .limit(1)
)
_DONE_ALONE = (
    select(count())
    .select_from(Activity)
    .where(ours(Activity), Activity.user_id == given("user"), Activity.actor == "robbie", Activity.at > given("since"))
    .where(Activity.key.not_in(select(Proposal.key).where(ours(Proposal), Proposal.key.is_not(None))))
)
_BY_KEY = select(Activity).where(ours(Activity), Activity.key == given("the_key"))
_UNDO = update(Activity).where(ours(Activity), Activity.id == given("which"), Activity.undone_at.is_(None))
_ABOUT = select(Activity).where(ours(Activity), Activity.contact_id == given("contact")).order_by(Activity.id.desc()).limit(given("limit"))


class Activities(Rows[Activity]):
    """The journal."""

    table = Activity

    async def record(self, row: Activity) -> bool:
        """Write a line; False where its key is known: the same was done before."""
        return await self._insert(_RECORD, **{name: value for name, value in values_of(row).items() if name != "organization_id"})

    async def find_by_key(self, key: str) -> Activity | None:
        """The line of this key."""
        return await self._first(Activity, _BY_KEY, the_key=key)

    async def about(self, contact_id: UUID, *, limit: int) -> Sequence[Activity]:
        """The last lines about a contact, newest first."""
        return await self._all(Activity, _ABOUT, contact=contact_id, limit=limit)

    async def last_to_undo(self, user_id: UUID, *, since: datetime) -> Activity | None:
        """The last line of a person's that can be taken back and has not been."""
        return await self._first(Activity, _TO_UNDO, user=user_id, since=since)

    async def done_alone(self, user_id: UUID, *, since: datetime) -> int:
        """How many things Robbie did for this person without asking."""
        return await self._value(_DONE_ALONE, user=user_id, since=since) or 0

    async def mark_undone(self, activity_id: UUID, now: datetime) -> bool:
        """A line is taken back; False where it was already."""
        return await self._changes(_UNDO, which=activity_id, undone_at=now)


def new_activity(organization: str, **values: Any) -> Activity:
    """A line with an id of its own."""
    return Activity(organization_id=organization, id=new_id(), **values)
