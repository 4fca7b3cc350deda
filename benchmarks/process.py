"""The process: how quick `--help` is, how much memory and processor an idle hub takes, how long the standing words are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from bot.brain.context import PROMPTS
from bot.domain.thought import estimate_tokens

from benchmarks.figure import Figure, progress

ROOT = Path(__file__).parents[1]
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "60"))
HEAVY = ("openai", "anthropic", "ollama", "sqlalchemy", "aiohttp", "pydantic")


async def help_time() -> AsyncIterator[Figure]:
    """`robbie --help` against `python -c "import typer"`, in turn."""
    ours = [sys.executable, "-c", "import sys; sys.argv = ['robbie', '--help']; from bot.cli import main; main()"]
    bare = [sys.executable, "-c", "import typer"]
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(15):
        for name, command in (("ours", ours), ("bare", bare)):
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            took[name].append(time.perf_counter() - began)
    ratio = statistics.median(a / b for a, b in zip(took["ours"], took["bare"], strict=True))
    yield Figure(
        name="robbie --help, of importing typer alone",
        value=round(ratio, 2),
        unit="ratio",
        bar="<= 2.5",
        ok=ratio <= 2.5,
        yardstick={"help_ms": round(statistics.median(took["ours"]) * 1000), "typer_ms": round(statistics.median(took["bare"]) * 1000)},
    )
    look = "import sys; from bot.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit:\n    print('HEAVY', [n for n in sys.argv[1:] if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", look, *HEAVY], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count = len(re.findall(r"'(\w+)'", said.rpartition("HEAVY")[2]))
    yield Figure(name="heavy libraries imported for --help", value=count, unit="libraries", bar="0", ok=count == 0)


async def idle_hub() -> AsyncIterator[Figure]:
    """A hub of the shipped config, with nothing to do: memory before and after the embedded model is loaded, processor, tokens."""
    with _hub() as (process, home):
        await asyncio.sleep(3)
        memory = _memory_mb(process)
        yield Figure(
            name="idle hub, embedded model not loaded",
            value=memory["pss"],
            unit="MB",
            bar="<= 130",
            ok=memory["pss"] <= 130,
            yardstick=memory,
        )
        progress(f"an idle hub, for {IDLE_SECONDS:.0f} s")
        before, began = _cpu_seconds(process), time.perf_counter()
        await asyncio.sleep(IDLE_SECONDS)
        share = (_cpu_seconds(process) - before) / (time.perf_counter() - began)
        yield Figure(
            name="idle hub, share of a core",
            value=round(share, 5),
            unit="cores",
            bar="< 0.01",
            ok=share < 0.01,
            yardstick={"seconds": IDLE_SECONDS},
        )
        tokens = _tokens(home)
        yield Figure(name="idle hub, tokens", value=tokens, unit="tokens", bar="0", ok=tokens == 0)
        said = subprocess.run(
            [sys.executable, "-m", "bot", "ask", "What is the capital of France?", "--json"],
            cwd=ROOT,
            env=_environ(home),
            capture_output=True,
            text=True,
            check=True,
        )
        if json.loads(said.stdout)["level"] != "embedded":
            progress("the embedded model is not there (robbie model fetch): its memory is not measured")
            return
        await asyncio.sleep(2)
        memory = _memory_mb(process)
        yield Figure(
            name="idle hub, embedded model loaded at n_ctx 4096",
            value=memory["pss"],
            unit="MB",
            bar="<= 420",
            ok=memory["pss"] <= 420,
            yardstick=memory,
        )


async def prompt_length() -> AsyncIterator[Figure]:
    """The standing words, by a cautious estimate of 3.5 characters a token."""
    for file, bar in (("system.md", 1500), ("brief.md", 400)):
        tokens = estimate_tokens((PROMPTS / file).read_text("utf-8"))
        yield Figure(name=f"fixed prompt ({file})", value=tokens, unit="tokens", bar=f"< {bar}", ok=tokens < bar)


@contextmanager
def _hub() -> Iterator[tuple[psutil.Process, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(ROOT / "config.toml", home)
        child = subprocess.Popen(
            [sys.executable, "-m", "bot", "run"],
            cwd=ROOT,
            env=_environ(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 30
            while not (home / "data/hub.json").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield psutil.Process(child.pid), home
        finally:
            child.terminate()
            child.wait(timeout=15)


def _environ(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**own, "ROBBIE_CONFIG": str(home / "config.toml"), "ROBBIE__WEB__PORT": "0"}


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _memory_mb(process: psutil.Process) -> dict[str, float]:
    """Hub and children together: resident, and proportional (pages that they share counted once)."""
    full = [member.memory_full_info() for member in _family(process)]
    return {"rss": round(sum(info.rss for info in full) / 1e6, 1), "pss": round(sum(info.pss for info in full) / 1e6, 1)}


def _cpu_seconds(process: psutil.Process) -> float:
    return sum(times.user + times.system for times in (member.cpu_times() for member in _family(process)))


def _tokens(home: Path) -> int:
    import sqlite3

    connection = sqlite3.connect(f"file:{home}/data/robbie.db?mode=ro", uri=True)
    (total,) = connection.execute("SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM ai_model_usage").fetchone()
    connection.close()
    return int(total)
