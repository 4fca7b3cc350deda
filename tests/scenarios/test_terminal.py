"""The terminal's conversation with the hub of its own process: what is owed arrives while the prompt is idle."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot.adapters.console import ConsoleChat
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import House, until


async def test_late_answer_comes_unasked_and_once(house: House, tmp_path: Path) -> None:
    house.model.fall()
    shown: list[str] = []
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        talker = house.app.talk(house.owner)
        chat = ConsoleChat(talker=talker, history=tmp_path / "history", write=shown.append, news_seconds=0.01)
        chatting = asyncio.create_task(chat.run())
        keys.send_text("what is love\r")
        await until(lambda: "(no model in reach)" in "".join(shown))
        house.model.error = None
        await house.asks("are you awake", channel="push")
        await until(lambda: "re: what is love" in "".join(shown))
        keys.send_text("are you sure\r")
        await until(lambda: "re: are you sure" in "".join(shown))
        keys.send_text("\x04")
        await asyncio.wait_for(chatting, PATIENCE_SECONDS)
    assert [reply["text"] for reply in await talker.latest_replies(1)] == ["re: are you sure"]
    text = "".join(shown)
    assert (text.count("(late)"), text.count("re: what is love"), text.count("re: are you sure")) == (1, 1, 1)
