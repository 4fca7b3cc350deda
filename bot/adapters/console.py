"""The terminal: a conversation with history and growing answers; with no terminal, a reply for each line that comes in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from prompt_toolkit.patch_stdout import patch_stdout

from bot.adapters.markup import to_terminal
from bot.adapters.talk import Talker
from bot.domain.errors import RobbieError

NEWS_SECONDS = 3.0
GREETING = "You are talking with Robbie. /help shows what always works; Ctrl-D leaves.\n\n"
_PROMPT = "you › "
_ROBBIE = "robbie › "
_LABELS = {"offline": "(no model in reach) ", "late": "(late) ", "notice": ""}
_UNASKED = ("late", "notice")

Write = Callable[[str], None]


def to_screen(text: str) -> None:
    """Write to the terminal, above the prompt."""
    sys.stdout.write(text)
    sys.stdout.flush()


class ConsoleChat:
    """A person at a terminal."""

    def __init__(self, *, talker: Talker, history: Path, write: Write = to_screen, news_seconds: float = NEWS_SECONDS) -> None:
        self._talker = talker
        self._write = write
        self._news_seconds = news_seconds
        self._session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))
        self._seen: set[str] = set()
        self._is_asking = False

    async def run(self) -> None:
        """Talk until the person leaves."""
        self._seen = {reply["id"] for reply in await self._talker.latest_replies()}
        self._write(GREETING)
        with patch_stdout(raw=True):
            news = asyncio.create_task(self._tell_news(), name="console news")
            try:
                while (text := await self._read()) is not None:
                    if text.strip():
                        await self._turn(text)
            finally:
                news.cancel()
                await asyncio.wait([news])

    async def _read(self) -> str | None:
        try:
            return await self._session.prompt_async(_PROMPT)
        except (EOFError, KeyboardInterrupt):
            return None

    async def _turn(self, text: str) -> None:
        growing = _Growing(self._write)
        self._is_asking = True
        try:
            answer = await self._talker.ask(text, growing)
        except RobbieError:
            self._write("I cannot be reached just now. What you wrote may have arrived; /status tells when I am back.\n\n")
            return
        finally:
            self._is_asking = False
        self._seen.add(str(answer["message_id"]))
        growing.finish(answer["reply"], label=_LABELS.get(answer["kind"], ""))

    async def _tell_news(self) -> None:
        """Show what arrives without being asked for: late answers and notices."""
        while True:
            await asyncio.sleep(self._news_seconds)
            try:
                replies = await self._talker.latest_replies()
            except RobbieError:
                continue
            for reply in () if self._is_asking else replies:
                if reply["id"] not in self._seen and reply["kind"] in _UNASKED:
                    self._write(f"{_ROBBIE}{_LABELS[reply['kind']]}{to_terminal(reply['text'], colour=True)}\n\n")
                self._seen.add(reply["id"])


class _Growing:
    """Prints an answer while it grows; one that is replaced begins on a new line."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._shown = ""

    async def token(self, text: str) -> None:
        if not self._shown:
            self._write(_ROBBIE)
        self._shown += text
        self._write(to_printable(text))

    async def replace(self, text: str) -> None:
        if self._shown:
            self._write("\n… ")
        self._shown = ""
        await self.token(text)

    def finish(self, text: str, *, label: str) -> None:
        """Print what is missing of the final text."""
        if not self._shown:
            self._write(f"{_ROBBIE}{label}{to_terminal(text, colour=True)}\n\n")
        elif text.startswith(self._shown.strip()):
            self._write(f"{to_printable(text[len(self._shown.strip()) :])}\n\n")
        else:
            self._write(f"\n… {label}{to_terminal(text, colour=True)}\n\n")


async def answer_lines(talker: Talker, lines: Iterable[str]) -> None:
    """Print one reply for each line, on one line each, in order. Raises RobbieError."""
    for line in lines:
        answer = await talker.ask(line.rstrip("\r\n"))
        to_screen(" ".join(to_terminal(answer["reply"], colour=False).split()) + "\n")


def to_printable(text: str) -> str:
    """*text* without what would steer a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}" for character in text)
