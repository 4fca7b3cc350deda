"""Questions about who uses Robbie, and by which accounts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy import bindparam as given

from bot.domain.clock import new_id
from storage.dialects import insert_or_replace, insert_or_skip
from storage.models.people import Identity, LinkCode, Organization, User
from storage.repositories.base import Repository, ours

_ADD_ORGANIZATION = insert_or_skip(Organization)
_ADD_USER = insert_or_skip(User)
_CHANGE_USER = update(User).where(ours(User), User.name == given("whom"), or_(User.role != given("new_role"), User.origin != "config"))
_MOVE_HOME = update(User).where(ours(User), User.name == given("whom"), User.home_timezone != given("new_zone"))
_CHANGE_BY_ID = update(User).where(ours(User), User.id == given("whom"))
_ADD_CODE = insert_or_skip(LinkCode)
_ANY_CODE = select(LinkCode).where(ours(LinkCode), LinkCode.kind == given("of_kind"), LinkCode.code == given("the_code"))
_CODE = _ANY_CODE.where(LinkCode.used_at.is_(None), or_(LinkCode.expires_at.is_(None), LinkCode.expires_at > given("now")))
_USE_CODE = update(LinkCode).where(ours(LinkCode), LinkCode.id == given("which"), LinkCode.used_at.is_(None)).values(used_at=given("now"))
_OPEN_CODES = select(LinkCode).where(ours(LinkCode), LinkCode.kind == given("of_kind"), LinkCode.used_at.is_(None)).order_by(LinkCode.id)
_END_IDENTITY = delete(Identity).where(ours(Identity), Identity.channel == given("channel"), Identity.account == given("account"))
_ADD_IDENTITY = insert_or_replace(Identity, "user_id")
_USER_BY_NAME = select(User).where(ours(User), User.name == given("name"))
_USER_BY_ID = select(User).where(ours(User), User.id == given("user"))
_USER_BY_ACCOUNT = (
    select(User)
    .join(Identity, and_(Identity.organization_id == User.organization_id, Identity.user_id == User.id))
    .where(ours(Identity), Identity.channel == given("channel"), Identity.account == given("account"))
)
_OWNER = select(User).where(ours(User), User.role == "owner").limit(1)
_RETIRE = (
    update(User)
    .where(ours(User), User.role != "former", User.origin == "config", User.name.not_in(given("names", expanding=True)))
    .values(role="former")
)
_USERS = select(User).where(ours(User)).order_by(User.id)
_IDENTITIES = select(Identity).where(ours(Identity)).order_by(Identity.channel, Identity.account)


class People(Repository):
    """Organizations, users and identities."""

    async def ensure_organization(self, now: datetime) -> None:
        """The organization exists after this."""
        await self._connection.execute(_ADD_ORGANIZATION, {"id": self._organization, "created_at": now})

    async def ensure_user(self, *, name: str, role: str, timezone: str, now: datetime) -> User:
        """The user of this name, with the role and, where it is news, the zone that config gives them: a journey outlasts a restart."""
        zones = {"timezone": timezone, "home_timezone": timezone}
        await self._insert(_ADD_USER, id=new_id(), name=name, role=role, created_at=now, origin="config", **zones)
        await self._changes(_CHANGE_USER, whom=name, new_role=role, role=role, origin="config")
        await self._changes(_MOVE_HOME, whom=name, new_zone=timezone, **zones)
        found = await self.find_user(name)
        assert found is not None
        return found

    async def add_stranger(self, *, name: str, timezone: str, now: datetime) -> User | None:
        """Somebody who is not let in yet; None where the name is somebody else's."""
        user_id = new_id()
        row = {"id": user_id, "name": name, "role": "stranger", "timezone": timezone, "created_at": now, "origin": "pairing"}
        return await self.find_user_by_id(user_id) if await self._insert(_ADD_USER, **row) else None

    async def change(self, user_id: UUID, **values: str) -> None:
        """This user has another role or name from now on."""
        await self._changes(_CHANGE_BY_ID, whom=user_id, **values)

    async def move(self, user_id: UUID, *, timezone: str, home: str) -> None:
        """Where this user is now, and where they belong."""
        await self.change(user_id, timezone=timezone, home_timezone=home)

    async def add_code(self, **values: Any) -> bool:
        """Keep a code; False where it is taken. The values are the columns of `LinkCode`."""
        return await self._insert(_ADD_CODE, id=new_id(), **values)

    async def find_code(self, kind: str, code: str, now: datetime) -> LinkCode | None:
        """The code, if it can still be used."""
        return await self._first(LinkCode, _CODE, of_kind=kind, the_code=code, now=now)

    async def find_any_code(self, kind: str, code: str) -> LinkCode | None:
        """The code, used or not."""
        return await self._first(LinkCode, _ANY_CODE, of_kind=kind, the_code=code)

    async def use_code(self, code_id: UUID, now: datetime) -> bool:
        """Nobody can use it again; False where somebody did."""
        return await self._changes(_USE_CODE, which=code_id, now=now)

    async def open_codes(self, kind: str) -> Sequence[LinkCode]:
        """All codes of a kind that nobody has used, oldest first."""
        return await self._all(LinkCode, _OPEN_CODES, of_kind=kind)

    async def end_identity(self, channel: str, account: str) -> bool:
        """The account leads to nobody after this; whether it did to somebody."""
        return await self._changes(_END_IDENTITY, channel=channel, account=account)

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

    async def owner(self) -> User:
        """The one Robbie works for, who exists since the start."""
        found = await self._first(User, _OWNER)
        assert found is not None
        return found

    async def find_user_by_account(self, channel: str, account: str) -> User | None:
        """Whose account this is."""
        return await self._first(User, _USER_BY_ACCOUNT, channel=channel, account=account)

    async def users(self) -> Sequence[User]:
        """Everyone, in the order they came."""
        return await self._all(User, _USERS)

    async def identities(self) -> Sequence[Identity]:
        """Every linked account."""
        return await self._all(Identity, _IDENTITIES)
