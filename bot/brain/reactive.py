"""Tier 1: what Robbie can say without any model, because it is computed and not recalled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.brain.confidence import PRIOR
from bot.brain.context import printable, spoken_date
from bot.brain.health import BreakerState, CircuitBreaker, HealthBoard
from bot.brain.mentors import choose
from bot.brain.personality import personality_of
from bot.brain.providers.offline import digest, stands_alone
from bot.brain.reflexes import Reflexes
from bot.brain.tone import context_of
from bot.domain.clock import Clock
from bot.domain.message import Button, OutgoingKind
from bot.domain.thought import Question, TaskType, Tier, Turn
from storage.database import Database
from storage.models.learning import Habit
from storage.repositories.messaging import DELETED

LISTED = 10
MOST_QUEUED = 1000
COMPUTED = "computed without a model"
AGAIN = timedelta(minutes=10)
"""Who asks the same again so soon wants another answer."""


class Intent(StrEnum):
    """What is answered here; what else is recognised is a command."""

    TIME = "time"
    DATE = "date"
    HELP = "help"
    STATUS = "status"
    NOTES = "notes"
    RECENT = "recent"


HELP = Path(__file__).with_name("help.md").read_text("utf-8").strip()
NOTHING_SAID = "Your message reached me without a word in it. What can I do for you?"
IN_PRIVATE = "That is between you and me. Ask me again in a private chat, and I will tell you."


def is_empty(text: str) -> bool:
    """Whether nothing in *text* can be seen: blanks, NUL and other controls, invisible marks."""
    return not any(character.isprintable() and not character.isspace() for character in text)


@dataclass(kw_only=True, eq=False)
class Reactive:
    """Answers a few things at once and without a model; *skipped* levels of the config are none of its *rungs*."""

    database: Database
    health: HealthBoard
    rungs: Sequence[str]
    clock: Clock
    skipped: int = 0
    reflexes: Reflexes | None = None
    troubles: Callable[[str], Sequence[str]] = lambda zone: ()

    def __post_init__(self) -> None:
        self._reflexes = self.reflexes or Reflexes(database=self.database)
        self._commands: Callable[[Question], Awaitable[Turn | None]] | None = None

    def obey(self, commands: Callable[[Question], Awaitable[Turn | None]]) -> None:
        """What a recognised command shows is told by *commands*, which know who may see it where."""
        self._commands = commands

    async def answer(self, question: Question) -> Turn | None:
        """The answer, if it is surely known what is asked, and it can be computed or was given before; else None."""
        if is_empty(question.text):
            return reactive_turn(NOTHING_SAID, why=COMPUTED)
        found = self._reflexes.recognise(question.text, question.person.id)
        if found is None:
            return await self._said_before(question)
        turn = await self.compute(found.intent, question)
        return turn and replace(turn, confidence=found.confidence, pattern=found.pattern)

    async def compute(self, intent: str, question: Question) -> Turn | None:
        """What there is to say now; None where nothing here can. Raises StorageUnavailable."""
        if not intent.startswith("/") and intent != Intent.NOTES:
            return reactive_turn(await self.say(Intent(intent), question), why=COMPUTED)
        turn = await self._commands(replace(question, text=f"/{intent.strip('/')}")) if self._commands else None
        return turn and replace(turn, why=f"read as {intent}")

    async def _said_before(self, question: Question) -> Turn | None:
        """A model's answer to exactly these words, which was the same every time; not where it is asked again at once."""
        if not question.is_private or question.is_late or not stands_alone(question.text):
            return None
        words, now = digest(question.text), self.clock.now()
        async with self.database.reading() as work:
            row = await work.cached_answers.find(question.person.id, words)
            if row is None or row.state != Habit.ON or row.fresh_until <= now:
                return None
            answer = await work.messages.find_by_id(row.message_id)
            asked = await work.messages.find_by_id(answer.reply_to) if answer and answer.reply_to else None
            before = await work.messages.latest(question.conversation_id, limit=LISTED, before=question.id)
            context = context_of(question.channel, question.session_type)
            set_so = await personality_of(work, question.person, context=context, now=now, is_private_chat=context == "private")
        is_again = any(each.digest == words and now - each.at < AGAIN for each in before)
        is_gone = answer is None or asked is None or DELETED in (answer.kind, asked.kind) or answer.personality != str(set_so)
        if is_again or is_gone or choose(question.text, set_so.mentor):
            return None
        on = spoken_date(self._local(row.at, question))
        why = f"you asked the same on {on}, and my answers agreed {row.agreed + 1} times; ask again for a new one"
        return replace(reactive_turn(row.text, why=why), confidence=(row.agreed + 1) / (row.agreed + row.disagreed + 2), pattern=row.digest)

    async def say(self, intent: Intent, question: Question) -> str:
        """What an intent has to say to this person, where others may read along or not. Raises StorageUnavailable."""
        if intent is Intent.RECENT and not question.is_private:
            return IN_PRIVATE
        now = self._local(self.clock.now(), question)
        match intent:
            case Intent.TIME:
                return f"It is {now:%H:%M} on {spoken_date(now)} ({question.person.timezone})."
            case Intent.DATE:
                return f"Today is {spoken_date(now)}."
            case Intent.HELP:
                return HELP
            case Intent.STATUS:
                return await self._status(question)
        return await self._recent(question)

    async def _status(self, question: Question) -> str:
        health, skipped = _spoken_health([self.health.breaker(rung) for rung in self.rungs]), self.skipped
        async with self.database.reading() as work:
            queued = len(await work.inbox.queued(limit=MOST_QUEUED))
        is_told = question.person.is_owner and question.is_private
        troubles = "".join(f" {trouble}" for trouble in self.troubles(question.person.timezone)) if is_told else ""
        rest = f" {skipped} more {'is' if skipped == 1 else 'are'} not set up yet: `robbie doctor` tells how." if skipped else ""
        owed = f" {queued} question{' still waits' if queued == 1 else 's still wait'} for a real answer." if queued else ""
        return f"I am here. {health}{rest}{owed}{troubles}"

    async def _recent(self, question: Question) -> str:
        async with self.database.reading() as work:
            said = await work.messages.said_by(question.person.id, limit=LISTED, before=question.id)
        if not said:
            return "You have not written anything to me before."
        return "You wrote lately:\n\n" + "\n".join(f"- {self._stamp(message.at, question)}: {one_line(message.text)}" for message in said)

    def _local(self, moment: datetime, question: Question) -> datetime:
        return moment.astimezone(ZoneInfo(question.person.timezone))

    def _stamp(self, moment: datetime, question: Question) -> str:
        local = self._local(moment, question)
        return f"{local.day} {local:%b, %H:%M}"


def reactive_turn(text: str, *, why: str, kind: OutgoingKind = OutgoingKind.ANSWER, buttons: tuple[Button, ...] = ()) -> Turn:
    """A turn that needed no model."""
    return Turn(
        text=text,
        kind=kind,
        tier=Tier.REACTIVE,
        level="reactive",
        provider="",
        model="",
        task_type=TaskType.QUICK,
        why=why,
        latency_ms=0.0,
        confidence=PRIOR[Tier.REACTIVE] if kind is OutgoingKind.ANSWER else None,
        buttons=buttons,
    )


def _spoken_health(breakers: Sequence[CircuitBreaker]) -> str:
    """How many of his ways to think answered when they were asked last, how many did not, and how many nobody asked."""
    ways = len(breakers)
    untried = sum(breaker.state is BreakerState.CLOSED and not breaker.outcomes for breaker in breakers)
    well = sum(breaker.state is BreakerState.CLOSED and breaker.outcomes[-1:] == (True,) for breaker in breakers)
    silent = ways - untried - well
    if not ways:
        return "I have no model to think with yet: `robbie init` gives me one."
    if silent == ways:
        return "None of my models can be reached just now, so I keep your questions for later."
    if well == ways:
        return "All is well." if ways == 1 else f"All {ways} of my ways to think have answered lately."
    if untried == ways:
        return f"I have not tried my {'way' if ways == 1 else f'{ways} ways'} to think since I started."
    told = [
        f"{count} {(one if count == 1 else many)}"
        for count, one, many in (
            (well, "has answered lately", "have answered lately"),
            (silent, "did not answer last time", "did not answer last time"),
            (untried, "has not been tried since I started", "have not been tried since I started"),
        )
        if count
    ]
    return f"Of my {ways} ways to think, {', '.join(told[:-1])} and {told[-1]}."


def one_line(text: str, length: int = 200) -> str:
    """*text* in one line, shortened at its end."""
    words = " ".join(printable(text).split())
    return words if len(words) <= length else f"{words[: length - 1]}…"
