"""Questions about who uses Robbie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, select, update
from sqlalchemy import bindparam as given

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.people import Identity, Organization, User
from storage.repositories.base import Repository, ours

_ADD_ORGANIZATION = insert_or_skip(Organization)
_ADD_USER = insert_or_skip(User)
_CHANGE_USER = update(User).where(
    ours(User), User.name == given("whom"), or_(User.role != given("new_role"), User.timezone != given("new_zone"))
)
_ADD_IDENTITY = insert_or_replace(Identity, "user_id")
_USER_BY_NAME = select(User).where(ours(User), User.name == given("name"))
_USER_BY_ID = select(User).where(ours(User), User.id == given("user"))
_USER_BY_ACCOUNT = (
    select(User)
    .join(Identity, and_(Identity.organization_id == User.organization_id, Identity.user_id == User.id))
    .where(ours(Identity), Identity.channel == given("channel"), Identity.account == given("account"))
)
_RENAME = update(User).where(ours(User), User.id == given("user"))
_RETIRE = update(User).where(ours(User), User.role != "former", User.name.not_in(given("names", expanding=True))).values(role="former")
_USERS = select(User).where(ours(User)).order_by(User.id)
_IDENTITIES = select(Identity).where(ours(Identity)).order_by(Identity.channel, Identity.account)


class People(Repository):
    """Organizations, users and identities."""

    async def ensure_organization(self, now: datetime) -> None:
        """The organization exists after this."""
        await self._connection.execute(_ADD_ORGANIZATION, {"id": self._organization, "created_at": now})

    async def ensure_user(self, *, name: str, role: str, timezone: str, now: datetime) -> User:
        """The user of this name, with the role and zone that config gives them."""
        await self._insert(_ADD_USER, id=new_id(), name=name, role=role, timezone=timezone, created_at=now)
        await self._changes(_CHANGE_USER, whom=name, new_role=role, new_zone=timezone, role=role, timezone=timezone)
        found = await self.find_user(name)
        assert found is not None
        return found

    async def rename(self, user_id: UUID, name: str) -> None:
        """The user is called so from now on."""
        await self._changes(_RENAME, user=user_id, name=name)

    async def retire(self, *, except_for: Collection[str]) -> bool:
        """Whoever is not among these names keeps what they wrote, and no rights; whether anybody had any."""
        return await self._changes(_RETIRE, names=list(except_for))

    async def ensure_identity(self, *, channel: str, account: str, user_id: UUID, now: datetime) -> bool:
        """The account leads to this user after this; whether it did not before."""
        linked = await self.find_user_by_account(channel, account)
        if linked is not None and linked.id == user_id:
            return False
        return await self._insert(_ADD_IDENTITY, channel=channel, account=account, user_id=user_id, created_at=now)

    async def find_user(self, name: str) -> User | None:
        """The user of exactly this name."""
        return await self._first(User, _USER_BY_NAME, name=name)

    async def find_user_by_id(self, user_id: UUID) -> User | None:
        """The user of this id."""
        return await self._first(User, _USER_BY_ID, user=user_id)

    async def find_user_by_account(self, channel: str, account: str) -> User | None:
        """Whose account this is."""
        return await self._first(User, _USER_BY_ACCOUNT, channel=channel, account=account)

    async def users(self) -> Sequence[User]:
        """Everyone, in the order they came."""
        return await self._all(User, _USERS)

    async def identities(self) -> Sequence[Identity]:
        """Every linked account."""
        return await self._all(Identity, _IDENTITIES)
