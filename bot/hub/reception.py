"""Where channels bring what they hear: who is it, may they, and on which terms are they answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bot.brain.personality import SLIDERS
from bot.brain.reactive import Intent, Reactive
from bot.domain.address import Person, Sender, SessionType
from bot.domain.clock import Clock, new_id
from bot.domain.message import ASKING, Inbound
from bot.domain.ports import Adapter, Card
from bot.domain.thought import Question
from bot.hub.hub import Hub
from bot.hub.identity import Directory
from bot.hub.keeping import Terms
from bot.hub.manner_commands import MannerCommands
from bot.hub.pairing import Pairing
from bot.services.approvals import Approvals
from bot.services.correspondence import wants_no_mail
from bot.services.manners import Manners
from storage.database import Database

Replies = Literal["approve", "known", "all"]

REPLIES_PER_HOUR = 10
"""To one sender of mail who is not the owner: whoever answers Robbie by a machine ends no mailbox."""
STRANGERS_PER_HOUR = 30
"""Mails of all strangers together that are read for the owner: senders are easily invented."""
_LINK = re.compile(r"\s*/?link\s+([a-z0-9]{6,16})\s*", re.I)


class Front:
    """The reception of every channel that Robbie listens on. `replies`: which mail is answered without the owner's yes."""

    def __init__(
        self,
        *,
        hub: Hub,
        database: Database,
        directory: Directory,
        pairing: Pairing,
        approvals: Approvals,
        reactive: Reactive,
        manners: Manners,
        manner_commands: MannerCommands,
        adapters: Mapping[str, Adapter],
        replies: Replies,
        clock: Clock,
    ) -> None:
        self._hub, self._database, self._clock, self._reactive = hub, database, clock, reactive
        self._directory, self._pairing, self._approvals = directory, pairing, approvals
        self._manners, self._manner_commands = manners, manner_commands
        self._adapters, self._replies = adapters, replies

    async def receive(self, inbound: Inbound) -> None:
        """Keep it, once, however often it is repeated: when this returns, the channel may be told. Raises StorageUnavailable."""
        person, inbound = await self._recognised(inbound)
        if not self._adapters[inbound.address.channel].capabilities.answers_strangers:
            await self._receive_mail(inbound, person)
        elif person is not None:
            await self._hub.receive(inbound, person, Terms(is_noted=not inbound.wants_reply))
        elif inbound.kind in ASKING and inbound.wants_reply:
            await self._pairing.meet(inbound)

    async def overview(self, sender: Sender) -> Sequence[Card]:
        """What somebody may know at a glance; nothing for a stranger."""
        if (person := await self._directory.by_account(sender.channel, sender.account)) is None:
            return ()
        question = Question(id=new_id(), conversation_id=new_id(), person=person, text="", asked_at=self._clock.now())
        today, health = await self._reactive.say(Intent.DATE, question), await self._reactive.say(Intent.STATUS, question)
        waiting = await self.waiting(person)
        local = question.asked_at.astimezone(ZoneInfo(person.timezone)).date()
        async with self._database.reading() as work:
            due = [task for task in await work.tasks.open(person.id) if task.due_on is not None and task.due_on <= local]
        today += f" To be done by its end: {len(due)} {'thing' if len(due) == 1 else 'things'}, `/tasks` tells which." if due else ""
        how = await self._manner_commands.shown(person)
        return (Card(text=today), Card(text=health), how, *(waiting or [Card(text="Nothing waits for your decision.")]))

    async def waiting(self, person: Person) -> Sequence[Card]:
        """What waits for this person's decision."""
        return [*await self._pairing.cards(person), *await self._approvals.waiting(person)]

    async def manners(self, sender: Sender) -> Mapping[str, str]:
        """How Robbie is set for somebody in private, by the names of what they may set, and their `zone`; nothing for a stranger."""
        if (person := await self._directory.by_account(sender.channel, sender.account)) is None:
            return {}
        held = (await self._manners.look(person))[0].personality
        names = [name for name in (*SLIDERS, "mood") if name != "flirty" or person.is_owner]
        return {name: str(getattr(held, name)) for name in names} | {"zone": person.timezone}

    async def draft(self, sender: Sender, code: str) -> str | None:
        """The words that wait for this person's decision under *code*."""
        person = await self._directory.by_account(sender.channel, sender.account)
        return None if person is None else await self._approvals.draft(person, code)

    async def _recognised(self, inbound: Inbound) -> tuple[Person | None, Inbound]:
        """Whose account it is, where the channel vouches for it; a code told in private makes it somebody's, and is a command then."""
        if not inbound.is_verified:
            return None, inbound
        known = await self._directory.by_account(inbound.sender.channel, inbound.sender.account)
        found = _LINK.fullmatch(inbound.text) if inbound.kind in ASKING and inbound.address.session_type is SessionType.PRIVATE else None
        if known is not None or found is None:
            return known, inbound
        person_id = await self._pairing.redeem(inbound, found.group(1))
        if person_id is None:
            return None, inbound
        return await self._directory.by_id(person_id), replace(inbound, text=f"/link {found.group(1)}")

    async def _receive_mail(self, inbound: Inbound, person: Person | None) -> None:
        """A person's mail is theirs; anybody else's is read for the owner, by someone without hands, and answered if the owner wants."""
        if person is None:
            inbound = replace(inbound, address=replace(inbound.address, session_type=SessionType.SHARED))
        terms = await self._terms(inbound, person)
        await self._hub.receive(inbound, person or await self._directory.owner(), terms)

    async def _terms(self, inbound: Inbound, person: Person | None) -> Terms:
        if person is not None and person.is_owner:
            return Terms(is_noted=not inbound.wants_reply)
        is_held = self._replies == "approve" or (person is None and (self._replies == "known" or not inbound.is_verified))
        is_left = person is None and wants_no_mail(inbound)  # to confirm it would be one more mail
        is_noted = not inbound.wants_reply or is_left or await self._is_too_much(inbound.sender, is_stranger=person is None)
        return Terms(is_noted=is_noted, is_held=is_held, is_stranger=person is None)

    async def _is_too_much(self, sender: Sender, *, is_stranger: bool) -> bool:
        since = self._clock.now() - timedelta(hours=1)
        async with self._database.reading() as work:
            if is_stranger and await work.inbox.strangers_since(sender.channel, since) >= STRANGERS_PER_HOUR:
                return True
            return await work.inbox.asked_since(sender.channel, sender.account, since) >= REPLIES_PER_HOUR
