"""The terminal: what a person sees of a conversation, growing answers, late ones and the absence of Robbie included."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot.adapters.console import (
    AWAY,
    BACK,
    GIVEN_UP,
    KEPT,
    KEPT_AT,
    QUIET_MISSES,
    REFUSED,
    TRIES,
    UNSENT,
    ConsoleChat,
    answer_lines,
)
from bot.adapters.screen import quiet_keys
from bot.domain.errors import ChannelUnavailable, RobbieError
from bot.domain.ports import Listener
from tests.machine import PATIENCE_SECONDS

NEVER = 60.0


class FakeTalker:
    """A FAKE Robbie with these answers: each a list of pieces to show first, then the final text, or an error.

    While `is_away`, nothing reaches it. What it answered stands in the conversation, as if a crash had come between.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []
        self.ids: list[str] = []
        self.replies: list[dict[str, Any]] = []
        self.is_away = False
        self.repeats = False
        self.looks = 0

    async def ask(self, text: str) -> dict[str, Any]:
        return await self.ask_once(text, external_id=str(len(self.heard)))

    async def ask_once(self, text: str, *, external_id: str, listener: Listener | None = None) -> dict[str, Any]:
        self._check()
        self.heard.append(text)
        self.ids.append(external_id)
        answer = self.answers.pop(0)
        pieces, final = answer if isinstance(answer, tuple) else ((), answer)
        for piece in pieces if listener else ():
            await (listener.replace(piece[1:]) if piece.startswith("!") else listener.token(piece))
        if isinstance(final, Exception):
            raise final
        self.says(external_id, final, kind="answer", recovered=True)
        return {"reply": final, "kind": "answer", "message_id": external_id, "recovered": self.repeats}

    async def latest_replies(self, limit: int = 20) -> list[dict[str, Any]]:
        self.looks += 1
        self._check()
        return self.replies[-limit:]

    def says(self, id: str, text: str, *, kind: str = "late", recovered: bool = False, **more: object) -> None:
        """It stands in the conversation from now on."""
        self.replies.append({"id": id, "kind": kind, "text": text, "recovered": recovered, **more})

    async def is_looked_at(self, *, times: int) -> None:
        """Return when it was looked for news so often again."""
        so_far = self.looks
        await until(lambda: self.looks >= so_far + times)

    def _check(self) -> None:
        if self.is_away:
            raise ChannelUnavailable("ECONNREFUSED 127.0.0.1")


class Sitting:
    """A chat that goes on while the test does."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self.type = send
        self.pieces: list[str] = []

    @property
    def shown(self) -> str:
        """What is on the screen, without the prompt and what was typed."""
        return "".join(self.pieces).partition("leaves.\n\n")[2]

    async def sees(self, text: str, *, times: int = 1) -> None:
        """Return when it is on the screen so often."""
        await until(lambda: self.shown.count(text) >= times)


@asynccontextmanager
async def sitting(talker: FakeTalker, folder: Path, *, news_seconds: float = 0.005) -> AsyncIterator[Sitting]:
    """Someone sits at the terminal while inside, and leaves then."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        person = Sitting(pipe.send_text)
        chat = ConsoleChat(
            talker=talker, history=folder / "history", write=person.pieces.append, columns=lambda: 400, news_seconds=news_seconds
        )
        running = asyncio.create_task(chat.run())
        await until(lambda: bool(person.pieces))
        yield person
        pipe.send_text("\x04")
        await asyncio.wait_for(running, PATIENCE_SECONDS)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something to become true. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)


async def typed(talker: FakeTalker, keys: str, folder: Path, *, news_seconds: float = NEVER) -> str:
    """Someone types *keys* all at once and leaves; what was shown."""
    async with sitting(talker, folder, news_seconds=news_seconds) as person:
        person.type(keys)
    return person.shown


async def test_each_line_is_answered_until_the_person_leaves(tmp_path):
    talker = FakeTalker("first", "second")
    shown = await typed(talker, "one\r\r  \rtwo\r", tmp_path)
    assert talker.heard == ["one", "two"]
    assert shown == "robbie › first\n\nrobbie › second\n\n"
    assert "one" in (tmp_path / "history").read_text()


@pytest.mark.parametrize(
    ("pieces", "final", "shown"),
    [
        (("Hel", "lo"), "Hello", "robbie › Hello\n\n"),
        (("Hel", "lo \n"), "Hello", "robbie › Hello\n\n\n"),
        (("Hel",), "Hello", "robbie › Hello\n\n"),
        (("Hel", "!Hello", " you"), "Hello you", "robbie › Hello you\n\n"),
        (("Wro", "!Right"), "Right", "robbie › Wro\n… Right\n\n"),
        (("Wro",), "Quite different", "robbie › Wro\n… Quite different\n\n"),
        ((), "Hello", "robbie › Hello\n\n"),
    ],
)
async def test_answer_is_shown_once_and_whole(tmp_path, pieces, final, shown):
    assert await typed(FakeTalker((pieces, final)), "hi\r", tmp_path) == shown


async def test_escape_sequences_do_not_steer_the_terminal(tmp_path):
    assert "\x1b[2J" not in await typed(FakeTalker((("a\x1b[2Jb",), "a\x1b[2Jb")), "hi\r", tmp_path)


async def test_answer_that_may_be_a_repeat_says_so(tmp_path):
    talker = FakeTalker((("Once up",), "It was"))
    talker.repeats = True
    assert await typed(talker, "tell me\r", tmp_path) == "robbie › Once up\n… (recovered) It was\n\n"


async def test_what_is_refused_is_told_in_one_line_and_not_asked_again(tmp_path):
    talker = FakeTalker(RobbieError("413 Request Entity Too Large"), "fine")
    assert await typed(talker, "far too much\rless\r", tmp_path) == f"robbie › {REFUSED}robbie › fine\n\n"
    assert talker.heard == ["far too much", "less"]


async def test_what_is_said_unasked_is_shown_once_while_the_prompt_is_idle(tmp_path):
    talker = FakeTalker()
    talker.says("old", "seen before")
    async with sitting(talker, tmp_path) as person:
        talker.says("1", "the answer I owed you")
        talker.says("2", "to someone who asked elsewhere, and has it", kind="answer")
        talker.says("3", "cut by a crash", kind="answer", recovered=True)
        talker.says("4", "by the way", kind="notice")
        await person.sees("by the way")
        await talker.is_looked_at(times=3)
    assert person.shown == ("robbie › (late) the answer I owed you\n\nrobbie › (recovered) cut by a crash\n\nrobbie › by the way\n\n")


async def test_choices_are_numbered(tmp_path):
    talker = FakeTalker()
    talker.says("old", "seen before")
    async with sitting(talker, tmp_path) as person:
        talker.says("1", "Bob wants in.", kind="notice", buttons=[{"label": "Let in"}, {"label": "Turn away"}])
        await person.sees("Turn away")
    assert person.shown == "robbie › Bob wants in.\n\n1. Let in\n2. Turn away\n\n"


async def test_none_of_many_late_answers_is_missed(tmp_path):
    talker = FakeTalker()
    talker.says("old", "seen before")
    async with sitting(talker, tmp_path) as person:
        for number in range(99):
            talker.says(str(number), f"answer {number}.")
        await person.sees("answer 98.")
    assert [person.shown.count(f" answer {number}.") for number in range(99)] == [1] * 99


async def test_absence_is_told_once_and_so_is_the_return_and_what_was_said_meanwhile(tmp_path):
    talker = FakeTalker()
    async with sitting(talker, tmp_path) as person:
        for number in range(2):
            talker.is_away = True
            await person.sees(AWAY, times=number + 1)
            await talker.is_looked_at(times=3)
            talker.says(str(number), f"answer {number}")
            talker.is_away = False
            await person.sees(f"answer {number}")
    assert person.shown == f"{AWAY}{BACK}robbie › (late) answer 0\n\n{AWAY}{BACK}robbie › (late) answer 1\n\n"


async def test_short_absence_is_no_news(tmp_path):
    talker = FakeTalker(((), ChannelUnavailable("hung up")), "here I am")
    assert await typed(talker, "hi\r", tmp_path, news_seconds=0.005) == "robbie › here I am\n\n"
    assert len(set(talker.ids)) == 1


async def test_answer_that_was_cut_short_goes_on_where_it_ended(tmp_path):
    """For a moment: on its line. For longer: after the return, and nothing that was shown is shown again."""
    talker = FakeTalker((("Lon",), ChannelUnavailable("hung up")), (("!London", " is "), ChannelUnavailable("hung up")), "London is it.")
    async with sitting(talker, tmp_path) as person:
        person.type("where?\r")
        await person.sees("London is")
        talker.is_away = True
        await person.sees(AWAY)
        talker.is_away = False
        await person.sees("it.")
        await talker.is_looked_at(times=3)
    assert person.shown == f"robbie › London is\n\n{AWAY}{BACK}robbie › … it.\n\n"
    assert talker.heard == ["where?"] * 3
    assert len(set(talker.ids)) == 1


async def test_what_is_written_meanwhile_is_kept_and_asked_in_order_on_return(tmp_path):
    talker = FakeTalker((("fi", "rst"), "first"), "second", (("the ", "third"), "the third"))
    async with sitting(talker, tmp_path) as person:
        talker.is_away = True
        await person.sees(AWAY)
        for count, text in enumerate(("one\r", "two\r"), 1):
            person.type(text)
            await person.sees(KEPT, times=count)
        assert talker.heard == []
        talker.is_away = False
        await person.sees("second")
        person.type("three\r")
        await person.sees("third")
    assert person.shown == f"{AWAY}{KEPT}{KEPT}{BACK}robbie › first\n\nrobbie › second\n\nrobbie › the third\n\n"
    assert talker.heard == ["one", "two", "three"]
    assert "robbie › first\n\n" in person.pieces, "above an open prompt an answer comes in one piece"
    assert "".join(person.pieces).endswith("robbie › the third\n\n")
    assert " the" in person.pieces, "below no prompt it comes word by word"


async def test_person_who_leaves_is_told_what_may_not_have_arrived(tmp_path):
    talker = FakeTalker()
    async with sitting(talker, tmp_path) as person:
        talker.is_away = True
        person.type("hi\r")
        await person.sees(AWAY)
    assert person.shown == f"{AWAY}{UNSENT}"


async def test_trouble_with_one_question_is_no_error_text_and_no_absence_and_the_next_has_its_turn(tmp_path):
    talker = FakeTalker(*[ChannelUnavailable("ECONNREFUSED 127.0.0.1")] * TRIES, "fine")
    async with sitting(talker, tmp_path) as person:
        person.type("hi\r")
        await person.sees(KEPT_AT)
        person.type("and you?\r")
        await person.sees("fine")
    assert person.shown == f"robbie › {KEPT_AT}{GIVEN_UP}robbie › fine\n\n"
    assert talker.heard == ["hi"] * TRIES + ["and you?"]
    assert len(set(talker.ids)) == 2


async def test_what_nobody_foresaw_does_not_end_the_looking(tmp_path):
    talker = FakeTalker()
    async with sitting(talker, tmp_path) as person:
        looks, talker.replies = talker.replies, None  # type: ignore[assignment]
        await talker.is_looked_at(times=2 * QUIET_MISSES)
        talker.replies = looks
        talker.says("late", "late words")
        await person.sees("late words")


async def test_a_refusal_ends_the_chat_with_its_own_words(tmp_path):
    """As when a hub comes back that knows nobody of that name; what is written would never be asked."""

    class Refusing(FakeTalker):
        is_refusing = False

        async def latest_replies(self, limit: int = 20) -> list[dict[str, Any]]:
            if self.is_refusing:
                raise RobbieError("nobody here is called 'Bob'")
            return await super().latest_replies(limit)

    talker = Refusing("hello")

    async def sit() -> None:
        async with sitting(talker, tmp_path) as person:
            talker.is_refusing = True
            person.type("hi\r")

    with pytest.raises(RobbieError, match="Bob"):
        await sit()
    assert talker.heard == []


async def test_looks_become_rarer_up_to_a_bound(tmp_path):
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        chat = ConsoleChat(talker=FakeTalker(), history=tmp_path / "history", write=lambda _: None, news_seconds=3.0)
    pauses = []
    for _ in range(2000):
        pauses.append(chat._pause())
        chat._miss()
    assert pauses[:7] == [3.0, 0.75, 1.5, 3.0, 6.0, 6.0, 6.0]
    assert pauses[-1] == 6.0


def test_keys_between_prompts_are_not_echoed_and_not_lost():
    """On a real pseudo terminal: what is typed stays for whoever reads next, and Ctrl-C keeps its meaning."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with quiet_keys(theirs):
        assert termios.tcgetattr(theirs)[3] & termios.ISIG
        os.write(ours, b"typed ahead\x04")
        os.write(theirs, b"the answer")
        assert os.read(ours, 100) == b"the answer"
        assert os.read(theirs, 100) == b"typed ahead\x04"
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


async def test_lines_are_answered_one_by_one(capsys):
    await answer_lines(FakeTalker("a\n\nb", "**c**"), ["one\n", "two\n"])
    assert capsys.readouterr().out == "a b\nc\n"
