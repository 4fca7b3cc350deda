"""Forgetting on request: it is shown first, out of sight at once, may be taken back for ten minutes, and is then erased."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.errors import StorageUnavailable, ToolFailed
from bot.domain.message import Button
from bot.domain.ports import Card
from bot.services.aims import KEPT, Aim, read_aim
from bot.services.journal import added, record
from bot.services.tracing import Trace, beginning, trace
from storage.database import Database
from storage.models.memory import Forgetting
from storage.models.messaging import InboxState
from storage.repositories.base import FIRST_ID
from storage.repositories.forgetting import BATCH

log = structlog.get_logger(__name__)

UNDOABLE_FOR = timedelta(minutes=10)
LEASE = timedelta(minutes=1)
"""After so long, what a process began and did not end is gone on with by whoever sees it."""
LOOKED_BACK = 20
NOTHING = "I hold nothing of yours that is meant by that."
RUN_OUT = "That offer has run out. Tell me once more what I shall forget."
DONE = "That was done already."
ALL = "all"


@dataclass(frozen=True, kw_only=True, eq=False)
class Forgetful:
    """Forgets what a person asks, of what is theirs alone. It is a round, too: what is due is erased, and what a crash left is ended.

    `files` is the folder of attachments, `backups` the one in which older copies may lie.
    """

    database: Database
    clock: Clock
    files: Path
    backups: Path
    name: str = "forgetting"

    async def show(self, person: Person, words: str, *, order: UUID, conversation_id: UUID | None = None) -> tuple[Card, Forgetting]:
        """What would go, and the aim, which is kept for ten minutes. Raises ToolFailed where nothing would, StorageUnavailable."""
        aim = read_aim(words, now=self.clock.now().astimezone(ZoneInfo(person.timezone)), order=order)
        if aim.is_last:
            aim = replace(aim, ids=frozenset([await self._last(conversation_id, order)]), is_last=False)
        if aim.begins:
            aim = replace(aim, ids=frozenset([await beginning(self.database, person.id, aim.begins)]), begins="")
        found = await self._trace(person.id, aim)
        if not found.counted():
            raise ToolFailed(_nothing(aim, found))
        now, targets = self.clock.now(), KEPT.dump_python(aim, mode="json")
        async with self.database.unit_of_work() as work:
            kept = await work.forgettings.show(user_id=person.id, what=words, targets=targets, now=now, due_at=now + UNDOABLE_FOR)
        return _card(aim, found, kept), kept

    async def forget(self, errand: Errand, which: str) -> Card:
        """Do what was shown under this id (or, under ALL, the last aim to forget everything), once, however often it is asked.

        Raises ToolFailed, StorageUnavailable: then it is gone on with by whoever asks again, or by the round.
        """
        row = await self._meant(errand.person, which)
        async with self.database.unit_of_work() as work:
            await work.forgettings.move(row.id, "shown", state="hiding", due_at=self.clock.now() + LEASE)
        said, until = await self._hide(row.id, errand)
        until = until.astimezone(ZoneInfo(errand.person.timezone))
        text = f"{said}. Until {until:%H:%M} `/undo` brings it back; then it is gone for good.{self._still_held()}"
        return Card(text=text, buttons=(Button(label="Undo", command=f"/undo {errand.source_id or ''}".strip()),))

    async def keep(self, person: Person, which: str) -> str:
        """Nothing is forgotten of what was shown."""
        row = await self._meant(person, which)
        async with self.database.unit_of_work() as work:
            is_kept = await work.forgettings.undo(row.id, "shown", self.clock.now())
        return "It all stays." if is_kept else "That was done already; `/undo` takes it back, if it is not too late."

    async def look(self, now: datetime) -> datetime | None:
        """End what is due; see `Round`. Raises StorageUnavailable."""
        async with self.database.reading() as work:
            rows = await work.forgettings.open()
        for row in (row for row in rows if row.due_at <= now):
            with suppress(ToolFailed):  # another hub was quicker
                await self._end(row, now)
        return next((row.due_at for row in rows if row.due_at > now), None)

    async def _end(self, row: Forgetting, now: datetime) -> None:
        if row.state == "hiding":
            async with self.database.reading() as work:
                user = await work.people.find_user_by_id(row.user_id)
            assert user is not None
            await self._hide(row.id, Errand(person=user.person, key="", why="you asked for it"))
            return
        async with self.database.unit_of_work() as work:
            if row.state == "shown":
                await work.forgettings.undo(row.id, "shown", now)
                return
            is_ours = await work.forgettings.move(row.id, row.state, state="purging", due_at=now + LEASE)
        if is_ours:
            await self._purge(row, now)

    async def _purge(self, row: Forgetting, now: datetime) -> None:
        """Erase in small acts what is out of sight, with what came of it meanwhile, then what files still hold of it."""
        await self._hide_rest(row, Aim(order=FIRST_ID), "purging")
        while True:
            async with self.database.reading() as work:
                targets = await work.forgettings.targets(row.id)
                paths = await work.forgettings.files(targets)
            for path in [*map(Path, paths), *(self.files / "out" / f"{each.row_id}.md" for each in targets)]:
                path.unlink(missing_ok=True)
            if not targets:
                break
            async with self.database.unit_of_work() as work:
                await work.forgettings.erase(targets)
                await work.forgettings.move(row.id, "purging", due_at=self.clock.now() + LEASE)
        async with self.database.unit_of_work() as work:
            await work.forgettings.forget_undo(_key(row.id))
            await work.forgettings.move(row.id, "purging", what="", targets={})
        try:
            await self.database.scrub()
        except StorageUnavailable as error:  # a reader held on to the log: it is tried again when the lease runs out
            log.warning("forgetting.not_scrubbed", error=str(error))
            return
        async with self.database.unit_of_work() as work:
            await work.forgettings.move(row.id, "purging", state="done", done_at=self.clock.now())

    async def _hide(self, which: UUID, errand: Errand) -> tuple[str, datetime]:
        """Put everything out of sight, a batch in an act, then say so in the journal; how it is said, and until when it can be undone."""
        async with self.database.reading() as work:
            row = await work.forgettings.find_by_id(which)
        if row is not None and row.state == "hiding":
            text, now = f"Forgotten: {await self._hide_rest(row, KEPT.validate_python(row.targets), 'hiding')}", self.clock.now()
            async with self.database.unit_of_work() as work:
                if await work.forgettings.move(which, "hiding", state="waiting", due_at=now + UNDOABLE_FOR):
                    told = replace(errand, key=_key(which), why="you asked for it")
                    await record(work, told, "forget", text, now=now, undo=added("forgettings", which))
        async with self.database.reading() as work:
            line, row = await work.activities.find_by_key(_key(which)), await work.forgettings.find_by_id(which)
        if line is None or row is None or row.state != "waiting":
            raise ToolFailed(DONE)
        return line.text, row.due_at

    async def _hide_rest(self, row: Forgetting, aim: Aim, state: str) -> str:
        """Hide what is meant and not hidden yet, as long as it is in this state; how much is by now."""
        async with self.database.reading() as work:
            hidden = {each.row_id for each in await work.forgettings.targets(row.id, limit=2**31 - 1)}
        found = await self._trace(row.user_id, replace(aim, ids=aim.ids | hidden), by=row.id)
        for shelf, which in found.rows.items():
            rest = [each for each in which if each not in hidden]
            for start in range(0, len(rest), BATCH):
                async with self.database.unit_of_work() as work:
                    if not await work.forgettings.move(row.id, state, due_at=self.clock.now() + LEASE):
                        raise ToolFailed(DONE)  # another press was quicker, and may be undone already
                    for question in await work.forgettings.hide(row.id, shelf, rest[start : start + BATCH]):
                        await work.inbox.reopen(question, InboxState.NOTED)
                        await work.outbox.void(question)
        return found.counted()

    async def _trace(self, user_id: UUID, aim: Aim, *, by: UUID = FIRST_ID) -> Trace:
        async with self.database.reading() as work:
            others = await work.forgettings.hidden(user_id, but_by=by)
        return await trace(self.database, user_id, aim, but=others)

    async def _last(self, conversation_id: UUID | None, order: UUID) -> UUID:
        """The last thing that was said in a conversation, orders left out."""
        async with self.database.reading() as work:
            said = await work.messages.latest(conversation_id, limit=LOOKED_BACK, before=order) if conversation_id else []
        found = [each.id for each in said if each.direction == "in" and each.kind == "message" and not each.text.startswith("/")]
        if not found:
            raise ToolFailed(NOTHING)
        return found[-1]

    async def _meant(self, person: Person, which: str) -> Forgetting:
        """An aim of this person's; what is somebody else's does not even exist. Raises ToolFailed."""
        async with self.database.reading() as work:
            rows = [row for row in await work.forgettings.open() if row.user_id == person.id]
        found = [row for row in rows if (row.targets.get("is_all") and row.state == "shown" if which == ALL else str(row.id) == which)]
        if not found or (found[-1].state == "shown" and found[-1].due_at <= self.clock.now()):
            raise ToolFailed(RUN_OUT)
        return found[-1]

    def _still_held(self) -> str:
        is_held = self.backups.is_dir() and any(self.backups.iterdir())
        return f" Older backups in {self.backups} hold it until they expire." if is_held else ""


def _key(which: UUID) -> str:
    return f"forget/{which}"


def _card(aim: Aim, found: Trace, kept: Forgetting) -> Card:
    """What goes, what stays, and how to decide."""
    lines = [f"I would forget {aim.spoken()}: {found.counted()}.", "", *(f"- “{each}”" for each in found.samples)]
    stays = ", ".join(f"{number} of your {noun}" for noun, number in found.staying.items() if number)
    rest = [f"What you made of it stays: {stays}; remove that yourself, if it shall go."] if stays else []
    rest += [f"{found.partly} more hold only some of these words, and stay."] if found.partly else []
    keep = Button(label="Keep", command=f"/forget keep {kept.id}")
    if aim.is_all:
        rest.append(f"If you mean all of it, write `/forget yes {ALL}`.")
        return Card(text="\n".join([*lines, "", *rest]), buttons=(keep,))
    rest.append("Nothing is gone before you say so.")
    return Card(text="\n".join([*lines, "", *rest]), buttons=(Button(label="Forget", command=f"/forget yes {kept.id}"), keep))


def _nothing(aim: Aim, found: Trace) -> str:
    """Why nothing would go, and what of the words alone would."""
    if len(aim.words) < 2 or not found.holding:
        return f"{NOTHING} I looked for {aim.spoken()}."
    told = ", ".join(f"“{word}” alone: {number}" for word, number in found.holding.items())
    return f"Nothing of yours holds all of these words, so nothing is forgotten ({told})."
