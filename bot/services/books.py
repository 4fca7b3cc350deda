"""All the books of a household's affairs, by what stands in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from bot.domain.clock import Clock
from bot.services.contacts import Contacts
from bot.services.deals import Deals
from bot.services.notes import Notes
from bot.services.tasks import Tasks
from storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """Tasks, contacts, deals and notes."""

    task: Tasks
    contact: Contacts
    deal: Deals
    note: Notes

    @classmethod
    def over(cls, database: Database, clock: Clock) -> Self:
        """The books in this database."""
        each: dict[str, Any] = {"database": database, "clock": clock}
        return cls(task=Tasks(**each), contact=Contacts(**each), deal=Deals(**each), note=Notes(**each))
