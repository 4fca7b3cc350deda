"""The words of timed work."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Round(Protocol):
    """Timed work that is looked after again and again while the hub runs, by every process: what it does it must do once by its rows."""

    @property
    def name(self) -> str:
        """What it is called in logs."""

    async def look(self, now: datetime) -> datetime | None:
        """Do what is due; when the next thing is known to be due, or None. Raises StorageUnavailable."""
