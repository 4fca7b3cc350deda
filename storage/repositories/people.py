"""Questions about who uses Robbie."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from bot.domain.clock import new_id
from storage.dialects import upsert
from storage.models.people import Identity, Organization, User
from storage.repositories.base import Repository


class People(Repository):
    """Organizations, users and identities."""

    async def ensure_organization(self, now: datetime) -> None:
        """The organization exists after this."""
        await self._session.execute(
            upsert(self._session, Organization).values(id=self._organization, created_at=now).on_conflict_do_nothing()
        )

    async def ensure_user(self, *, name: str, role: str, timezone: str, now: datetime) -> User:
        """The user of this name, with the role and zone that config gives them."""
        values = {
            "organization_id": self._organization,
            "id": new_id(),
            "name": name,
            "role": role,
            "timezone": timezone,
            "created_at": now,
        }
        await self._session.execute(upsert(self._session, User).values(**values).on_conflict_do_nothing())
        await self._session.execute(
            update(User)
            .where(User.organization_id == self._organization, User.name == name, (User.role != role) | (User.timezone != timezone))
            .values(role=role, timezone=timezone)
        )
        found = await self.find_user(name)
        assert found is not None
        return found

    async def ensure_identity(self, *, channel: str, account: str, user_id: UUID, now: datetime) -> None:
        """The account leads to this user after this."""
        row = {"organization_id": self._organization, "channel": channel, "account": account, "user_id": user_id, "created_at": now}
        await self._session.execute(
            upsert(self._session, Identity)
            .values(**row)
            .on_conflict_do_update(index_elements=["organization_id", "channel", "account"], set_={"user_id": user_id})
        )

    async def find_user(self, name: str) -> User | None:
        """The user of exactly this name."""
        query = select(User).where(User.organization_id == self._organization, User.name == name)
        return (await self._session.scalars(query)).first()

    async def find_user_by_id(self, user_id: UUID) -> User | None:
        """The user of this id."""
        return await self._session.get(User, (self._organization, user_id))

    async def find_user_by_account(self, channel: str, account: str) -> User | None:
        """Whose account this is."""
        query = (
            select(User)
            .join(Identity, (Identity.organization_id == User.organization_id) & (Identity.user_id == User.id))
            .where(Identity.organization_id == self._organization, Identity.channel == channel, Identity.account == account)
        )
        return (await self._session.scalars(query)).first()

    async def users(self) -> Sequence[User]:
        """Everyone, in the order they came."""
        return (await self._session.scalars(select(User).where(User.organization_id == self._organization).order_by(User.id))).all()

    async def identities(self) -> Sequence[Identity]:
        """Every linked account."""
        query = select(Identity).where(Identity.organization_id == self._organization).order_by(Identity.channel, Identity.account)
        return (await self._session.scalars(query)).all()
