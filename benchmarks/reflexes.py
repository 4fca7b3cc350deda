"""How quick tier 1 is at ten thousand patterns, and how well its classifier tells intents apart, and what is none of them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.figure import Figure, p50, progress
from benchmarks.robbie import PULL, Bench, running
from bot.brain.intents import OUT, SURE, Example, learn, read
from bot.brain.linear import Linear, words
from bot.brain.reactive import Reactive
from bot.brain.reflexes import SEEDS
from bot.domain.clock import new_id
from bot.domain.thought import Question

PATTERNS, ASKED, TURNS = 10_000, 3000, 300
AS_OFTEN = 0.18
"""The share of CLINC150's test questions that are out of scope: what is answered is counted as if it were as much here."""


async def tier1(folder: Path) -> AsyncIterator[Figure]:
    """Decision and answer, of known phrases, of others that are like them, of what goes to a model; then whole turns through the hub."""
    chance = random.Random(0)
    async with running(folder) as bench:
        reflexes, now = bench.app.rooms.reflexes, bench.app.clock.now()
        phrases = _phrases(chance, PATTERNS - len(SEEDS))
        common = {"user_id": None, "state": "on", "origin": "bench", "weight": 1.0, "created_at": now, "changed_at": now}
        async with bench.app.database.unit_of_work() as work:
            await work.patterns.add_new([{**common, "key": text, "text": text, "intent": intent} for text, intent in phrases.items()])
        await reflexes.refresh()
        progress(f"tier1: fitting {PATTERNS} patterns")
        began = time.perf_counter()
        await reflexes.fit()
        fitted = time.perf_counter() - began
        app = bench.app
        reactive = Reactive(database=app.database, health=app.health, rungs=["instant"], clock=app.clock, reflexes=reflexes)
        reactive.obey(app.rooms.commands.run)
        took, cpu, answered = [], [], 0
        for text in {intent: text for text, intent in SEEDS.items() if intent != "/brief"}.values():  # statements are compiled once
            await reactive.answer(Question(id=new_id(), conversation_id=new_id(), person=bench.owner, text=text, asked_at=now))
        asked = [*SEEDS.items(), *_phrases(chance, len(SEEDS)).items()]
        for text in chance.choices([text for text, intent in asked if intent != "/brief"], k=ASKED):  # a brief is composed, by a model too
            question = Question(id=new_id(), conversation_id=new_id(), person=bench.owner, text=text, asked_at=now)
            began, busy = time.perf_counter(), time.process_time()
            answered += await reactive.answer(question) is not None
            took.append((time.perf_counter() - began) * 1000)
            cpu.append((time.process_time() - busy) * 1000)  # without what else the machine did meanwhile
        p99 = sorted(took)[int(len(took) * 0.99)]
        more = {
            "p50_ms": p50(took),
            "cpu_p99_ms": sorted(cpu)[int(len(cpu) * 0.99)],
            "answered_share": answered / len(took),
            "fit_seconds": fitted,
        }
        yield Figure(name="tier1_p99", value=p99, unit="ms", bar="<= 5, decision and answer", ok=p99 <= 5, yardstick=more)
        turns = [await _turn(bench, ("what time is it", "any tasks today", "my notes")[number % 3], number) for number in range(TURNS)]
        p99 = sorted(turns)[int(TURNS * 0.99)]
        bar = "<= 100, through the whole hub"
        yield Figure(name="tier1_turn_p99", value=p99, unit="ms", bar=bar, ok=p99 <= 100, yardstick={"p50_ms": p50(turns)})


async def _turn(bench: Bench, text: str, number: int) -> float:
    began = time.perf_counter()
    await bench.turn(text, conversation=f"t{number // 20}", channel=PULL)
    return (time.perf_counter() - began) * 1000


def _phrases(chance: random.Random, many: int) -> dict[str, str]:
    """Further phrases with their intents: those of the seeds with words of other seeds among them."""
    seeds = sorted(SEEDS.items())
    fillers = sorted({word for phrase in SEEDS for word in phrase.split()})
    found: dict[str, str] = {}
    while len(found) < many:
        phrase, intent = chance.choice(seeds)
        said = phrase.split()
        said.insert(chance.randrange(len(said) + 1), chance.choice(fillers))
        found[" ".join(said)[:100]] = intent
    return found


async def intents(_: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """CLINC150 as one JSON file of lists of [text, intent]: `train` and `oos_train` are learned, `val` or `test` with `oos_…` judged."""
    sets = next((found for file in data if file.suffix == ".json" and "oos_train" in (found := json.loads(file.read_text("utf-8")))), None)
    if sets is None:
        progress("intents: skipped; it needs --data FILE: CLINC150 with out-of-scope, as one JSON file")
        return
    judged = next(name for name in ("test", "val") if name in sets)
    progress(f"intents: learning {len(sets['train'])} examples; some minutes")
    began = time.perf_counter()
    linear = learn([*(Example(*each) for each in sets["train"]), *(Example(text, OUT) for text, _ in sets["oos_train"])])
    learned = time.perf_counter() - began
    inside = [(*read(linear, text), intent, _is_known(linear, text)) for text, intent in sets[judged]]
    outside = [(*read(linear, text), _is_known(linear, text)) for text, _ in sets[f"oos_{judged}"]]
    right = fmean(found == intent for found, _, intent, _ in inside)
    more = {"judged": judged, "texts": len(inside), "learn_seconds": learned, "megabytes": len(linear.dump()) / 1e6}
    yield Figure(name="intent_accuracy", value=right, unit="", bar=">= 0.92", ok=right >= 0.92, yardstick=more)
    area = _auroc([sure for _, sure, _, _ in inside], [sure for _, sure, _ in outside])
    yield Figure(name="intent_oos_auroc", value=area, unit="", bar=">= 0.95", ok=area >= 0.95, yardstick={"texts": len(outside)})
    answered = [found == intent for found, sure, intent, is_known in inside if sure >= SURE and is_known]
    wrongly = sum(sure >= SURE and is_known for _, sure, is_known in outside)
    share_in, share_out = len(answered) / len(inside) * (1 - AS_OFTEN), wrongly / len(outside) * AS_OFTEN
    precision = share_in / max(share_in + share_out, 1e-9)
    more = {
        "answered_inside": len(answered) / len(inside),
        "answered_outside": wrongly / len(outside),
        "right_of_answered": fmean(answered),
    }
    yield Figure(name="tier1_in_scope", value=precision, unit="", bar=">= 0.99 of what is answered", ok=precision >= 0.99, yardstick=more)


def _is_known(linear: Linear, text: str) -> bool:
    """Whether it was fitted on every word, without which tier 1 does not answer."""
    return all(map(linear.knows, words(text)))


def _auroc(inside: Sequence[float], outside: Sequence[float]) -> float:
    """How often something in scope is held for likelier than something out of it; a draw counts half."""
    return fmean((one > other) + (one == other) / 2 for one in inside for other in outside)
