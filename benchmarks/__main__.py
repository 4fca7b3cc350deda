"""`python -m benchmarks [NAMES]`: measures what Robbie promises, one JSON line a figure. It never fails: whoever reads it judges.

NAMES are parts (turn, sustained, events, refusing, doors_ack, chain, silence, probes, kill, mesh, help, hub, prompt, dates, long_brief,
briefs, tier1, intents, task_types, predictor, learned, bandit, forecast,
leaks, locomo, locomo_product, memories, upkeep, ageing); all of them where none is named.
`--data PATH` (again and again; or ROBBIE_BENCH_DATA) names the files, or folders, of what is judged on other people's data: CLINC150 as one
JSON file (intents), prompts with their types as JSON lines (task_types), a CSV of which of two models was right (predictor, learned),
LoCoMo's conversations as one JSON file (locomo, locomo_product, memories,
ageing).
`--idle-seconds N` says how long the idle hub is watched (60 by default).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from benchmarks import (
    affairs,
    ageing,
    briefs,
    chain,
    dates,
    doors,
    forecast,
    kill,
    leaks,
    locomo,
    memories,
    memory_upkeep,
    mesh,
    processes,
    reflexes,
    routing,
    slack_ack,
    task_types,
    turns,
)
from benchmarks.data import files
from benchmarks.figure import Figure, progress

Part = Callable[[Path], AsyncIterator[Figure]]


def parts(idle_seconds: float, data: Sequence[Path] = ()) -> dict[str, Part]:
    """Everything that can be measured, by name."""
    return {
        "turn": turns.durable_turn,
        "sustained": turns.sustained,
        "events": doors.mixed_events,
        "refusing": doors.refusing_channel,
        "doors_ack": slack_ack.slack_acknowledgement,
        "chain": chain.failing_level,
        "silence": chain.silent_level,
        "probes": chain.half_open,
        "kill": kill.random_kills,
        "mesh": mesh.nodes,
        "reminders": affairs.reminders,
        "affairs": affairs.commands,
        "help": processes.help_screen,
        "hub": partial(processes.idle_hub, idle_seconds=idle_seconds),
        "prompt": processes.fixed_prompt,
        "dates": dates.plain_words,
        "long_brief": briefs.long_brief,
        "briefs": briefs.year,
        "tier1": reflexes.tier1,
        "intents": partial(reflexes.intents, data=data),
        "task_types": partial(task_types.told_right, data=data),
        "forecast": forecast.foretold,
        "predictor": partial(routing.predictor, data=data),
        "learned": partial(routing.learned, data=data),
        "bandit": routing.bandit,
        "leaks": leaks.leaks,
        "locomo": partial(locomo.recalled, data=data),
        "locomo_product": partial(memories.locomo_product, data=data),
        "memories": partial(memories.among_many, data=data),
        "upkeep": memory_upkeep.upkeep,
        "ageing": partial(ageing.kept_findable, data=data),
    }


async def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*parts(60), []], metavar="NAME")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--data", type=Path, action="append", default=[])
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for figures
    for name, part in parts(asked.idle_seconds, files(asked.data)).items():
        if asked.names and name not in asked.names:
            continue
        with tempfile.TemporaryDirectory(prefix="robbie-bench-") as folder:
            try:
                async for figure in part(Path(folder)):
                    figure.show()
            except Exception as error:  # noqa: BLE001  # a part that cannot be measured here must not keep the others from being measured
                progress(f"{name} was not measured: {type(error).__name__}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
