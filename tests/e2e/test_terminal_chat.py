"""A person at a real pseudo terminal, beside a real hub that dies and comes back; only the model is a FAKE."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tests.contracts.model_fakes import FakeModel, Wire, fake_model
from tests.e2e.hub_process import Hub
from tests.machine import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

AT_A_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from bot.cli import main; main()"
"""The command line, in a session of its own with its stdin as the terminal that Ctrl-C comes from."""
STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """`robbie chat`, or another *command*, at a pseudo terminal; `written` is all that was ever written there, without the steering."""

    def __init__(self, config: Path, command: str = "chat") -> None:
        self._fd, theirs = pty.openpty()
        arguments = [sys.executable, "-c", AT_A_TERMINAL, "--config", str(config), command]
        environ = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
        self._theirs = theirs
        self._raw = b""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    @property
    def written(self) -> str:
        """Since the beginning."""
        return STEERING.sub("", self._raw.decode("utf-8", "ignore"))

    @property
    def echoes(self) -> bool:
        """Whether it is left as it was found."""
        return bool(termios.tcgetattr(self._theirs)[3] & termios.ECHO)

    def type(self, keys: str) -> None:
        """Press these keys, whatever happens on the screen."""
        os.write(self._fd, keys.encode())

    async def sees(self, text: str, *, times: int = 1) -> None:
        """Return when it has been written so often."""
        await until(lambda: self.written.count(text) >= times, self)

    async def ends(self) -> int:
        """The exit status."""
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)

    def close(self) -> None:
        """Nobody sits here any more."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self.process.kill()
        self.process.wait()
        os.close(self._fd)
        os.close(self._theirs)

    def _read(self) -> None:
        self._raw += os.read(self._fd, 65536)


async def until(is_so: Callable[[], bool], terminal: Terminal) -> None:
    """Wait for something to become true; shows the terminal when it does not."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(terminal.written)


class Thoughts:
    """FAKE: what the model says: "It is ", and, as soon as it `may_go_on`, the question itself."""

    def __init__(self, model: FakeModel) -> None:
        self.may_go_on = asyncio.Event()
        self._model = model
        model.act = self._act

    async def _act(self, wire: Wire, _: web.Request) -> AsyncIterator[bytes]:
        question = self._model.asked[-1]["messages"][-1]["content"]
        yield wire.begin()
        yield wire.say("It is ")
        await self.may_go_on.wait()
        yield wire.say(f"about {question}.")
        yield wire.end("")


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with fake_model() as fake:
        yield fake


@pytest.fixture
async def hub(model: FakeModel, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that is up."""
    running = Hub(tmp_path, model.url)
    await running.start()
    yield running
    await running.kill()


@pytest.fixture
async def terminal(hub: Hub) -> AsyncIterator[Terminal]:
    """Someone at the prompt."""
    sitting = Terminal(hub.config)
    await sitting.sees("you ›")
    yield sitting
    sitting.close()


async def test_what_is_typed_during_an_answer_waits_for_the_next_prompt(model: FakeModel, terminal: Terminal):
    thoughts = Thoughts(model)
    terminal.type("bees\r")
    await terminal.sees("robbie › It is")
    terminal.type("ants\rhalf a thou")
    thoughts.may_go_on.set()
    await terminal.sees("robbie › It is about bees.\n\n")
    await terminal.sees("robbie › It is about ants.\n\n")
    await terminal.sees("you › half a thou")
    terminal.type("ght\r")
    await terminal.sees("robbie › It is about half a thought.\n\n")
    assert [asked["messages"][-1]["content"] for asked in model.asked] == ["bees", "ants", "half a thought"]
    terminal.type("\x04")
    assert await terminal.ends() == 0
    assert terminal.echoes


async def test_interrupt_during_an_answer_leaves(model: FakeModel, terminal: Terminal):
    Thoughts(model)
    terminal.type("bees\r")
    await terminal.sees("robbie › It is")
    terminal.type("\x03")
    assert await terminal.ends() == 130
    assert terminal.echoes
    await until(lambda: terminal.written.endswith("robbie › It is\n\n"), terminal)


async def test_interrupt_during_an_answer_stops_the_hub_of_this_terminal(model: FakeModel, tmp_path: Path):
    Thoughts(model)
    terminal = Terminal(Hub(tmp_path, model.url).config, "run")
    try:
        await terminal.sees("you ›")
        assert "hub.started" not in terminal.written
        terminal.type("bees\r")
        await terminal.sees("robbie › It is")
        terminal.type("\x03")
        assert await terminal.ends() == 0
        assert terminal.echoes
        await terminal.sees("Stopping")
    finally:
        terminal.close()


async def test_a_hub_that_is_told_to_stop_finishes_the_answer_that_is_being_watched(model: FakeModel, hub: Hub, terminal: Terminal):
    thoughts = Thoughts(model)
    terminal.type("bees\r")
    await terminal.sees("robbie › It is")
    hub.process.terminate()
    await asyncio.sleep(0.3)  # long enough for a hub that does not wait to hang up
    thoughts.may_go_on.set()
    await terminal.sees("robbie › It is about bees.\n\n")
    assert await asyncio.wait_for(hub.process.wait(), PATIENCE_SECONDS) == 0
    assert len(model.asked) == 1


async def test_death_of_the_hub_is_told_and_what_it_owed_is_shown_once_when_it_is_back(model: FakeModel, hub: Hub, terminal: Terminal):
    thoughts = Thoughts(model)
    terminal.type("bees\r")
    await terminal.sees("robbie › It is")
    await hub.kill()
    await terminal.sees("out of reach")
    terminal.type("ants\r")
    await terminal.sees("kept as well")
    thoughts.may_go_on.set()
    await hub.start()
    await terminal.sees("robbie › … about bees.")
    await terminal.sees("robbie › It is about ants.")

    model.will_refuse(500)
    terminal.type("wasps\r")
    await terminal.sees("wasps")
    await until(lambda: terminal.written.endswith("you ›"), terminal)
    await hub.kill()
    await terminal.sees("Robbie is out of reach", times=2)
    model.status = 200
    Thoughts(model).may_go_on.set()
    await hub.start()
    await terminal.sees("It is about wasps.")
    terminal.type("bye\r")
    await terminal.sees("It is about bye.")

    once = ("about bees.", "about ants.", "about wasps.", "(late)")
    assert [terminal.written.count(text) for text in once] == [1] * len(once)
    assert terminal.written.count("Robbie is back.") == terminal.written.count("Robbie is out of reach") == 2
