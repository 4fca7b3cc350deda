"""What a model may do with somebody's tasks, people, deals and notes: it says it in the words a person would, in few tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from bot.domain.errand import Errand, Risk, Tool, from_outside
from bot.domain.errors import ToolFailed
from bot.services.affairs import Book, holds
from bot.services.books import Books

FOUND = 12
Noun = Literal["task", "contact", "deal", "note"]


class Looking(BaseModel):  # noqa: D101
    # no docstring here and below: it would be told to the model with every question
    what: Noun
    words: str = Field("", description="empty lists all")


class Adding(BaseModel):  # noqa: D101
    what: Literal["task", "reminder", "promise", "contact", "deal", "note"]
    text: str = Field(
        description='e.g. "call Dana on Friday at 3", "stretch every weekday at 9", '
        '"Dana Smith, dana@acme.com, at Acme, next=call Monday", "Acme, negotiation, 40k EUR, next: contract"'
    )


class Changing(BaseModel):  # noqa: D101
    what: Noun
    which: str = Field(description="code or words of its title")
    action: Literal["done", "snooze", "edit", "remove", "touch"] = Field(description="touch: was talked to")
    to: str = Field("", description="new time, title or values")


@dataclass(frozen=True, kw_only=True, slots=True)
class AffairTool:
    """One tool: see `Tool`."""

    name: str
    description: str
    kind: str
    risk: Risk
    arguments: type[BaseModel]
    act: Callable[[Any, Errand], Awaitable[str]]

    async def run(self, arguments: Any, errand: Errand) -> str:
        """Do it for the errand's person. Raises ToolFailed, StorageUnavailable."""
        return await self.act(arguments, errand)


def affair_tools(books: Books) -> Sequence[Tool]:
    """The tools, over these books."""

    async def find(asked: Looking, errand: Errand) -> str:
        if asked.what == "contact" and asked.words:
            contact, told = await books.contact.tell(errand.person, asked.words)
            return from_outside(told) if contact.last_heard_at else told
        book: Book[Any] = getattr(books, asked.what)
        rows = [(row, book.line(row, book.local(errand.person))) for row in await book.standing(errand.person)]
        found = [(row, f"{getattr(row, 'code', '')} {line}".strip()) for row, line in rows if holds(line, asked.words)]
        more = f"\n… and {len(found) - FOUND} more" if len(found) > FOUND else ""
        told = "\n".join(line for _, line in found[:FOUND]) + more or f"No {asked.what} like that."
        # whoever was heard from may have chosen their name, and the subjects of their mail
        return from_outside(told) if any(getattr(row, "last_heard_at", None) for row, _ in found[:FOUND]) else told

    async def add(asked: Adding, errand: Errand) -> str:
        if asked.what in ("task", "reminder", "promise"):
            return (await books.task.take(errand, asked.text, asked.what))[1]
        return str((await getattr(books, asked.what).take(errand, asked.text))[1])

    async def change(asked: Changing, errand: Errand) -> str:
        book: Book[Any] = getattr(books, asked.what)
        if asked.action not in book.verbs:
            raise ToolFailed(f"a {asked.what} can be: {', '.join(book.verbs)}")
        row = await book.find(errand.person, asked.which)
        return str(await getattr(book, asked.action)(errand, row, asked.to if asked.action in ("edit", "snooze") else ""))

    told = (
        ("find", "Look into the person's lists.", Risk.LOOK, Looking, find),
        ("add", "Add to them; a known contact or deal is updated.", Risk.OWN, Adding, add),
        ("change", "Change what is in them.", Risk.OWN, Changing, change),
    )
    return tuple(
        AffairTool(name=name, description=says, kind=f"affairs.{name}", risk=risk, arguments=arguments, act=act)
        for name, says, risk, arguments, act in told
    )
