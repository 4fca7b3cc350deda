"""What people write about their tasks, people, deals and notes: slash commands, and a few sentences that mean them surely."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date

from bot.brain.reactive import IN_PRIVATE
from bot.domain.address import SessionType
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.message import Button
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.affair_news import pipeline_lines
from bot.services.affairs import Unsure
from bot.services.contacts import Contacts, parse_contact
from bot.services.deals import ENDED, Deals, told_deal
from bot.services.dates import without
from bot.services.notes import Notes
from bot.services.reminders import choices, shown
from bot.services.tasks import REMINDER, Tasks, is_overdue, spoken
from storage.database import Database
from storage.models.affairs import Task

LISTED = 10
LOOKED_BACK = 12
"""Messages among which the last list is looked for."""
BUTTON_BYTES = 64
VERBS = {"done": "done", "snooze": "snooze", "edit": "edit", "change": "edit", "remove": "remove", "drop": "remove", "tomorrow": "tomorrow"}
UNDO = Button(label="Undo", command="/undo")

_LISTED = re.compile(r"^\d+\. .*`([A-Z2-9]{4,6})`$", re.M)
_HANDLE = re.compile(r"\d{1,3}|[A-HJKMNP-Z2-9]{4,6}|(?=\w*\d)[a-hjkmnp-z2-9]{4,6}")
_NAMED = re.compile(r"\s*([^:]+):\s+(.+)", re.DOTALL)
_OF_DAY = re.compile(r"\s*(.*\S)\s+(\d{4}-\d\d-\d\d)\s*", re.DOTALL)

_MONEY = r"[$€£]?\s?\d[\d.,]*\s?(?:k|m|million)?\s?(?:[A-Z]{3}|[$€£])?"
_WHO = r"(?!(?:i|you|he|she|it|they|we|this|that|everything)\b)(?P<what>[\w&'’.-]+(?: [\w&'’.-]+){0,4}?)"
PLAIN = tuple(
    (re.compile(rf"(?:hey |ok |please )?(?:robbie,? )?(?:please )?(?:can you |could you )?{pattern}(?: please)?[.!?]*", re.I), command)
    for pattern, command in (
        (r"remind me (?!of\b|what|who|why|how|where|which|when (?:is|was|did|do|does)\b)(?P<what>.+)", "/remind {what}"),
        (r"(?:add|put) (?P<what>.+?) (?:to|on|onto) (?:my|the) (?:list|tasks?|to-?do|(?:task|to-?do)[- ]list)", "/task add {what}"),
        (r"(?:new )?(?:task|to-?do): ?(?P<what>.+)", "/task add {what}"),
        (r"(?:mark|tick off) (?P<what>.+?) (?:as )?(?:done|finished|completed)", "/task done {what}"),
        (r"i(?:'ve|’ve| have)? (?:just )?(?:talked|spoken|spoke) (?:to|with) " + _WHO + "(?: today| just now)?", "/contact touch {what}"),
        (r"(?:what (?:do i have|have i got) to do|what(?:'s|’s| is) on my list|what(?:'s|’s| is) due) (?P<what>today)", "/tasks {what}"),
        (r"(?:what do i have to do|(?:show(?: me)? |list |what are )?my (?:tasks|to-?dos|to-?do list))", "/tasks"),
        (r"(?:what(?:'s|’s| is) )?(?P<what>overdue)", "/tasks {what}"),
        (r"(?:show(?: me)? |list |what are |how are )?my deals", "/deals"),
        (rf"(?:the )?{_WHO}(?: deal)? (?:is|moved|has moved|went|goes) (?:now )?(?:in|into|to)(?: the)? (?P<stage>lead|qualified|proposal|negotiation)"
         rf"(?: stage| phase)?,? (?:at |worth |for )?(?P<value>{_MONEY})", "/deal {what}, {stage}, {value}"),
        (rf"(?:the )?{_WHO}(?: deal)? (?:is|moved|has moved|went|goes) (?:now )?(?:in|into|to)(?: the)? (?P<stage>lead|qualified|proposal|negotiation)"
         r"(?: stage| phase)?", "/deal update {what}, {stage}"),
        (rf"we(?:'ve|’ve| have)? (?P<stage>won|lost) the {_WHO} deal", "/deal update {what}, {stage}"),
        (rf"the {_WHO} deal is (?P<stage>won|lost)", "/deal update {what}, {stage}"),
    )
)  # fmt: skip
"""Whole sentences only; what merely sounds like one is left to a model and its tools."""


def plain(text: str) -> str:
    """The command that a sentence stands for; empty where that is not sure."""
    words = " ".join(text.split())
    for pattern, command in PLAIN:
        if found := pattern.fullmatch(words):
            return command.format(**found.groupdict())
    return ""


class Errands:
    """The commands about a person's own affairs; what shows any of them is said in private alone."""

    def __init__(self, *, database: Database, tasks: Tasks, contacts: Contacts, deals: Deals, notes: Notes) -> None:
        self._database = database
        self._tasks = tasks
        self._contacts = contacts
        self._deals = deals
        self._notes = notes
        self.table: Mapping[str, Command] = {
            "task": _kindly(self._task, "task", in_public=lambda words: _verb(words)[0] in ("", "add")),
            "tasks": _kindly(self._list, "tasks"),
            "remind": _kindly(self._remind, "remind", in_public=lambda words: True),
            "who": _kindly(self._who, "who"),
            "contact": _kindly(self._contact, "contact"),
            "deal": _kindly(self._deal, "deal"),
            "deals": _kindly(self._pipeline, "deals"),
            "note": _kindly(self._note, "note", in_public=lambda words: not words.lower().startswith("remove")),
        }

    async def _task(self, question: Question, words: str) -> Card:
        verb, rest = _verb(words)
        if verb in ("", "add"):
            return self._added(question, await self._tasks.take(_errand(question, "task"), rest))
        which, rest = self._split(question, rest, verb)
        try:
            code = (await self._tasks.find(question.person, which, await self._listed(question, which))).code
        except Unsure as unsure:
            return _asked(unsure, f"/task {verb}", rest)
        return Card(text=await self._acted(_errand(question, "task"), verb, code, rest), buttons=(UNDO,))

    async def _acted(self, errand: Errand, verb: str, code: str, rest: str) -> str:
        match verb:
            case "done":
                return await self._tasks.done(errand, code, date.fromisoformat(rest) if rest else None)
            case "edit":
                return await self._tasks.edit(errand, code, rest)
            case "remove":
                return await self._tasks.remove(errand, code)
            case _:
                return await self._tasks.snooze(errand, code, "tomorrow at 9:00" if verb == "tomorrow" else rest)

    def _split(self, question: Question, words: str, verb: str) -> tuple[str, str]:
        """Which task is meant, and what shall become of it."""
        if verb == "done":
            found = _OF_DAY.fullmatch(words)
            return (found[1], found[2]) if found else (words, "")
        first, _, rest = words.partition(" ")
        if verb in ("edit", "snooze") and _HANDLE.fullmatch(first):
            return first, rest
        if verb == "edit" and (found := _NAMED.fullmatch(words)):
            return found[1], found[2]
        when = self._tasks.when(question.person, words) if verb == "snooze" else None
        return (without(words, when), words[slice(*when.span)]) if when else (words, "")

    def _added(self, question: Question, task: Task) -> Card:
        begin = "I will remind you: " if task.kind == REMINDER else "Added: "
        told = f"{begin}{spoken(task, self._tasks.local(question.person))}."
        is_private = question.session_type is SessionType.PRIVATE
        return Card(text=f"{told} `{task.code}`", buttons=(*choices(task)[:1], UNDO)) if is_private else Card(text=told)

    async def _remind(self, question: Question, words: str) -> Card:
        return self._added(question, await self._tasks.take(_errand(question, "remind"), words, REMINDER))

    async def _list(self, question: Question, words: str) -> Card:
        now, only = self._tasks.local(question.person), words.lower()
        tasks = await self._tasks.standing(question.person)
        if only == "today":
            tasks = [task for task in tasks if task.due_on is not None and task.due_on <= now.date()]
        elif only == "overdue":
            tasks = [task for task in tasks if is_overdue(task, now)]
        elif only not in ("", "all"):
            return Card(text="I can list `/tasks`, `/tasks today`, `/tasks overdue` and `/tasks all`.")
        kind = {"today": " for today", "overdue": " that is overdue"}.get(only, "")
        if not tasks:
            return Card(text=f"There is nothing to do{kind}." + ("" if kind else " `/task call Dana on Friday` puts something down."))
        most = len(tasks) if only == "all" else LISTED
        lines = [
            f"{n}. {'**overdue** ' * is_overdue(task, now)}{spoken(task, now)} `{task.code}`" for n, task in enumerate(tasks[:most], 1)
        ]
        more = f"\n\nAnd {len(tasks) - most} more: `/tasks all`." if len(tasks) > most else ""
        return Card(text="\n".join(lines) + more, buttons=shown(tasks))

    async def _who(self, question: Question, words: str) -> Card:
        try:
            row, told = await self._contacts.tell(question.person, words, await self._listed(question, words))
        except Unsure as unsure:
            return _asked(unsure, "/who")
        return Card(text=told, buttons=(Button(label="Talked today", command=f"/contact touch {row.code}"),))

    async def _contact(self, question: Question, words: str) -> Card:
        verb, _, rest = words.partition(" ")
        errand, verb = _errand(question, "contact"), verb.lower()
        if verb in ("touch", "remove"):
            try:
                code = (await self._contacts.find(question.person, rest)).code
            except Unsure as unsure:
                return _asked(unsure, f"/contact {verb}")
            act = self._contacts.touch if verb == "touch" else self._contacts.remove
            return Card(text=await act(errand, code), buttons=(UNDO,))
        given = parse_contact(words)
        row, told = await self._contacts.keep(errand, given.pop("name", ""), **given)
        return Card(text=told, buttons=(Button(label="Show", command=f"/who {row.code}"), UNDO))

    async def _deal(self, question: Question, words: str) -> Card:
        verb, _, rest = words.partition(" ")
        errand, verb = _errand(question, "deal"), verb.lower()
        try:
            if verb == "remove":
                code = (await self._deals.find(question.person, rest, await self._listed(question, rest))).code
                return Card(text=await self._deals.remove(errand, code), buttons=(UNDO,))
            is_update = verb == "update"
            return Card(text=(await self._deals.take(errand, rest if is_update else words, only_known=is_update))[1], buttons=(UNDO,))
        except Unsure as unsure:
            if verb != "update" or unsure.nearest:
                return _asked(unsure, "/deal" + " remove" * (verb == "remove"))
            return _buttoned(f"{unsure} Shall I add it?", [("Add it", f"/deal {rest}")])

    async def _pipeline(self, question: Question, words: str) -> Card:
        rows = [row for row in await self._deals.standing(question.person) if row.stage not in ENDED]
        if not rows:
            return Card(text="There is no open deal. `/deal Acme, negotiation, 40k` adds one.")
        lines = [
            f"{n}. {told_deal(row)} `{row.code}`"
            for n, row in enumerate(sorted(rows, key=lambda row: -row.value_cents * row.probability), 1)
        ]
        return Card(text="\n".join([*lines, "", *(f"- {line}" for line in pipeline_lines(rows))]))

    async def _note(self, question: Question, words: str) -> str:
        verb, _, rest = words.partition(" ")
        act = self._notes.remove if verb.lower() == "remove" else self._notes.keep
        return await act(_errand(question, "note"), rest if verb.lower() == "remove" else words)

    async def _listed(self, question: Question, which: str) -> Sequence[str]:
        """The codes of the last list here, if a number is what names one of it."""
        if not which.strip().isdecimal():
            return ()
        async with self._database.reading() as work:
            said = await work.messages.latest(question.conversation_id, limit=LOOKED_BACK, before=question.id)
        lists = (_LISTED.findall(message.text) for message in reversed(said) if message.direction == "out")
        return next((codes for codes in lists if codes), ())


def _kindly(
    act: Callable[[Question, str], Awaitable[Card | str]], name: str, *, in_public: Callable[[str], bool] = lambda _: False
) -> Command:
    """A command whose refusals are told, and which is silent where others read along unless it only takes something down."""

    async def command(question: Question, words: str) -> Card | str:
        if question.session_type is not SessionType.PRIVATE and not in_public(words):
            return IN_PRIVATE
        try:
            return await act(question, words)
        except ToolFailed as failed:
            return str(failed)

    return command


def _errand(question: Question, name: str) -> Errand:
    return Errand(
        person=question.person,
        key=f"{question.id}/{name}",
        why=f"the command /{name}",
        conversation_id=question.conversation_id,
        source_id=question.id,
        session_type=question.session_type,
    )


def _verb(words: str) -> tuple[str, str]:
    """What is to be done with a task, and the words about it; no verb is to add one."""
    first, _, rest = words.partition(" ")
    verb = "add" if first.lower() == "add" else VERBS.get(first.lower(), "")
    return (verb, rest.strip()) if verb else ("", words)


def _asked(unsure: Unsure, command: str, rest: str = "") -> Card:
    return _buttoned(str(unsure), [(title[:40], f"{command} {code} {rest}".strip()) for code, title in unsure.nearest])


def _buttoned(text: str, buttons: Sequence[tuple[str, str]]) -> Card:
    fitting = [Button(label=label, command=command) for label, command in buttons if len(command.encode()) <= BUTTON_BYTES]
    return Card(text=text, buttons=tuple(fitting))
