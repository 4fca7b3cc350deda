"""What whole processes cost: the help screen, an idle hub before and after its embedded model is loaded, the fixed part of a prompt."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import running
from bot.brain.context import ContextBuilder
from bot.brain.gguf import cache_folder, fetched
from bot.domain.thought import Question, estimate_tokens

ROOT = Path(__file__).parents[1]
RUNS = 12
HEAVY = ("openai", "anthropic", "ollama", "sqlalchemy", "aiohttp", "xllamacpp", "alembic", "jinja2")
SETTLE_SECONDS = 5.0
CONFIG = """
[web]
port = 0
[[brain.levels]]
name = "embedded"
provider = "local"
model = "smollm2-135m-instruct"
context = 4096
"""


async def help_screen(_: Path) -> AsyncIterator[Figure]:
    """`robbie --help` beside a bare `import typer`, alternating."""
    progress(f"help: {RUNS} runs of each")
    ours, bare = [], []
    for _ in range(RUNS):
        ours.append(_timed("-m", "bot", "--help"))
        bare.append(_timed("-c", "import typer"))
    ratio = p50(ours) / p50(bare)
    stick = {"import_typer_ms": p50(bare)}
    yield Figure(name="help", value=p50(ours), unit="ms", bar="<= 2.5 x import typer", ok=ratio <= 2.5, yardstick=stick, ratio=ratio)
    heavy = _imported("-m", "bot", "--help")
    yield Figure(name="help_heavy_imports", value=len(heavy), unit="modules", bar="0", ok=not heavy, yardstick={"found": heavy})


def _timed(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def _imported(*words: str) -> list[str]:
    """Which of the heavy libraries the command imports."""
    done = subprocess.run([sys.executable, "-X", "importtime", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    return sorted(modules & set(HEAVY))


async def idle_hub(folder: Path, *, idle_seconds: float) -> AsyncIterator[Figure]:
    """A real hub as `make run` starts it: its memory, what it does when nobody asks, its memory with the model loaded."""
    if not fetched(cache_folder(os.environ)):
        raise FileNotFoundError("the embedded model is not here; `robbie model fetch` gets it")
    (folder / "config.toml").write_text(CONFIG)
    with _hub(folder) as process:
        hub = await _started(folder)
        await asyncio.sleep(SETTLE_SECONDS)
        rss, pss = _memory(process)
        progress(f"idle hub: {idle_seconds:.0f} s of silence")
        yield Figure(name="hub_memory_unloaded", value=rss, unit="MB resident", bar="<= 130", ok=rss <= 130, yardstick={"pss_mb": pss})
        percent = await _cpu_percent(process, idle_seconds)
        tokens = _tokens(folder)
        over = {"seconds": idle_seconds}
        yield Figure(name="hub_idle_cpu", value=percent, unit="% of a core", bar="< 1", ok=percent < 1, yardstick=over)
        yield Figure(name="hub_idle_tokens", value=tokens, unit="tokens", bar="0", ok=tokens == 0, yardstick=over)
        progress("idle hub: one question, so that the model is loaded")
        await _ask(hub, "hello")
        await asyncio.sleep(SETTLE_SECONDS)
        rss, pss = _memory(process)
        yield Figure(name="hub_memory_loaded", value=rss, unit="MB resident", bar="<= 420", ok=rss <= 420, yardstick={"pss_mb": pss})
        read = _tokens(folder)
        yield Figure(name="prompt_brief_counted", value=read, unit="tokens", bar="< 400", ok=read < 400, yardstick={"said": "hello"})


@contextmanager
def _hub(folder: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "bot", "--config", str(folder / "config.toml"), "run"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


async def _started(folder: Path) -> dict[str, Any]:
    """The note that a running hub leaves."""
    async with asyncio.timeout(60):
        while not (note := folder / "data" / "hub.json").exists():
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
    told: dict[str, Any] = json.loads(note.read_text())
    return told


def _family(process: psutil.Process) -> Sequence[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _memory(process: psutil.Process) -> tuple[float, float]:
    """Megabytes of the hub and its children: resident (what they share counts for each), and proportional."""
    rss = sum(member.memory_info().rss for member in _family(process)) / 2**20
    pss = sum(member.memory_full_info().pss for member in _family(process)) / 2**20
    return rss, pss


async def _cpu_percent(process: psutil.Process, seconds: float) -> float:
    before = _cpu_seconds(process)
    await asyncio.sleep(seconds)
    return (_cpu_seconds(process) - before) / seconds * 100


def _cpu_seconds(process: psutil.Process) -> float:
    return sum(member.cpu_times().user + member.cpu_times().system for member in _family(process))


async def _ask(note: dict[str, Any], text: str) -> None:
    headers = {"Authorization": f"Bearer {note['token']}"}
    url = f"{note['url']}/api/chat"
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json={"text": text}) as response:
        assert response.status == 200, await response.text()


def _tokens(folder: Path) -> int:
    """Input tokens that models have read, as they counted them."""
    with closing(sqlite3.connect(f"file:{folder}/data/robbie.db?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT coalesce(sum(input_tokens), 0) FROM ai_model_usage").fetchone()[0])


async def fixed_prompt(folder: Path) -> AsyncIterator[Figure]:
    """What is sent with every question, whatever it is; by the cautious estimate of 3.5 characters a token."""
    async with running(folder) as bench:
        builder = ContextBuilder(database=bench.app.database, owner="Allan", clock=bench.app.clock)
        receipt, _ = await bench.hear("hello", conversation="prompt")
        question = Question(
            id=receipt.event_id,
            conversation_id=receipt.conversation_id,
            person=bench.owner,
            text="hello",
            asked_at=bench.app.clock.now(),
        )
        prompt, again = await builder.build(question), await builder.build(question)
    for name, system, bar in (("full", prompt.system, 1500), ("brief", prompt.brief_system, 400)):
        tokens = estimate_tokens(system)
        yield Figure(name=f"prompt_{name}", value=tokens, unit="tokens, estimated", bar=f"< {bar}", ok=tokens < bar)
    is_stable = prompt.system == again.system
    yield Figure(name="prompt_prefix_stable", value=float(is_stable), unit="yes or no", bar="1", ok=is_stable)
