"""What every repository has: its session and its organization."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncSession


class Repository:
    """Questions asked of one family of tables, inside the transaction of a unit of work."""

    def __init__(self, session: AsyncSession, organization: str) -> None:
        self._session = session
        self._organization = organization

    async def _changes(self, statement: Executable) -> bool:
        """Whether *statement* changed any row."""
        return bool(cast(CursorResult[Any], await self._session.execute(statement)).rowcount)
