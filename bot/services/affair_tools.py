"""What a model may do with somebody's tasks, people, deals and notes, in as few words of schema as it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from bot.domain.errand import Errand, Risk, Tool
from bot.domain.errors import ToolFailed
from bot.services.affairs import folded
from bot.services.contacts import Contacts, told_contact
from bot.services.deals import Deals, parse_deal, told_deal
from bot.services.notes import Notes
from bot.services.tasks import Tasks, spoken

FOUND = 12


class Finding(BaseModel):
    """What is looked for."""

    what: Literal["tasks", "people", "deals", "notes"]
    words: str = Field("", description="empty lists all")


class NewTask(BaseModel):
    """A task as a model names it."""

    title: str
    when: str = Field("", description='e.g. "Friday at 3", "every weekday at 9"')
    kind: Literal["task", "reminder", "promise"] = "task"


class TaskChange(BaseModel):
    """What becomes of a task."""

    which: str = Field(description="code or words of its title")
    action: Literal["done", "snooze", "edit", "remove"]
    to: str = Field("", description="new time or title")


class Somebody(BaseModel):
    """A contact as a model names it; empty is unchanged."""

    name: str
    email: str = ""
    phone: str = ""
    company: str = ""
    role: str = ""
    next_step: str = ""


class SomeDeal(BaseModel):
    """A deal as a model names it; empty is unchanged."""

    name: str
    stage: Literal["", "lead", "qualified", "proposal", "negotiation", "won", "lost"] = ""
    value: str = Field("", description='e.g. "40k EUR"')
    next_step: str = ""


class Text(BaseModel):
    """Words to keep."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AffairTool:
    """One tool: see `Tool`."""

    name: str
    description: str
    kind: str
    arguments: type[BaseModel]
    act: Callable[[Any, Errand], Awaitable[str]]
    risk: Risk = Risk.OWN

    async def run(self, arguments: Any, errand: Errand) -> str:
        """Do it for the errand's person. Raises ToolFailed, StorageUnavailable."""
        return await self.act(arguments, errand)


def affair_tools(*, tasks: Tasks, contacts: Contacts, deals: Deals, notes: Notes) -> Sequence[Tool]:
    """The tools, over these books."""

    async def find(asked: Finding, errand: Errand) -> str:
        person, lines = errand.person, []
        match asked.what:
            case "tasks":
                lines = [f"{row.code} {spoken(row, tasks.local(person))}" for row in await tasks.standing(person)]
            case "people":
                if asked.words:
                    return (await contacts.tell(person, asked.words))[1]
                lines = [f"{row.code} {told_contact(row)}" for row in await contacts.standing(person)]
            case "deals":
                lines = [f"{row.code} {told_deal(row)}" for row in await deals.standing(person)]
            case "notes":
                lines = [row.text for row in await notes.find(person)]
        wanted = set(folded(asked.words).split())
        lines = [line for line in lines if wanted <= set(folded(line).split())]
        more = f"\n… and {len(lines) - FOUND} more" if len(lines) > FOUND else ""
        return "\n".join(lines[:FOUND]) + more or f"No {asked.what} like that."

    async def add_task(asked: NewTask, errand: Errand) -> str:
        when = tasks.when(errand.person, asked.when) if asked.when else None
        if asked.when and when is None:
            raise ToolFailed(f"“{asked.when}” is no time I understand; one is “Friday at 3” or “every weekday at 9”.")
        if asked.kind == "reminder" and when is None:
            raise ToolFailed("a reminder needs `when`, for example “Friday at 3”")
        row = await tasks.add(errand, asked.title, when=when, kind=asked.kind)
        return f"Added {row.code}: {spoken(row, tasks.local(errand.person))}."

    async def change_task(asked: TaskChange, errand: Errand) -> str:
        row = await tasks.find(errand.person, asked.which)
        match asked.action:
            case "done":
                return await tasks.done(errand, row.code)
            case "snooze":
                return await tasks.snooze(errand, row.code, asked.to)
            case "edit":
                return await tasks.edit(errand, row.code, asked.to)
            case "remove":
                return await tasks.remove(errand, row.code)

    async def contact(asked: Somebody, errand: Errand) -> str:
        return (await contacts.keep(errand, **asked.model_dump()))[1]

    async def deal(asked: SomeDeal, errand: Errand) -> str:
        values = parse_deal(f"x, {asked.value}")[1] | {name: each for name in ("stage", "next_step") if (each := getattr(asked, name))}
        if asked.value and "value_cents" not in values:
            raise ToolFailed(f"“{asked.value}” is no amount I understand; one is “40k EUR” or “$3,500.50”.")
        return (await deals.keep(errand, asked.name, values))[1]

    async def note(asked: Text, errand: Errand) -> str:
        return await notes.keep(errand, asked.text)

    def tool(act: Callable[[Any, Errand], Awaitable[str]], kind: str, arguments: type[BaseModel], told: str, **more: Any) -> Tool:
        return AffairTool(name=act.__name__, description=told, kind=kind, arguments=arguments, act=act, **more)

    return (
        tool(find, "affairs.find", Finding, "Look into the person's own lists.", risk=Risk.LOOK),
        tool(add_task, "task.add", NewTask, "Add a task or reminder."),
        tool(change_task, "task.change", TaskChange, "Finish, postpone, change or drop a task."),
        tool(contact, "contact.keep", Somebody, "Add or update a contact."),
        tool(deal, "deal.keep", SomeDeal, "Add or update a deal."),
        tool(note, "note.add", Text, "Keep a note."),
    )
