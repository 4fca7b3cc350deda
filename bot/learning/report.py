"""What Robbie learned, what that cost and how it served: made of rows whenever it is asked for, so that it cannot grow stale."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from statistics import fmean
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from storage.database import UnitOfWork
from storage.models.decisions import Feedback
from storage.models.models import ModelUsage

BINS, SURE, CLOSE = 5, 10, 0.05
"""Of confidence; and scored answers before anything is said of how sure Robbie was, and by how much that may be off and still be right."""

Row = dict[str, Any]
T = TypeVar("T")


async def report(work: UnitOfWork, *, since: datetime, timezone: str) -> dict[str, Row | list[Row]]:
    """All there is to tell of the time since then, by section: rows, or one row; empty where nothing is. Raises StorageUnavailable."""
    rows, usage, zone = await work.feedback.since(since), await work.usage.since(since), ZoneInfo(timezone)
    pairs = [(row.confidence, row.score) for row in rows if row.confidence is not None and row.score is not None]
    foretold = [each.outcome for each in await work.insights.since("failure", since) if each.outcome is not None]
    return {
        "answers": grouped(rows, lambda row: {"tier": row.tier, "level": row.level, "task_type": row.task_type}, scored),
        "satisfaction": satisfaction(rows),
        "signals": [{"signal": name, "times": n} for name, n in Counter(name for row in rows for name in row.signals).most_common()],
        "cells": [
            {"task_type": arm.task_type, "level": arm.level, "quality": share(arm.good, arm.good + arm.bad), "evidence": arm.answers}
            | {"change": change([row for row in rows if (row.task_type, row.level) == (arm.task_type, arm.level)])}
            | {"latency_ms": round(arm.latency_ms), "cost_usd": round(arm.cost_usd, 6)}
            for arm in await work.routing_arms.all()
        ],
        "reflexes": [{"what": what, "state": state, "count": n, "used": used} for what, state, n, used in await work.patterns.tally()],
        "cost": grouped(
            usage, lambda call: {"day": str(call.at.astimezone(zone).date())}, lambda calls: {"calls": len(calls), "usd": usd(calls)}
        ),
        "spent": {"usd": usd(usage), "usd_per_point": share(usd(usage), sum(row.score or 0 for row in rows), 6)} if usage else {},
        "latency": grouped(rows, lambda row: {"tier": row.tier}, lambda of: percentiles([row.latency_ms for row in of])),
        "levels": ends(usage),
        "confidence": confidence(pairs),
        "reliability": reliability(pairs),
        "predictions": {"judged": len(foretold), "precision": share(sum(foretold), len(foretold))} if foretold else {},
        "mentors": grouped([row for row in rows if row.mentor], lambda row: {"mentor": row.mentor}, scored),
        "nodes": [{"node": each.rung, "state": each.state} for each in await work.health.all() if "@" in each.rung],
    }


def grouped(items: Iterable[T], key: Callable[[T], Row], told: Callable[[list[T]], Row]) -> list[Row]:
    """What is *told* of the items of each *key*, in the order of the keys."""
    groups: dict[tuple[Any, ...], list[T]] = defaultdict(list)
    for item in items:
        groups[tuple(key(item).items())].append(item)
    return [{**dict(group), **told(groups[group])} for group in sorted(groups)]


def scored(rows: Sequence[Feedback]) -> Row:
    """How many, how many of them are scored, and their mean score."""
    scores = [row.score for row in rows if row.score is not None]
    return {"answers": len(rows), "scored": len(scores), "score": share(sum(scores), len(scores))}


def satisfaction(rows: Sequence[Feedback]) -> Row:
    """How answers were taken: what was said of them (explicit), and what was read from what people did (implicit)."""
    said = [row.value > 0 for row in rows if row.value]
    done = scored([row for row in rows if not row.value and row.signals])
    told = {
        "explicit": len(said),
        "explicit_good": share(sum(said), len(said)),
        "implicit": done["answers"],
        "implicit_score": done["score"],
    }
    return {**scored(rows), **told} if rows else {}


def change(rows: Sequence[Feedback]) -> float | None:
    """By how much the later half of the scored rows (oldest first) is better than the earlier; None of fewer than four."""
    scores = [row.score for row in rows if row.score is not None]
    half = len(scores) // 2
    return round(fmean(scores[half:]) - fmean(scores[:half]), 3) if half > 1 else None


def percentiles(samples: Sequence[float]) -> Row:
    """What 50, 95 and 99 of 100 stay below, in milliseconds."""
    ordered = sorted(samples)
    return {f"p{part}_ms": round(ordered[min(len(ordered) * part // 100, len(ordered) - 1)], 1) for part in (50, 95, 99)}


def ends(usage: Sequence[ModelUsage]) -> list[Row]:
    """How asking each level ended; `fallbacks` are its answers to what another call had not answered."""
    lost = {call.event_id for call in usage if call.event_id and call.outcome in ("failed", "overtaken")}

    def told(calls: list[ModelUsage]) -> Row:
        n = Counter(call.outcome for call in calls)
        fallbacks = sum(call.outcome == "answered" and call.event_id in lost for call in calls)
        return {"answered": n["answered"], "failed": n["failed"], "overtaken": n["overtaken"], "fallbacks": fallbacks}

    return grouped(usage, lambda call: {"level": call.level}, told)


def reliability(pairs: Sequence[tuple[float, float]]) -> list[Row]:
    """Confidences and scores (pairs, each from 0 to 1) in five bins: what was said, what came of it on average, and of how many."""

    def told(of: list[tuple[float, float]]) -> Row:
        said, came = (round(fmean(each), 3) for each in zip(*of, strict=True))
        return {"said": said, "came": came, "answers": len(of), "chart": "█" * round(came * 20)}

    return grouped(pairs, lambda pair: {"from": min(int(pair[0] * BINS), BINS - 1) / BINS}, told)


def confidence(pairs: Sequence[tuple[float, float]]) -> Row:
    """The Brier score (1950): the mean square by which confidence missed the score (0 is perfect); and what that means in words."""
    if not pairs:
        return {}
    said, came = (fmean(each) for each in zip(*pairs, strict=True))
    verdict = "too sure" if said > came + CLOSE else "not sure enough" if said < came - CLOSE else "about as sure as I may be"
    words = f"I gave {len(pairs)} answers {said:.2f}, and they came to {came:.2f}: {verdict if len(pairs) >= SURE else 'too few to tell'}."
    return {"answers": len(pairs), "brier": round(fmean((one - other) ** 2 for one, other in pairs), 4), "in_words": words}


def usd(calls: Sequence[ModelUsage]) -> float:
    """Dollars that calls cost."""
    return round(sum(call.cost_usd for call in calls), 6)


def share(part: float, whole: float, digits: int = 3) -> float | None:
    """One by the other; None of nothing."""
    return round(part / whole, digits) if whole else None
