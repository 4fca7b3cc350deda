"""Who is writing: accounts on channels lead to people; an account that leads to nobody is a stranger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from bot.config import PersonConfig, RobbieConfig
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errors import RobbieError
from storage.database import Database, UnitOfWork
from storage.models.people import Identity, User

FORMER = "former"
"""The role of someone whom config names no more: their words are kept, their credentials open nothing."""
STRANGER = "stranger"
"""The role of someone who wrote and has not been let in."""
OUTSIDE = (FORMER, STRANGER)

CONFIG, PAIRING = "config", "pairing"
"""Where someone comes from whom config names, and whom the owner let in."""


class Directory:
    """The people Robbie knows. Config names them; the database gives them their ids."""

    def __init__(self, *, database: Database, robbie: RobbieConfig, people: Sequence[PersonConfig], clock: Clock) -> None:
        self._database = database
        self._robbie = robbie
        self._people = people
        self._clock = clock

    async def prepare(self) -> Person:
        """Everyone that config names exists after this; the owner is returned. Where that is so already, nothing is locked or written."""
        async with self._database.reading() as work:
            is_so = self._agrees(await work.people.users(), await work.people.identities())
        if not is_so:
            async with self._database.unit_of_work() as work:
                await self._write(work)
        return await self.owner()

    def _wanted(self) -> dict[str, tuple[str, str]]:
        """Role and timezone of everyone that config names."""
        zone = self._robbie.timezone
        named = {person.name: (person.role, person.timezone or zone) for person in self._people}
        return {**named, self._robbie.owner: ("owner", named.get(self._robbie.owner, ("", zone))[1])}

    def _agrees(self, users: Sequence[User], identities: Sequence[Identity]) -> bool:
        names = {user.id: user.name for user in users}
        linked = {(row.channel, row.account, names.get(row.user_id)) for row in identities}
        wanted = {(identity.platform, identity.id, person.name) for person in self._people for identity in person.identities}
        named = {user.name: (user.role, user.home_timezone) for user in users if user.role != FORMER and user.origin == CONFIG}
        return wanted <= linked and self._wanted() == named

    async def _write(self, work: UnitOfWork) -> None:
        now, wanted = self._clock.now(), self._wanted()
        await work.people.ensure_organization(now)
        await self._move_namesakes_aside(work, wanted)
        users = await work.people.users()
        owners = [user for user in users if user.role == "owner"]
        if len(owners) == 1 and all(user.name != self._robbie.owner for user in users):  # else that name is somebody else's
            await work.people.change(owners[0].id, name=self._robbie.owner)
        await self._rename(work, wanted)
        for name, (role, zone) in wanted.items():
            user = await work.people.ensure_user(name=name, role=role, timezone=zone, now=now)
            for identity in (each for person in self._people if person.name == name for each in person.identities):
                await work.people.ensure_identity(channel=identity.platform, account=identity.id, user_id=user.id, now=now)
        await work.people.retire(except_for=wanted)

    async def _rename(self, work: UnitOfWork, wanted: Collection[str]) -> None:
        """Who has another name in config now keeps what is theirs, if all of their accounts were one person's whom config names no more."""
        users = await work.people.users()
        gone = {user.id for user in users if user.origin == CONFIG and user.role != FORMER and user.name not in wanted}
        whose = {(row.channel, row.account): row.user_id for row in await work.people.identities()}
        for person in self._people:
            known = {whose.get((each.platform, each.id)) for each in person.identities}
            if len(known) == 1 and known <= gone and all(user.name != person.name for user in users):
                await work.people.change(*(each for each in known if each), name=person.name)

    async def _move_namesakes_aside(self, work: UnitOfWork, wanted: Collection[str]) -> None:
        """Whoever was let in chose their name themselves: they are whom config names so only if config names an account of theirs."""
        users, identities = await work.people.users(), await work.people.identities()
        named: dict[Any, str] = {(each.platform, each.id): person.name.casefold() for person in self._people for each in person.identities}
        for user in users:
            accounts = [(row.channel, row.account) for row in identities if row.user_id == user.id]
            is_namesake = user.name.casefold() in {name.casefold() for name in wanted}
            if user.origin == PAIRING and is_namesake and all(named.get(each) != user.name.casefold() for each in accounts):
                await work.people.change(user.id, name=f"{user.name} ({user.id})")

    async def owner(self) -> Person:
        """The one Robbie works for."""
        async with self._database.reading() as work:
            if (found := await work.people.find_user(self._robbie.owner)) is None:
                raise RobbieError(f"the owner {self._robbie.owner!r} is not in the database yet; start Robbie once")
        return found.person

    async def by_name(self, name: str) -> Person | None:
        """The person of this name, however it is capitalised."""
        async with self._database.reading() as work:
            users = await work.people.users()
        known = (user for user in users if user.role not in OUTSIDE)
        return next((user.person for user in known if user.name.casefold() == name.casefold()), None)

    async def by_id(self, person_id: UUID) -> Person | None:
        """The person of this id."""
        async with self._database.reading() as work:
            return _let_in(await work.people.find_user_by_id(person_id))

    async def by_account(self, channel: str, account: str) -> Person | None:
        """Whose account this is; None for a stranger's."""
        async with self._database.reading() as work:
            return _let_in(await work.people.find_user_by_account(channel, account))

    def names(self, channel: str, account: str) -> bool:
        """Whether config says whose account this is."""
        return any((identity.platform, identity.id) == (channel, account) for person in self._people for identity in person.identities)

    async def everyone(self) -> Sequence[tuple[Person, Sequence[Identity]]]:
        """All people with their accounts."""
        async with self._database.reading() as work:
            users, identities = await work.people.users(), await work.people.identities()
        return [(user.person, [row for row in identities if row.user_id == user.id]) for user in users if user.role != STRANGER]


def _let_in(user: User | None) -> Person | None:
    return None if user is None or user.role in OUTSIDE else user.person
