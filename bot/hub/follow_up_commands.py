"""The command that has somebody written to, or not: /follow."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.ports import Command
from bot.domain.thought import Question
from bot.hub.errands import in_private
from bot.services.journal import changed, record
from bot.services.outreach import Outreach, held_back
from storage.database import Database
from storage.models.affairs import Contact

HOW = "Whom shall I write to? `/follow Dana about the offer`. `/follow stop Dana` and `/follow again Dana` say whom I may."
BY_WISH = "you asked me not to"
_ABOUT = re.compile(r"\s+(?:about|on|because)\s+", re.IGNORECASE)


class FollowUpCommands:
    """See `Commands`: a family of its own."""

    def __init__(self, *, outreach: Outreach, database: Database, clock: Clock) -> None:
        self._outreach = outreach
        self._database = database
        self._clock = clock
        self.table: Mapping[str, Command] = dict.fromkeys(("follow", "followup"), in_private(self._follow))

    async def _follow(self, question: Question, words: str) -> str:
        verb, _, rest = words.partition(" ")
        is_permission = verb.lower() in ("stop", "again")
        name, *about = [rest] if is_permission else _ABOUT.split(words, maxsplit=1)
        errand = Errand(person=question.person, key=f"follow/{question.id}", why="you asked for it", source_id=question.id)
        try:
            contact = await self._outreach.reader(question.person, name) if name else None
            if contact is None:
                return HOW
            if is_permission:
                return await self._permit(errand, contact, is_allowed=verb.lower() == "again")
            return await self._outreach.write(errand, contact, about[0] if about else contact.next_step)
        except ToolFailed as error:
            return str(error)

    async def _permit(self, errand: Errand, contact: Contact, *, is_allowed: bool) -> str:
        """Have somebody written to no more, or again."""
        values = {"do_not_write": "", "follow_ups": 0} if is_allowed else {"do_not_write": BY_WISH, "follow_up_at": None}
        said = f"I may write to {contact.name} again." if is_allowed else f"I will not write to {contact.name} any more."
        async with self._database.unit_of_work() as work:
            meant = await held_back(work, contact) if is_allowed else contact
            undo = changed("contacts", meant, values)
            if await record(work, errand, "contact.mail", said, now=self._clock.now(), undo=undo, contact_id=contact.id):
                await work.contacts.change(meant.id, **values)
        return f"{said} `/undo` takes that back."
