"""Questions about sign-in links, sessions and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update

from bot.domain.clock import new_id
from storage.models.housekeeping import Credential
from storage.repositories.base import Repository


class Credentials(Repository):
    """Ways to sign in; secrets are known by their SHA-256 only."""

    async def add(
        self, *, kind: str, secret_hash: str, user_id: UUID, label: str, now: datetime, expires_at: datetime | None
    ) -> Credential:
        """Keep a new credential."""
        row = Credential(
            organization_id=self._organization,
            id=new_id(),
            kind=kind,
            secret_hash=secret_hash,
            user_id=user_id,
            label=label,
            created_at=now,
            expires_at=expires_at,
        )
        self._session.add(row)
        await self._session.flush()
        return row

    async def find_valid(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """The credential with this secret, if it still opens the door."""
        query = select(Credential).where(*self._valid(kind, now), Credential.secret_hash == secret_hash)
        return (await self._session.scalars(query)).first()

    async def redeem(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """As `find_valid`, and nobody can use it again."""
        statement = (
            update(Credential)
            .where(*self._valid(kind, now), Credential.secret_hash == secret_hash)
            .values(ended_at=now)
            .returning(Credential)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def end(self, credential_id: UUID, now: datetime) -> bool:
        """Revoke one; says whether it was valid."""
        mine = (Credential.organization_id == self._organization, Credential.id == credential_id, Credential.ended_at.is_(None))
        return await self._changes(update(Credential).where(*mine).values(ended_at=now))

    async def valid(self, kind: str, now: datetime) -> Sequence[Credential]:
        """All of one kind that still open the door, oldest first."""
        return (await self._session.scalars(select(Credential).where(*self._valid(kind, now)).order_by(Credential.id))).all()

    def _valid(self, kind: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
        return (
            Credential.organization_id == self._organization,
            Credential.kind == kind,
            Credential.ended_at.is_(None),
            or_(Credential.expires_at.is_(None), Credential.expires_at > now),
        )
