"""Questions about sign-in links, sessions and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam as given
from sqlalchemy import insert, or_, select, update

from bot.domain.clock import new_id
from storage.models.housekeeping import Credential
from storage.repositories.base import Repository, ours, values_of

_VALID = (
    ours(Credential),
    Credential.kind == given("of_kind"),
    Credential.ended_at.is_(None),
    or_(Credential.expires_at.is_(None), Credential.expires_at > given("now")),
)
_ALL_VALID = select(Credential).where(*_VALID).order_by(Credential.id)
_BY_SECRET = select(Credential).where(*_VALID, Credential.secret_hash == given("secret"))
_REDEEM = update(Credential).where(*_VALID, Credential.secret_hash == given("secret")).values(ended_at=given("now")).returning(Credential)
_END = update(Credential).where(ours(Credential), Credential.id == given("credential"), Credential.ended_at.is_(None))


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
        await self._insert(insert(Credential), **values_of(row))
        return row

    async def find_valid(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """The credential with this secret, if it still opens the door."""
        return await self._first(Credential, _BY_SECRET, of_kind=kind, secret=secret_hash, now=now)

    async def redeem(self, kind: str, secret_hash: str, now: datetime) -> Credential | None:
        """As `find_valid`, and nobody can use it again."""
        return await self._first(Credential, _REDEEM, of_kind=kind, secret=secret_hash, now=now)

    async def end(self, credential_id: UUID, now: datetime) -> bool:
        """Revoke one; says whether it was valid."""
        return await self._changes(_END, credential=credential_id, ended_at=now)

    async def valid(self, kind: str, now: datetime) -> Sequence[Credential]:
        """All of one kind that still open the door, oldest first."""
        return await self._all(Credential, _ALL_VALID, of_kind=kind, now=now)
