"""What people write about their tasks, people, deals and notes: slash commands, and a few sentences that mean them surely."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.brain.reactive import IN_PRIVATE
from bot.domain.errand import Errand
from bot.domain.errors import NotMeant, ToolFailed
from bot.domain.message import Button
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.affairs import Book, Unsure
from bot.services.books import Books
from bot.services.deals import ENDED, parse_deal, pipeline, told_deal
from bot.services.reminders import choices
from bot.services.tasks import REMINDER, is_overdue
from storage.database import Database

LISTED = 10
LOOKED_BACK = 12
"""Messages among which the last list is looked for."""
BUTTON_BYTES = 64
ALSO = {"drop": "remove", "delete": "remove", "change": "edit", "finish": "done", "talked": "touch", "move": "edit", "won": "done"}
"""Other words for what can be done."""

_LISTED = re.compile(r"^\d+\. .*`([A-Z2-9]{4,6})`$", re.M)
_HANDLE = re.compile(r"(\d{1,3}|[A-HJKMNP-Z2-9]{4,6}|(?=\w*\d)[a-hjkmnp-z2-9]{4,6})(?:\s+(.*))?", re.DOTALL)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NAMED = re.compile(r"([^:]+):\s+(.+)", re.DOTALL)

_TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_POLITE = "(?:hey |ok |please )?(?:robbie,? )?(?:please )?(?:can you |could you )?"


def _pattern(told: str) -> str:
    """A pattern of errands.toml, each <NAME> in it replaced by its own."""
    return re.sub(r"(?<!P)<([A-Z_]+)>", lambda name: _pattern(_TOLD["names"][name[1]]), told)


PLAIN = tuple((re.compile(_POLITE + _pattern(told), re.I), command) for told, command in _TOLD["sentences"]["rows"])
"""Whole sentences only; what merely sounds like one is left to a model and its tools."""


def plain(text: str) -> str:
    """The command that a sentence stands for; empty where that is not sure."""
    words = " ".join(text.split()).rstrip(".!? ").removesuffix(" please")
    if "?" in words:  # a question comes along, which nobody would answer
        return ""
    found = ((pattern.fullmatch(words), command) for pattern, command in PLAIN)
    return next((command.format(**match.groupdict()) for match, command in found if match), "")


class Errands:
    """The commands about a person's own affairs; what shows any of them is said in private alone."""

    def __init__(self, *, database: Database, books: Books) -> None:
        self._database = database
        self._books = books
        self.table: Mapping[str, Command] = {
            **{noun: self._about(noun) for noun in ("task", "contact", "deal", "note")},
            "remind": lambda question, words: self._take(question, "task", words, kind=REMINDER),
            **{name: in_private(command) for name, command in self._lists()},
        }

    def _lists(self) -> Sequence[tuple[str, Command]]:
        return (("tasks", self._tasks), ("deals", self._deals), ("who", self._who), ("notes", self._notes))

    def _about(self, noun: str) -> Command:
        book: Book[Any] = getattr(self._books, noun)

        async def command(question: Question, words: str) -> Card | str:
            first, _, rest = words.partition(" ")
            verb = ALSO.get(first.lower(), first.lower())
            if verb in book.verbs:
                return await self._act(question, book, verb, rest.strip()) if question.is_private else IN_PRIVATE
            if not question.is_private and noun not in ("task", "note"):  # those two only take down what was said here anyway
                return IN_PRIVATE
            return await self._take(question, noun, rest if verb == "add" else words)

        return command

    async def _take(self, question: Question, noun: str, words: str, **kind: str) -> Card:
        try:
            row, told = await getattr(self._books, noun).take(_errand(question), words, **kind)
        except Unsure as unsure:
            return _asked(unsure, "/who" if noun == "contact" else f"/{noun} edit")
        except ToolFailed as failed:
            return Card(text=str(failed))
        buttons = (*(choices(row)[:1] if noun == "task" else ()), _undo(question))
        return Card(text=told, buttons=buttons if question.is_private else ())

    async def _act(self, question: Question, book: Book[Any], verb: str, words: str) -> Card:
        """Do something with the row that is meant; where that is not clear, ask."""
        rest = ""
        try:
            which, rest = self._split(question, verb, words)
            row = await book.find(question.person, which, await self._listed(question, which))
            return Card(text=await getattr(book, verb)(_errand(question), row, rest), buttons=(_undo(question),))
        except Unsure as unsure:
            if verb == "update" and not unsure.nearest:
                return _buttoned(f"{unsure} Shall I add it?", [("Add it", f"/deal {words}")])
            if not unsure.nearest:
                raise NotMeant(str(unsure)) from unsure
            return _asked(unsure, f"/{book.noun} {verb}", rest)
        except ToolFailed as failed:
            return Card(text=str(failed))

    def _split(self, question: Question, verb: str, words: str) -> tuple[str, str]:
        """Which one is meant, and what shall become of it. Raises ToolFailed."""
        if verb == "update":
            return parse_deal(words)[0], words
        takes_more = verb in ("edit", "snooze")
        if (found := _HANDLE.fullmatch(words)) and (takes_more or not found[2] or _DAY.fullmatch(found[2])):
            return found[1], found[2] or ""
        if takes_more and (found := _NAMED.fullmatch(words)):
            return found[1], found[2]
        when, which = self._books.task.when(question.person, words) if verb == "snooze" else (None, words)
        return which, words[slice(*when.span)] if when else ""

    async def _tasks(self, question: Question, words: str) -> Card | str:
        now, only, book = self._books.task.local(question.person), words.lower(), self._books.task
        tasks = await book.standing(question.person)
        if only == "today":
            tasks = [task for task in tasks if task.due_on is not None and task.due_on <= now.date()]
        elif only == "overdue":
            tasks = [task for task in tasks if is_overdue(task, now)]
        elif only not in ("", "all"):
            return "I can list `/tasks`, `/tasks today`, `/tasks overdue` and `/tasks all`."
        if not tasks:
            return {"today": "There is nothing to do today.", "overdue": "Nothing is overdue."}.get(only, "There is nothing to do.")
        most = len(tasks) if only == "all" else LISTED
        shown = [f"{'**overdue** ' * is_overdue(task, now)}{book.line(task, now)} `{task.code}`" for task in tasks[:most]]
        lines = [f"{n}. {line}" for n, line in enumerate(shown, start=1)]
        more = f"\n\nAnd {len(tasks) - most} more: `/tasks all`." if len(tasks) > most else ""
        # a button for each of the first few, in their order, so that a number means the same written and pressed
        buttons = [Button(label=f"Done {n}", command=choices(task)[0].command) for n, task in enumerate(tasks[:5], start=1)]
        return Card(text="\n".join(lines) + more, buttons=tuple(buttons))

    async def _deals(self, question: Question, words: str) -> str:
        rows = [row for row in await self._books.deal.standing(question.person) if row.stage not in ENDED]
        if not rows:
            return "There is no open deal. `/deal Acme, negotiation, 40k` adds one."
        rows.sort(key=lambda row: -row.value_cents * row.probability)
        lines = [f"{n}. {told_deal(row)} `{row.code}`" for n, row in enumerate(rows, start=1)]
        return "\n".join([*lines, "", *(f"- {line}" for line in pipeline(rows))])

    async def _notes(self, question: Question, words: str) -> str:
        return await self._books.note.told(question.person, words)

    async def _who(self, question: Question, words: str) -> Card:
        try:
            row, told = await self._books.contact.tell(question.person, words, await self._listed(question, words))
        except Unsure as unsure:
            return _asked(unsure, "/who")
        return Card(text=told, buttons=(Button(label="Talked today", command=f"/contact touch {row.code}"),))

    async def _listed(self, question: Question, which: str) -> Sequence[str]:
        """The codes of the last list here, if a number is what names one of it."""
        if not which.strip().isdecimal():
            return ()
        async with self._database.reading() as work:
            said = await work.messages.latest(question.conversation_id, limit=LOOKED_BACK, before=question.id)
        lists = (_LISTED.findall(message.text) for message in reversed(said) if message.direction == "out")
        return next((codes for codes in lists if codes), ())


def in_private(command: Command) -> Command:
    """The same, where nobody reads along."""

    async def answered(question: Question, words: str) -> str | Card:
        return await command(question, words) if question.is_private else IN_PRIVATE

    return answered


def _errand(question: Question) -> Errand:
    where: dict[str, Any] = {"conversation_id": question.conversation_id, "session_type": question.session_type}
    return Errand(person=question.person, key=str(question.id), why="their own words", source_id=question.id, **where)


def _undo(question: Question) -> Button:
    """Takes back what came of just this, however late or often it is pressed."""
    return Button(label="Undo", command=f"/undo {question.id}")


def _asked(unsure: Unsure, command: str, rest: str = "") -> Card:
    return _buttoned(str(unsure), [(title[:40], f"{command} {handle} {rest}".strip()) for handle, title in unsure.nearest])


def _buttoned(text: str, buttons: Sequence[tuple[str, str]]) -> Card:
    fitting = [Button(label=label, command=command) for label, command in buttons if len(command.encode()) <= BUTTON_BYTES]
    return Card(text=text, buttons=tuple(fitting))
