"""How well the router learns: which questions a level will do, and how soon it sees that another level has become the best one."""

from __future__ import annotations

import csv
import os
import random
import statistics
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from benchmarks.figure import Figure, progress
from bot.brain import cells
from bot.brain.cells import Cell, cells_from
from bot.brain.predictor import features, fit, shift
from bot.brain.reputation import Level
from bot.brain.router import Router
from bot.domain.thought import TaskType
from storage.database import Database
from storage.repositories.decisions import Scored

SEEDS, FOLDS = 20, 5
CHANCES, BEFORE, WINDOW = 40, 300, 50
PULLS_A_DAY, PEOPLE = 18, tuple(UUID(int=number) for number in range(3))
GAPS = {
    "0.9 falls to 0.5": ((0.9, 0.5, 0.5), (0.5, 0.9, 0.5)),
    "0.8 falls to 0.6": ((0.8, 0.6, 0.6), (0.6, 0.8, 0.6)),
    "0.8 falls to 0.7": ((0.8, 0.7, 0.7), (0.7, 0.8, 0.7)),
    "another rises from 0.5 to 0.9": ((0.7, 0.5, 0.5), (0.7, 0.9, 0.5)),
    "another rises from 0.6 to 0.8": ((0.7, 0.6), (0.7, 0.8)),
}
"""The chance of a good answer of each level, before and after the change."""
Row = tuple[str, float, float]
Chooser = Callable[[Sequence[Scored]], str]


async def predictor(_: Path, *, data: Path | None = None) -> AsyncIterator[Figure]:
    """APGR (RouteLLM, arXiv 2406.18665) on a table, by path, of prompts and whether a weak and a strong model did them right."""
    data = data or Path(os.environ.get("ROBBIE_ROUTING_DATA", ""))
    if not data.is_file():
        progress("predictor: skipped; it needs --data FILE (or ROBBIE_ROUTING_DATA): a CSV of prompt, weak model, strong model")
        return
    rows = list(_read(data))
    gains = [strong - weak for _, weak, strong in rows]
    by_length = apgr([len(text) for text, *_ in rows], gains)
    learned = [apgr(out_of_fold(rows, seed), gains) for seed in range(SEEDS)]
    lead = [each - by_length for each in learned]
    low, high = _interval(lead)
    chance = random.Random(0)
    at_random = statistics.fmean(apgr([chance.random() for _ in rows], gains) for _ in range(SEEDS))
    yardstick = {
        "questions": len(rows),
        "spread_over_seeds": statistics.stdev(learned),
        "length_alone": by_length,
        "lead_low": low,
        "lead_high": high,
        "random": at_random,
        "oracle": apgr(gains, gains),
        "weak_right": statistics.fmean(weak for _, weak, _ in rows),
        "best_single_right": max(statistics.fmean(each) for each in zip(*[row[1:] for row in rows], strict=True)),
        "oracle_right": statistics.fmean(max(row[1:]) for row in rows),
    }
    bar = "above prompt length alone; the 95 % interval of the lead, paired over seeds, above 0"
    yield Figure(name="predictor_apgr", value=statistics.fmean(learned), unit="APGR", bar=bar, ok=low > 0, yardstick=yardstick)


def apgr(scores: Sequence[float], gains: Sequence[float]) -> float:
    """The share of the gap between the models that is recovered, on average over all shares of questions that go to the strong one.

    *scores* say which go first, *gains* what the strong model is better by at each.
    """
    recovered, area = 0.0, 0.0
    for place in sorted(range(len(gains)), key=lambda place: -scores[place]):
        area += recovered + gains[place] / 2
        recovered += gains[place]
    return area / recovered / len(gains)


def out_of_fold(rows: Sequence[Row], seed: int) -> list[float]:
    """By how much the strong model should be better at each question, predicted from the other four folds."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    predicted = [0.0] * len(rows)
    for fold in range(FOLDS):
        held = set(order[fold::FOLDS])
        known = [row for place, row in enumerate(rows) if place not in held]
        weak, strong = (fit([(row[0], row[model]) for row in known]) for model in (1, 2))
        for place in held:
            asked = features(rows[place][0])
            predicted[place] = shift(strong, asked) - shift(weak, asked)
    return predicted


def _read(data: Path) -> Iterator[Row]:
    with data.open(encoding="utf-8", newline="") as file:
        for text, weak, strong in list(csv.reader(file))[1:]:
            yield text, float(weak == "True"), float(strong == "True")


def _interval(samples: Sequence[float]) -> tuple[float, float]:
    """The mean's 95 % interval, by Student's t with 19 degrees of freedom."""
    mean, error = statistics.fmean(samples), statistics.stdev(samples) / len(samples) ** 0.5
    return mean - 2.093 * error, mean + 2.093 * error


async def bandit(_: Path) -> AsyncIterator[Figure]:
    """The router's own code over levels of which the best one changes half-way: its share of the new best reward 300 pulls later."""
    for name, (before, after) in GAPS.items():
        shares = [replay(seed, before, after, _router(seed, len(before))) for seed in range(CHANCES)]
        others = {
            "without_decay": [replay(seed, before, after, _undecayed(seed, len(before))) for seed in range(CHANCES)],
            "epsilon_greedy": [replay(seed, before, after, _greedy(seed, len(before))) for seed in range(CHANCES)],
        }
        told = {"seeds": CHANCES, "spread": statistics.stdev(shares), "interval": _interval_of(shares)}
        told |= {each: statistics.fmean(got) for each, got in others.items()}
        value = statistics.fmean(shares)
        yield Figure(
            name=f"bandit: {name}",
            value=value,
            unit=f"of the best reward, pulls {BEFORE + 300 - WINDOW} to {BEFORE + 300}",
            bar="> 0.95",
            ok=value > 0.95,
            yardstick=told,
        )


def replay(seed: int, before: Sequence[float], after: Sequence[float], choose: Chooser) -> float:
    """Expected reward in the window that ends 300 pulls after the change, as a share of the new best level's."""
    chance, rows, got = random.Random(seed), list[Scored](), list[float]()
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for pull in range(BEFORE + 300):
        level = choose(rows)
        likely = (before if pull < BEFORE else after)[int(level)]
        got.append(likely)
        at, value = began + timedelta(days=pull // PULLS_A_DAY), 1.0 if chance.random() < likely else -1.0
        person = PEOPLE[pull % len(PEOPLE)]
        rows.insert(0, Scored(level=level, user_id=person, at=at, value=value, score=(1 + value) / 2, latency_ms=0.0, cost_usd=0.0))
    return statistics.fmean(got[-WINDOW:]) / max(after)


def _router(seed: int, levels: int, learn: Callable[[Sequence[Scored]], Mapping[str, Cell]] = cells_from) -> Chooser:
    known = [Level(name=str(number), room=10**6, worth=dict.fromkeys(TaskType, 0.6)) for number in range(levels)]
    router = Router(database=cast("Database", None), levels=known, chance=random.Random(seed + 1000))
    return lambda rows: router.choose(TaskType.COMPLEX, "", learn(rows[: cells.REMEMBERED]), may_explore=True).levels[0]


def _undecayed(seed: int, levels: int) -> Chooser:
    def learn(rows: Sequence[Scored]) -> Mapping[str, Cell]:
        sums: dict[str, list[float]] = {}
        for row in rows:
            sums.setdefault(row.level, []).append(row.score)
        return {level: Cell(good=sum(got), bad=len(got) - sum(got), answers=len(got)) for level, got in sums.items()}

    return _router(seed, levels, learn)


def _greedy(seed: int, levels: int) -> Chooser:
    """One pull in ten anywhere, else the best mean of all that was seen."""
    chance = random.Random(seed + 2000)

    def choose(rows: Sequence[Scored]) -> str:
        got = {str(level): [row.score for row in rows if row.level == str(level)] or [1.0] for level in range(levels)}
        return str(chance.randrange(levels)) if chance.random() < 0.1 else max(got, key=lambda level: statistics.fmean(got[level]))

    return choose


def _interval_of(samples: Sequence[float]) -> list[float]:
    mean, error = statistics.fmean(samples), statistics.stdev(samples) / len(samples) ** 0.5
    return [mean - 1.96 * error, mean + 1.96 * error]
