"""How well the router learns: which questions a level will do, and how soon it sees that another level has become the best one."""

from __future__ import annotations

import csv
import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from benchmarks.figure import Figure, progress
from bot.brain.call import Rung
from bot.brain.cells import REMEMBERED, Cell, cell_of, cells_from, lean, learn_cell
from bot.brain.delicate import is_delicate
from bot.brain.predictor import features, fit, shift
from bot.brain.pricing import Prices
from bot.brain.reputation import Level, levels_of
from bot.brain.router import Router
from bot.domain.thought import TaskType, Usage, estimate_tokens
from storage.database import Database
from storage.repositories.decisions import Scored
from storage.schema import upgrade
from tests.clock import FakeClock
from tests.fakes import FakeProvider, asked, prompting
from tests.stage import Stage, set_stage

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


async def predictor(_: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """APGR (RouteLLM, arXiv 2406.18665) on a table, by path, of prompts and whether a weak and a strong model did them right."""
    if not (tables := [path for path in data if path.suffix == ".csv"]):
        progress("predictor: skipped; it needs --data FILE: a CSV of prompt, weak model, strong model")
        return
    rows = [row for table in tables for row in _read(table)]
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


async def learned(folder: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """The same table as questions of a household of two, a dozen a day, each asked once of whom the router picks: what it then believes.

    All rows are real ones of a real database; the table tells neither seconds nor dollars, for which reputation and the price list stand.
    """
    if not (tables := [path for path in data if path.suffix == ".csv"]):
        progress("learned: skipped; it needs the same --data FILE as predictor")
        return
    rungs = [_rung("mixtral", "ollama", "mixtral:8x7b"), _rung("gpt-4", "openai", "gpt-4-1106-preview")]
    levels, prices, right, asked_of, tried, spent = levels_of(rungs, Prices.load()), Prices.load(), 0.0, Counter[str](), 0, 0.0
    router, rows = (
        Router(database=cast("Database", None), levels=levels, chance=random.Random(0)),
        [row for table in tables for row in _read(table)],
    )
    async with Database(f"sqlite+aiosqlite:///{folder / 'robbie.db'}", organization="default") as database:
        await upgrade(database)
        stage = await set_stage(database, FakeClock())
        for number, (text, *scores) in enumerate(rows):
            async with database.reading() as work:
                cells = {arm.level: cell_of(arm) for arm in await work.routing_arms.at(TaskType.COMPLEX)}
            route = router.choose(TaskType.COMPLEX, text, cells, may_explore=not is_delicate(prompting(text), asked(text)))
            place = next(place for place, level in enumerate(levels) if level.name == route.levels[0])
            usage = Usage(input_tokens=estimate_tokens(text) + 900, output_tokens=200)
            usd = prices.cost_usd(rungs[place].provider.provider, rungs[place].provider.model, usage, level=levels[place].name)
            await _answered(stage, text, levels[place], score=scores[place], usd=usd, user=(stage.allan, stage.grace)[number % 2].id)
            right, spent, tried = right + scores[place], spent + usd, tried + route.is_exploring
            asked_of[levels[place].name] += 1
            stage.clock.advance(seconds=86_400 / 12)
            if number % 12 == 11:
                await lean(database)
        async with database.reading() as work:
            for arm in await work.routing_arms.at(TaskType.COMPLEX):
                progress(f"| {arm.level} | {asked_of[arm.level]} | {arm.answers} | {arm.good:.1f} | {arm.bad:.1f} | {arm.cost_usd:.4f} |")
    progress(f"the last: {route.why}")
    best = max(statistics.fmean(each) for each in zip(*[row[1:] for row in rows], strict=True))
    yardstick = {"questions": len(rows), "best_single": best, "tried_out": tried, "usd": spent, **asked_of}
    bar = ">= 0.97 of the best single model, which it had to find"
    yield Figure(
        name="learned_right", value=right / len(rows), unit="of answers", bar=bar, ok=right / len(rows) >= 0.97 * best, yardstick=yardstick
    )


def _rung(level: str, provider: str, model: str) -> Rung:
    return Rung(level=level, provider=FakeProvider(provider=provider, model=model), context=32_000, max_output_tokens=1000)


async def _answered(stage: Stage, text: str, level: Level, *, score: float, usd: float, user: UUID) -> None:
    """A question, its answer and a thumb on it, in the rows that a turn leaves, and what the router learns of them."""
    question, now = stage.message(text, user_id=user), stage.clock.now()
    reply = stage.message("(not kept)", user_id=user, direction="out", kind="answer", reply_to=question.id)
    made = {"tier": "direct", "task_type": TaskType.COMPLEX, "level": level.name, "latency_ms": level.seconds * 1000, "cost_usd": usd}
    async with stage.database.unit_of_work() as work:
        await work.messages.add(question)
        await work.messages.add(reply)
        await work.feedback.open(user_id=user, message_id=reply.id, at=now, **made)
        await work.feedback.change(user, reply.id, value=2 * score - 1, score=score, scored_at=now)
        row = await work.feedback.find(user, reply.id)
        if row is not None:
            await learn_cell(work, row, now)


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
    """The rows of a CSV with a header: a prompt, and whether each of two models did it right; the better one is the strong one."""
    with data.open(encoding="utf-8", newline="") as file:
        rows = [
            (text, *(float(each.strip().lower() in ("true", "1", "1.0")) for each in told[:2]))
            for text, *told in list(csv.reader(file))[1:]
        ]
    is_turned = sum(row[1] for row in rows) > sum(row[2] for row in rows)
    yield from ((text, two, one) if is_turned else (text, one, two) for text, one, two in rows)


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
    return lambda rows: router.choose(TaskType.COMPLEX, "", learn(rows[:REMEMBERED]), may_explore=True).levels[0]


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
