"""Builds what a model is asked: standing words first, then the conversation inside a token budget, the question last."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.brain.confidence import MARK, RECENT_ANSWERS, plain
from bot.brain.memory import Recall
from bot.brain.mentors import MentorView, choose, mentor_words, ranked
from bot.brain.personality import Personality, is_intimate_tone, personality_of
from bot.brain.remembered import Remembered
from bot.brain.tone import brief_words, context_of, is_intimate, standing_words
from bot.domain.clock import Clock
from bot.domain.errand import inert
from bot.domain.message import Attachment
from bot.domain.thought import Line, Prompt, Question, Role, steady
from storage.database import Database
from storage.repositories.messaging import Exchange

PROMPTS = Path(__file__).parent / "prompts"
HISTORY_EXCHANGES = 15
"""The last answers of a conversation that a prompt may hold; a level with a small window gets fewer."""
ELSEWHERE_EXCHANGES = 4
ELSEWHERE_LIFE = timedelta(hours=24)
"""A private conversation goes on at another door; what was said longer ago is for the memory to find."""
LONGEST_FILE = 6_000
"""Characters of a text file that a prompt holds."""
LONGEST_QUOTE = 1_000
READABLE = ("text/", "application/json", "application/xml", "application/x-yaml", "application/toml")


class ContextBuilder:
    """Turns a question into a prompt."""

    def __init__(self, *, database: Database, owner: str, clock: Clock, recall: Recall | None = None, recall_seconds: float = 0.5) -> None:
        self._database = database
        self._remembered = Remembered(database=database, recall=recall, clock=clock, seconds=recall_seconds)
        self._owner = owner
        self._clock = clock
        names = ("system", "brief", "stranger", "cannot_act", "acts")
        self._words = {name: (PROMPTS / f"{name}.md").read_text("utf-8").strip() for name in names}

    async def build(self, question: Question) -> Prompt:
        """The prompt for *question*. Its standing words change once a day, and with what its person sets, so that a prefix cache holds.

        How Robbie is set stands in every prompt, however few lines of the conversation are left. Raises StorageUnavailable.
        """
        if question.writer:
            return self._for_stranger(question)
        elsewhere: list[Exchange] = []
        context = context_of(question.channel, question.session_type)
        is_private_chat = context == "private"
        async with self._database.reading() as work:
            personality = await personality_of(
                work, question.person, context=context, now=self._clock.now(), is_private_chat=is_private_chat
            )
            if len(views := choose(question.text, personality.mentor)) > 1:
                views = ranked(views, await work.feedback.by_mentor(question.person.id))
            where = question.conversation_id, question.session_type
            exchanges = await work.messages.exchanges(*where, limit=HISTORY_EXCHANGES, before=question.id)
            if question.is_private:  # nothing private is said where others read along
                elsewhere = await work.messages.exchanges_elsewhere(
                    question.person.id,
                    question.conversation_id,
                    limit=ELSEWHERE_EXCHANGES,
                    since=self._clock.now() - ELSEWHERE_LIFE,
                    before=question.id,
                )
        if not is_intimate(question):  # what was, or may have been, said in another tone is not even shown
            exchanges = [exchange for exchange in exchanges if not is_intimate_tone(exchange.personality)]
            elsewhere = [one for one in elsewhere if one.personality and not is_intimate_tone(one.personality)]
        earlier = {exchange.personality for exchange in (*elsewhere, *exchanges)}
        history = to_lines(exchanges)
        if len(exchanges) == HISTORY_EXCHANGES:
            history = steady(history)
        lines = (*to_lines(elsewhere), *history, Line(role=Role.USER, text=_with_material(question)))
        remembered = await self._remembered.about(question)
        manner = f"{standing_words(personality, earlier)}\n{mentor_words(views)}".strip()
        return Prompt(
            system=self._fill("system", question, manner=manner, acting=self._words["cannot_act"]),
            tool_system=self._fill("system", question, manner=manner, acting=self._words["acts"]),
            brief_system=self._fill("brief", question, manner=f"{brief_words(personality)} {mentor_words(views[:1], 'brief')}".strip()),
            lines=lines,
            personality=str(personality),
            mentors=tuple(view.name for view in views),
            is_untrusted=any((exchange.details or {}).get("outside") for exchange in (*elsewhere, *exchanges)),
            is_doubted=any(MARK in exchange.answer for exchange in (*elsewhere, *exchanges)[-RECENT_ANSWERS:]),
            recalled=tuple(replace(each, text=inert(" ".join(printable(each.text).split()))) for each in remembered),
        )

    async def views(self, question: Question) -> Sequence[MentorView]:
        """Who has a view on *question* in a council, where nobody speaks in its prompt: by situation, in private, if nothing is set."""
        if context_of(question.channel, question.session_type) != "private" or question.writer or choose(question.text):
            return ()
        async with self._database.reading() as work:
            held = await personality_of(work, question.person, context="private", now=self._clock.now())
            rows = await work.feedback.by_mentor(question.person.id)
        return () if held.mentor else ranked(choose(question.text, "auto"), rows)

    def _for_stranger(self, question: Question) -> Prompt:
        """What somebody wrote for whom nobody vouches, as material; nothing else is told to who reads it."""
        system = self._fill("stranger", question)
        mail = inert(f"From: {question.writer}\n\n{_with_material(question)}")
        text = f"<mail>\n{mail}\n</mail>\n\nDraft the reply to this mail."
        lines = (Line(role=Role.USER, text=text),)
        return Prompt(system=system, brief_system=system, lines=lines, personality=str(Personality()))

    def _fill(self, name: str, question: Question, **filled: str) -> str:
        person = question.person
        today = self._clock.now().astimezone(ZoneInfo(person.timezone))
        names = {"owner": self._owner, "person": person.name, "date": spoken_date(today), "timezone": person.timezone}
        return printable(self._words[name].format(**names, **filled))


def to_lines(exchanges: Iterable[Exchange]) -> tuple[Line, ...]:
    """A conversation as a model sees it: questions, each with its answer behind it; what got only a makeshift reply is not among them."""
    lines: list[Line] = []
    for _, same in groupby(exchanges, key=lambda exchange: exchange.question_id):
        answered = list(same)
        lines.append(Line(role=Role.USER, text=printable(answered[0].question)))
        lines.append(Line(role=Role.ASSISTANT, text="\n\n".join(printable(plain(exchange.answer)) for exchange in answered)))
    return tuple(lines)


def _with_material(question: Question) -> str:
    """What was written, below what it answers, above the files that came with it; a name or a file is material like any other."""
    quoted = "".join(f"> {line}\n" for line in inert(cleaned(question.quoted))[:LONGEST_QUOTE].splitlines())
    files = "".join(f"\n\n{_described(attachment)}" for attachment in question.attachments)
    return printable(quoted + ("\n" if quoted else "") + question.text + files)


def _described(attachment: Attachment) -> str:
    """A file by its name and size; of a text also the beginning."""
    name = inert(" ".join(cleaned(attachment.name).split())[:120])
    kind = re.sub(r"[^\w/+.-]", "", attachment.media_type)[:60]
    about = f"[Attached file “{name}”, {kind}, {attachment.size} bytes{f', {attachment.trouble}' * bool(attachment.trouble)}]"
    if attachment.path is None or not attachment.media_type.startswith(READABLE):
        return about
    try:
        with attachment.path.open(encoding="utf-8", errors="replace") as file:
            content = file.read(LONGEST_FILE + 1)
    except OSError:
        return about
    cut = "\n…" if len(content) > LONGEST_FILE else ""
    return f"{about}\n<file>\n{inert(cleaned(content[:LONGEST_FILE]))}{cut}\n</file>"


def printable(text: str) -> str:
    """Text that any wire can carry and no vendor refuses: see `cleaned`; where nothing is left, it says so."""
    return cleaned(text) or "(an empty message)"


def cleaned(text: str) -> str:
    """*text* without NUL and surrounding blanks; halves of a character are joined, or become the replacement character."""
    return text.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def spoken_date(moment: datetime) -> str:
    """A date as it is said: Sunday 22 November 2026."""
    return f"{moment:%A} {moment.day} {moment:%B %Y}"
