"""The terminal: what a person sees of a conversation, growing answers and late ones included."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot.adapters.console import ConsoleChat, answer_lines
from bot.domain.errors import ChannelUnavailable
from bot.domain.ports import Listener


class FakeTalker:
    """A FAKE Robbie with these answers: each a list of pieces to show first, then the final text."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []
        self.replies: list[dict[str, Any]] = []

    async def ask(self, text: str, listener: Listener | None = None) -> dict[str, Any]:
        self.heard.append(text)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        pieces, final = answer if isinstance(answer, tuple) else ((), answer)
        for piece in pieces if listener else ():
            await (listener.replace(piece[1:]) if piece.startswith("!") else listener.token(piece))
        return {"reply": final, "kind": "answer", "message_id": str(len(self.heard))}

    async def latest_replies(self) -> list[dict[str, Any]]:
        return self.replies


async def typed(talker: FakeTalker, keys: str, history: Path, *, news_seconds: float = 60) -> str:
    """Run a chat in which a person types *keys* and leaves; what was shown."""
    shown: list[str] = []
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys + "\x04")
        await ConsoleChat(talker=talker, history=history, write=shown.append, news_seconds=news_seconds).run()
    return "".join(shown)


async def test_each_line_is_answered_until_the_person_leaves(tmp_path):
    talker = FakeTalker("first", "second")
    shown = await typed(talker, "one\r\r  \rtwo\r", tmp_path / "history")
    assert talker.heard == ["one", "two"]
    assert shown.index("first") < shown.index("second")
    assert "one" in (tmp_path / "history").read_text()


@pytest.mark.parametrize(
    ("pieces", "final", "shown"),
    [
        (("Hel", "lo"), "Hello", "robbie › Hello\n\n"),
        (("Hel",), "Hello", "robbie › Hello\n\n"),
        (("Wro", "!Right"), "Right", "robbie › Wro\n… robbie › Right\n\n"),
        (("Wro",), "Quite different", "robbie › Wro\n… Quite different\n\n"),
        ((), "Hello", "robbie › Hello\n\n"),
    ],
)
async def test_answer_is_shown_once_and_whole(tmp_path, pieces, final, shown):
    assert (await typed(FakeTalker((pieces, final)), "hi\r", tmp_path / "history")).endswith(f"leaves.\n\n{shown}")


async def test_trouble_is_no_error_text(tmp_path):
    shown = await typed(FakeTalker(ChannelUnavailable("ECONNREFUSED 127.0.0.1")), "hi\r", tmp_path / "history")
    assert "ECONNREFUSED" not in shown
    assert "cannot be reached" in shown


class FakeDebtor(FakeTalker):
    """A FAKE that answers late: the answer is there once something was asked."""

    async def ask(self, text: str, listener: Listener | None = None) -> dict[str, Any]:
        answer = await super().ask(text, listener)
        self.replies = [*self.replies, {"id": "new", "kind": "late", "text": "the answer I owed you"}]
        await asyncio.sleep(0.05)
        return answer


async def test_late_answer_is_shown_unasked_and_an_old_one_is_not(tmp_path):
    talker = FakeDebtor("a makeshift")
    talker.replies = [{"id": "old", "kind": "late", "text": "seen before"}]
    shown = await typed(talker, "hi\r", tmp_path / "history", news_seconds=0.005)
    assert shown.count("(late) the answer I owed you") == 1
    assert "seen before" not in shown


async def test_escape_sequences_do_not_steer_the_terminal(tmp_path):
    shown = await typed(FakeTalker((("a\x1b[2Jb",), "a\x1b[2Jb")), "hi\r", tmp_path / "history")
    assert "\x1b[2J" not in shown


async def test_lines_are_answered_one_by_one(capsys):
    await answer_lines(FakeTalker("a\n\nb", "**c**"), ["one\n", "two\n"])
    assert capsys.readouterr().out == "a b\nc\n"
