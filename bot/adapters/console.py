"""The terminal: a conversation with history and growing answers; with no terminal, a reply for each line that comes in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import structlog
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from prompt_toolkit.patch_stdout import patch_stdout

from bot.adapters.markup import to_terminal
from bot.adapters.screen import WordWrap, Write, quiet_keys, to_printable, to_screen
from bot.adapters.talk import LATEST, MOST, Talker
from bot.domain.clock import new_id
from bot.domain.errors import ChannelUnavailable, RobbieError, StorageError

log = structlog.get_logger(__name__)

NEWS_SECONDS = 3.0
QUIET_MISSES = 3
"""Robbie is out of reach when so many looks in a row were in vain; a restart that takes less is no news."""
GREETING = "You are talking with Robbie. /help shows what always works; Ctrl-D leaves.\n\n"
AWAY = "Robbie is out of reach. What you write is kept, and asked as soon as it can be.\n\n"
BACK = "Robbie is back.\n\n"
KEPT = "Still out of reach; this is kept as well.\n\n"
TRIES = 20
"""So often a question is asked of a hub that is there; what comes later for it is in the conversation."""
KEPT_AT = "This takes longer than it should; I keep at it.\n\n"
GIVEN_UP = "I cannot get an answer to this through; the next one may.\n\n"
REFUSED = "I cannot take this as it is; shorter, or in parts, it may work.\n\n"
UNSENT = "What you wrote last may not have arrived.\n"
_PROMPT = "you › "
_ROBBIE = "robbie › "
_GOES_ON = f"{_ROBBIE}… "
_LABELS = {"offline": "(no model in reach) ", "late": "(late) ", "notice": ""}
_RECOVERED = "(recovered) "
_UNREACHED = (ChannelUnavailable, StorageError)


@dataclass(kw_only=True, slots=True)
class _Question:
    """What the person wrote, until it is answered; asked again under its id, it is asked once."""

    id: str
    text: str
    reply: _Growing
    tries: int = 0


class ConsoleChat:
    """A person at a terminal. Robbie is looked for all the time: what is unanswered is asked, what is said unasked is shown."""

    def __init__(
        self,
        *,
        talker: Talker,
        history: Path,
        write: Write = to_screen,
        columns: Callable[[], int] = lambda: get_terminal_size().columns,
        news_seconds: float = NEWS_SECONDS,
    ) -> None:
        self._talker = talker
        self._write = WordWrap(write, columns=columns).write
        self._news_seconds = news_seconds
        self._session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))
        self._seen: set[str] = set()
        self._unanswered: deque[_Question] = deque()
        self._misses = 0
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Talk until the person leaves."""
        self._seen = {reply["id"] for reply in await self._talker.latest_replies(MOST)}
        self._write(GREETING)
        with quiet_keys(self._session.input.fileno()):
            news = asyncio.create_task(self._look_for_news(), name="console news")
            try:
                while (text := await self._read()) is not None:
                    if text.strip():
                        await self._say(text)
            finally:
                news.cancel()
                await asyncio.wait([news])
                self._break_off()
                if self._is_away and self._unanswered:
                    self._write(UNSENT)

    async def _read(self) -> str | None:
        try:
            with patch_stdout(raw=True):  # only here: its thread would write the end of an answer after the prompt has been drawn
                return await self._session.prompt_async(_PROMPT, handle_sigint=False)  # it would take our handler away with its own
        except (EOFError, KeyboardInterrupt):
            return None

    async def _say(self, text: str) -> None:
        async with self._turn:
            was_away = self._is_away
            self._unanswered.append(_Question(id=str(new_id()), text=text, reply=_Growing(self._write)))
            for _ in range(QUIET_MISSES):
                if await self._catch_up(grows=True) or self._is_away:
                    break
                await asyncio.sleep(self._pause())
        self._break_off()  # what is not answered by now goes on below the next prompt
        if was_away and self._is_away:
            self._write(KEPT)

    async def _look_for_news(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            async with self._turn:
                try:
                    await self._catch_up(grows=False)
                except Exception:  # an edge that must survive: nobody else looks; a refusal is told to the next who asks
                    log.exception("console.bug")
                    self._miss()

    def _pause(self) -> float:
        """Seconds until the next look: after a miss soon, then ever more seldom."""
        if not self._misses:
            return self._news_seconds
        return self._news_seconds * 2.0 ** min(self._misses - QUIET_MISSES, 1)

    @property
    def _is_away(self) -> bool:
        return self._misses >= QUIET_MISSES

    async def _catch_up(self, *, grows: bool) -> bool:
        """Have answered what is unanswered, and show what was said unasked; says whether all is answered. Raises RobbieError: refused."""
        grows = grows and not self._is_away
        try:
            replies = await self._look()
        except _UNREACHED:
            self._miss()
            return False
        if self._is_away:
            self._write(BACK)
        self._misses = 0
        while self._unanswered:
            if not await self._settle(self._unanswered[0], grows=grows):
                return False
        for reply in replies:
            self._show_unasked(reply)
        return True

    async def _look(self) -> list[dict[str, Any]]:
        """The latest replies, as many as it takes to meet one that was seen before."""
        replies = await self._talker.latest_replies(LATEST)
        is_enough = not replies or any(reply["id"] in self._seen for reply in replies)
        return replies if is_enough else await self._talker.latest_replies(MOST)

    async def _settle(self, question: _Question, *, grows: bool) -> bool:
        """Show the answer: as it grows, or, above an open prompt, in one piece. False where it is to be asked for again."""
        question.tries += 1
        if grows and question.tries == 1:
            question.reply.begin()
        try:
            answer = await self._talker.ask_once(question.text, external_id=question.id, listener=question.reply if grows else None)
        except _UNREACHED:
            if question.tries in (QUIET_MISSES, TRIES):
                question.reply.say(KEPT_AT if question.tries < TRIES else GIVEN_UP)
            if question.tries < TRIES:
                return False
        except RobbieError:
            question.reply.say(REFUSED)
        else:
            self._seen.add(str(answer["message_id"]))
            question.reply.finish(answer["reply"], label=_label(answer) or _LABELS.get(answer["kind"], ""))
        self._unanswered.popleft()
        return True

    def _show_unasked(self, reply: dict[str, Any]) -> None:
        """Show a late answer, a notice, or what a crash kept from arriving, unless it has been seen."""
        label = _label(reply)
        if label is not None and reply["id"] not in self._seen:
            choices = [f"{number}. {button['label']}" for number, button in enumerate(reply.get("buttons", ()), start=1)]
            text = "\n".join([reply["text"], *([""] if choices else []), *choices])
            self._write(f"{_ROBBIE}{label}{to_terminal(text, colour=True)}\n\n")
        self._seen.add(reply["id"])

    def _miss(self) -> None:
        self._misses += 1
        if self._misses == QUIET_MISSES:
            self._break_off()
            self._write(AWAY)

    def _break_off(self) -> None:
        """Something else is to be written, whatever is growing."""
        if self._unanswered:
            self._unanswered[0].reply.break_off()


def _label(reply: dict[str, Any]) -> str | None:
    """What is said before a reply that comes unasked; None where it is one that was waited for elsewhere."""
    if reply.get("recovered"):
        return _RECOVERED
    return _LABELS[reply["kind"]] if reply["kind"] in ("late", "notice") else None


class _Growing:
    """Prints an answer while it grows; what is replaced begins on a new line, and what is on the screen is not printed again."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._shown = ""
        self._lead = _ROBBIE

    def begin(self) -> None:
        """Show that an answer is being thought of."""
        if self._lead:
            self._write(self._lead)
            self._lead = ""

    async def token(self, text: str) -> None:
        self._shown += text
        self._put(to_printable(text))

    async def replace(self, text: str) -> None:
        if (missing := self._missing(text)) is None:
            self._begin_anew()
        self._shown = text
        self._put(to_printable(text if missing is None else missing))

    def finish(self, text: str, *, label: str) -> None:
        """Print what is missing of the final text, at once: an open prompt below lets no unfinished line through."""
        missing = self._missing(text) if self._shown else None
        if missing is None and self._shown:
            self._begin_anew()
        self._put((label + to_terminal(text, colour=True) if missing is None else to_printable(missing)) + "\n\n")
        self._lead = _GOES_ON

    def say(self, notice: str) -> None:
        """Something about the answer, in its place or below what is there of it."""
        if self._shown:
            self.break_off()
        self._write(notice)
        self._lead = _GOES_ON if self._shown else _ROBBIE

    def break_off(self) -> None:
        """End the line; what may come yet begins another."""
        if not self._lead:
            self._write("\n\n")
            self._lead = _GOES_ON if self._shown else _ROBBIE

    def _begin_anew(self) -> None:
        self._lead = self._lead or "\n… "

    def _put(self, text: str) -> None:
        if text := text.lstrip() if self._lead else text:
            self._write(self._lead + text)
            self._lead = ""

    def _missing(self, text: str) -> str | None:
        """What of *text* is not on the screen; None where something else is. A recorded text has no blanks at its end."""
        return next((text[len(shown) :] for shown in (self._shown, self._shown.rstrip()) if text.startswith(shown)), None)


async def answer_lines(talker: Talker, lines: Iterable[str]) -> None:
    """Print one reply for each line, on one line each, in order. Raises RobbieError."""
    for line in lines:
        answer = await talker.ask(line.rstrip("\r\n"))
        to_screen(" ".join(to_terminal(answer["reply"], colour=False).split()) + "\n")
