"""How an account comes to somebody: the owner lets a stranger in by a code, or a person joins another account of their own by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.message import Button, Inbound
from bot.domain.ports import Card
from bot.hub.identity import OUTSIDE, PAIRING, STRANGER
from bot.hub.keeping import keep
from bot.services.approvals import make_code
from bot.services.notices import bare_line, say, tell
from storage.database import Database, UnitOfWork
from storage.models.messaging import InboxState
from storage.models.people import LinkCode, User

PAIR, LINK = "pair", "link"
MOST_STRANGERS = 20
"""Who may be waiting to be let in; more of them are not even noticed, so that nobody can flood the owner."""
PAIR_LIFE = timedelta(days=7)
LINK_LIFE = timedelta(minutes=10)
EXCERPT = 200


class Pairing:
    """Strangers, the codes they are given, and what the owner makes of them."""

    def __init__(self, *, database: Database, owner: str, timezone: str, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._timezone = timezone
        self._clock = clock

    async def meet(self, inbound: Inbound) -> None:
        """A stranger wrote: they are told a code, and the owner is asked; after that there is silence, unless nobody used it in time."""
        sender, now = inbound.sender, self._clock.now()
        async with self._database.unit_of_work() as work:
            stranger = await self._newcomer(work, inbound)
            if stranger is not None:
                await work.people.ensure_identity(channel=sender.channel, account=sender.account, user_id=stranger.id, now=now)
                await self._begin(work, inbound, stranger)

    async def _newcomer(self, work: UnitOfWork, inbound: Inbound) -> User | None:
        """The stranger, if they may be told a code: who never was, whose code ran out unnoticed, or whose account was taken away."""
        sender, now = inbound.sender, self._clock.now()
        codes = await work.people.open_codes(PAIR)
        where = {"channel": sender.channel, "account": sender.account}
        is_known = await work.inbox.find(**where, external_id=inbound.external_id) is not None
        if is_known or sum(_is_open(code, now) for code in codes) >= MOST_STRANGERS:
            return None
        user = await work.people.find_user_by_account(**where)
        if user is not None:
            lapsed = [code for code in codes if code.user_id == user.id and user.role == STRANGER]
            is_lapsed = bool(lapsed) and not any(_is_open(code, now) for code in lapsed)
            return user if is_lapsed and all([await work.people.use_code(code.id, now) for code in lapsed]) else None
        name = f"{bare_line(sender.name, 60) or 'Somebody'} ({sender.channel} {sender.account})"
        if (stranger := await work.people.add_stranger(name=name, timezone=self._timezone, now=now)) is not None:
            return stranger
        user = await work.people.find_user(name)
        if user is None or user.origin != PAIRING or user.role not in OUTSIDE:
            return None
        await work.people.change(user.id, role=STRANGER)
        return user

    async def _begin(self, work: UnitOfWork, inbound: Inbound, stranger: User) -> None:
        """Keep what they wrote, tell them their code, and ask the owner; all of it or nothing."""
        now = self._clock.now()
        where = {"channel": inbound.sender.channel, "account": inbound.sender.account}
        conversation = await work.conversations.at(inbound.address, stranger.id, now)
        await keep(work, inbound, stranger.person, conversation.id, state=InboxState.NOTED, now=now)
        code = make_code(6)
        while not await work.people.add_code(
            kind=PAIR, code=code, user_id=stranger.id, created_at=now, **where, event_id=inbound.id, expires_at=now + PAIR_LIFE
        ):
            code = make_code(8)
        told = f"I do not know you yet. If you know {self._owner}, tell them this code, and they can let you in: **{code}**"
        await say(work, conversation, stranger.id, told, now=now, reply_to=inbound.id)
        owner = await work.people.owner()
        wrote = " ".join(inbound.text.split())[:EXCERPT]
        await tell(work, owner.id, f"{_asks(stranger, code)}\n\n> {wrote}", now=now, buttons=choices(code))

    async def waiting(self) -> Sequence[tuple[str, User, datetime]]:
        """Who waits to be let in: code, stranger, since when."""
        now = self._clock.now()
        async with self._database.reading() as work:
            codes = [code for code in await work.people.open_codes(PAIR) if _is_open(code, now)]
            users = {user.id: user for user in await work.people.users()}
        return [(code.code, users[code.user_id], code.created_at) for code in codes if code.user_id in users]

    async def cards(self, person: Person) -> Sequence[Card]:
        """The strangers this person may let in: the owner's are all of them."""
        waiting = await self.waiting() if person.is_owner else ()
        return [Card(text=_asks(stranger, code), buttons=choices(code)) for code, stranger, _ in waiting]

    async def approve(self, code: str) -> str | None:
        """Let the stranger of this code in, and answer what they wrote first; who that is, None where there is no such code."""
        async with self._database.unit_of_work() as work:
            event_id, stranger = await self._use(work, code)
            if stranger is None:
                return None
            await work.people.change(stranger.id, role="member")
            name, short = stranger.name, stranger.name.rpartition(" (")[0]
            if short != "Somebody" and all(user.name.casefold() != short.casefold() for user in await work.people.users()):
                await work.people.change(stranger.id, name=short)
                name = short
            if event_id is not None:
                await self._welcome(work, event_id, stranger)
            return name

    async def _welcome(self, work: UnitOfWork, event_id: UUID, stranger: User) -> None:
        """Tell them where they wrote, and answer that now."""
        first = await work.messages.find_by_id(event_id)
        conversation = None if first is None else await work.conversations.find_by_id(first.conversation_id)
        if conversation is not None:
            told = f"{self._owner} has let you in. I am Robbie, their chief of staff; `/help` shows what I can do."
            await say(work, conversation, stranger.id, told, now=self._clock.now())
            await work.inbox.reopen(event_id, InboxState.RECEIVED)

    async def reject(self, code: str) -> str | None:
        """The stranger of this code stays one, and hears nothing; who that is, None where there is no such code."""
        async with self._database.unit_of_work() as work:
            _, stranger = await self._use(work, code)
            return stranger.name if stranger else None

    async def revoke(self, channel: str, account: str) -> bool:
        """The account leads to nobody any more; False where it did not. Whom config names, only config can send away."""
        async with self._database.unit_of_work() as work:
            user = await work.people.find_user_by_account(channel, account)
            if user is None or not await work.people.end_identity(channel, account):
                return False
            if user.origin == PAIRING and all(row.user_id != user.id for row in await work.people.identities()):
                await work.people.change(user.id, role="former")
            return True

    async def link_code(self, person: Person) -> str:
        """A code by which this person can join another account of theirs, once, for a few minutes."""
        now, code = self._clock.now(), make_code(10)
        async with self._database.unit_of_work() as work:
            await work.people.add_code(kind=LINK, code=_hash(code), user_id=person.id, created_at=now, expires_at=now + LINK_LIFE)
        return code

    async def redeem(self, inbound: Inbound, code: str) -> UUID | None:
        """Join the sender's account to whoever made this code; to whom, None where the code is not (or no more) good."""
        sender, now = inbound.sender, self._clock.now()
        async with self._database.unit_of_work() as work:
            found = await work.people.find_code(LINK, _hash(code), now)
            if found is None or found.user_id is None or not await work.people.use_code(found.id, now):
                return None
            user = await work.people.find_user_by_id(found.user_id)
            if user is None or user.role in OUTSIDE:
                return None
            await work.people.ensure_identity(channel=sender.channel, account=sender.account, user_id=user.id, now=now)
            return user.id

    async def outcome(self, person: Person, code: str) -> str:
        """What came of a code that somebody wrote from an account of *person*'s."""
        async with self._database.reading() as work:
            found = await work.people.find_any_code(LINK, _hash(code))
        if found is None or (found.used_at is None and not _is_open(found, self._clock.now())):
            return "That code is not good, or not any more. `/link` in a chat that I know gives a fresh one."
        if found.used_at is not None and found.user_id == person.id:
            return "This account is yours now: here and there you talk with the same me."
        return f"This account is {person.name}'s already. The owner can take it away with `robbie pair revoke`."

    async def _use(self, work: UnitOfWork, code: str) -> tuple[UUID | None, User | None]:
        """What the stranger of this code wrote, and who that is; nobody can use it again."""
        now = self._clock.now()
        found = await work.people.find_code(PAIR, code.strip().upper(), now)
        if found is None or found.user_id is None or not await work.people.use_code(found.id, now):
            return None, None
        return found.event_id, await work.people.find_user_by_id(found.user_id)


def choices(code: str) -> tuple[Button, ...]:
    """What the owner can do about a stranger."""
    return (Button(label="Let in", command=f"/pair approve {code}"), Button(label="Turn away", command=f"/pair reject {code}"))


def _asks(stranger: User, code: str) -> str:
    return f"**{stranger.name}** would like to talk with me. Their code is `{code}`."


def _is_open(code: LinkCode, now: datetime) -> bool:
    return code.expires_at is None or code.expires_at > now


def _hash(code: str) -> str:
    return hashlib.sha256(code.strip().upper().encode()).hexdigest()
