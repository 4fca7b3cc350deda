"""What it costs to keep memory findable by meaning: resident megabytes, seconds until a turn has its vector, turns imported in a second."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import Bench, running
from bot.brain.chat_files import Said
from bot.brain.embedding import LADDER
from bot.learning.importing import Importing

TURNS, IMPORTED = 20, 1_000
WORDS = (  # noqa: SIM905
    "the and I you was it we to my went have last week with her they said really good time day friend work house dog garden school "
    "started painting talked about family trip city happy tired thought maybe because after before never always music food called"
).split()
FULL_IMPORT, FULL_SECONDS = 5_882, 60.0
_MEMORY = """
import asyncio, psutil
from bot.brain.embedding import LocalEmbedder
rss = lambda: psutil.Process().memory_info().rss / 2**20
async def main():
    embedder, before = LocalEmbedder(), rss()
    await embedder.embed(["a question of the usual length, as people ask it"] * 20)
    embedder.words([f"word{n}" for n in range(500)])
    usual = rss() - before
    await asyncio.gather(*(embedder.embed(["word " * 1000] * 5) for _ in range(2)))
    embedder.words([f"word{n}" for n in range(9_500)])
    worst = rss() - before
    embedder.unload()
    print(usual, worst, rss() - before)
asyncio.run(main())
"""


async def upkeep(folder: Path) -> AsyncIterator[Figure]:
    """All three, with the best model that is installed; without MiniLM there is nothing to measure."""
    if missing := LADDER[0].missing:
        progress(f"upkeep: skipped; MiniLM needs {', '.join(missing)}")
        return
    yield _resident()
    async with running(folder) as bench:
        yield await _seconds_to_vector(bench)
        yield await _import_speed(bench)


def _resident() -> Figure:
    """Of a process of its own: beyond what it takes without a model; after long texts and thousands of words."""
    done = subprocess.run([sys.executable, "-c", _MEMORY], cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True)
    usual, worst, unloaded = map(float, done.stdout.split())
    stick = {"usual": usual, "unloaded_again": unloaded}
    return Figure(name="memory_minilm_resident", value=worst, unit="MB more", bar="<= 250", ok=worst <= 250, yardstick=stick)


async def _seconds_to_vector(bench: Bench) -> Figure:
    """From a turn's end until question and answer have their vectors, in a hub that goes its rounds. The first loads the model."""
    took = []
    async with bench.app.timekeeper:
        for number in range(TURNS + 1):
            await bench.turn(f"What do you know of the {number}th lighthouse on this coast?", conversation="upkeep")
            began = time.perf_counter()
            while await _lacking(bench):
                await asyncio.sleep(0.01)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(random.Random(number).random())
    first, *others = took
    worst, stick = max(others), {"p50": p50(others), "first": first, "turns": TURNS}
    return Figure(name="memory_vector_after", value=worst, unit="s, slowest", bar="<= 2", ok=worst <= 2, yardstick=stick)


async def _lacking(bench: Bench) -> int:
    embedder = bench.app.rooms.recall.embedder
    async with bench.app.database.reading() as work:
        return await work.memories.count_lacking(embedder.model if embedder else "")


async def _import_speed(bench: Bench) -> Figure:
    """Turns of 25 words, vectors included; beside it the time on the processor, which other work on the machine does not lengthen."""
    draw, start = random.Random(1), datetime(2024, 1, 1, tzinfo=UTC)
    lines = [
        Said(
            external_id=str(n), conversation="c", speaker="Dana", text=" ".join(draw.choices(WORDS, k=25)), at=start + timedelta(minutes=n)
        )
        for n in range(IMPORTED)
    ]
    importing = Importing(database=bench.app.database, embedder=bench.app.rooms.recall.embedder)
    began, on_processor = time.perf_counter(), time.process_time()
    await importing.bring(bench.owner, enumerate(lines, start=1), lambda done, total: None)
    seconds, busy = time.perf_counter() - began, time.process_time() - on_processor
    bar, stick = FULL_IMPORT / FULL_SECONDS, {"cpu_ms_a_turn": busy / IMPORTED * 1000, "turns": IMPORTED}
    value = IMPORTED / seconds
    return Figure(name="memory_import", value=value, unit="turns/s", bar=f">= {bar:.0f}", ok=value >= bar, yardstick=stick)
