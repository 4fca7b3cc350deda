"""What Robbie learned, what that cost and how it served: made of rows whenever it is asked for, so that it cannot grow stale."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from statistics import fmean
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.thought import Tier
from bot.learning.forecasts import precision_recall
from storage.database import UnitOfWork
from storage.models.decisions import Feedback

BINS, SURE, CLOSE = 5, 10, 0.05  # of confidence; fewer scored answers are too few to tell; so much off is still right
ENDS = ("answered", "failed", "overtaken")
NOTHING_YET = "Nothing yet: no answer was given in this time. What I learn of those that come will stand here."
MOST = 5
IN_LINE = {
    "answers": ("Answers", "{answers} {task_type} by {level} ({tier}), mean score {score}"),
    "satisfaction": ("How they were taken", "{by}: {answers}, mean score {score}"),
    "mentors": ("Mentors", "{mentor} spoke in {answers}, mean score {score}"),
    "latency": ("Milliseconds", "{tier}: half within {p50_ms:.0f}, 95 of 100 within {p95_ms:.0f}"),
    "confidence": ("How sure I was", "{in_words}"),
    "cells": ("Which level is good at what", "{level} at {task_type}: {quality} on {evidence:.0f} answers"),
    "patterns": ("Phrases", "{count} {state}, used {used} times"),
    "levels": ("Levels", "{level} answered {answered}, failed {failed}, was overtaken {overtaken} times"),
    "spent": ("Spent", "{usd:.2f} USD; for each point of score {usd_per_point}"),
    "predictions": ("Failures foretold", "{judged} judged, precision {precision}, recall {recall}"),
    "nodes": ("Nodes", "{node} {state}"),
}
"""How a section is told in a chat: its title, and each row, of which MOST are told."""
OWN = ("answers", "satisfaction", "signals", "latency", "confidence", "reliability", "mentors")
"""What is made of answers alone; the rest tells of everybody's."""
Row = dict[str, Any]


async def report(work: UnitOfWork, *, since: datetime, timezone: str, user_id: UUID | None = None) -> dict[str, list[Row]]:
    """All there is to tell of the time since then, by section: rows, none where there is nothing; of one person's answers, where one is
    named, and nothing of anybody else's then. Raises StorageUnavailable.
    """
    rows, calls = await work.feedback.since(since), await work.usage.since(since)
    rows = [row for row in rows if user_id in (None, row.user_id)]
    pairs = [(row.confidence, row.score) for row in rows if row.confidence is not None and row.score is not None]
    taken = {"explicit": [row for row in rows if row.value], "implicit": [row for row in rows if not row.value and row.signals]}
    foretold = await precision_recall(work, since, calls)
    lost = {call.event_id for call in calls if call.event_id and call.outcome in ENDS[1:]}
    saved = {call.event_id: call for call in calls if call.outcome == "answered" and call.event_id in lost}.values()  # the last of each
    direct = [row for row in rows if row.tier == Tier.DIRECT]
    mentors = sorted({name for row in rows for name in row.mentor.split()})
    days = groupby(calls, key=lambda call: str(call.at.astimezone(ZoneInfo(timezone)).date()))
    used = Counter(pattern for _, pattern in {(row.message_id, row.pattern) for row in rows})
    own = Counter((row.user_id, row.pattern) for row in rows)
    spent = sum(call.cost_usd for call in calls)
    told = {
        "answers": grouped(rows, "tier level task_type", scored),
        "satisfaction": [{"by": by, **scored(of)} for by, of in taken.items() if of],
        "signals": [{"signal": name, "times": n} for name, n in Counter(name for row in rows for name in row.signals).most_common()],
        "cells": [
            {"task_type": arm.task_type, "level": arm.level, "quality": share(arm.good, arm.good + arm.bad), "evidence": arm.answers}
            | {"change": change([row for row in direct if (row.task_type, row.level) == (arm.task_type, arm.level)])}
            | {"latency_ms": round(arm.latency_ms), "cost_usd": round(arm.cost_usd, 6)}
            for arm in await work.routing_arms.all()
        ],
        "patterns": grouped(await work.patterns.all(), "state", lambda of: {"count": len(of), "used": sum(used[one.key] for one in of)}),
        "cached": grouped(
            await work.cached_answers.all(), "state", lambda of: {"count": len(of), "used": sum(own[a.user_id, a.digest] for a in of)}
        ),
        "cost": [{"day": day, "usd": round(sum(call.cost_usd for call in of), 6)} for day, of in days],
        "spent": [{"usd": round(spent, 6), "usd_per_point": share(spent, sum(row.score or 0 for row in rows), 6)}] * bool(calls),
        "latency": grouped(rows, "tier", lambda of: percentiles([row.latency_ms for row in of])),
        "levels": grouped(calls, "level", lambda of: {end: sum(call.outcome == end for call in of) for end in ENDS}),
        "fallbacks": grouped(saved, "level", lambda of: {"times": len(of)}),
        "confidence": confidence(pairs),
        "reliability": reliability(pairs),
        "predictions": [
            {"judged": foretold.made, "precision": share(foretold.true, foretold.made)}
            | {"outages": foretold.outages, "recall": share(foretold.foreseen, foretold.outages)}
        ]
        * bool(foretold.made or foretold.outages),
        "mentors": [{"mentor": name, **scored([row for row in rows if name in row.mentor.split()])} for name in mentors],
        "nodes": [{"node": each.rung, "state": each.state} for each in await work.health.all() if "@" in each.rung],
    }
    return told if user_id is None else {title: told[title] for title in OWN}


def in_lines(told: Mapping[str, Sequence[Row]], days: int) -> str:
    """A report as it is told in a chat: a line of Markdown for each section that has something to tell."""
    if not (told["answers"] or told.get("levels")):
        return NOTHING_YET
    lines = [f"**What I learned in the last {'day' if days == 1 else f'{days} days'}**", ""]
    for section, (title, row_told) in IN_LINE.items():
        if rows := told.get(section):
            said = [row_told.format_map({name: "–" if value is None else value for name, value in row.items()}) for row in rows[:MOST]]
            lines.append(f"- **{title}**: " + "; ".join(said) + (f"; and {len(rows) - MOST} more" if len(rows) > MOST else ""))
    return "\n".join(lines)


def grouped(items: Iterable[Any], key: str, told: Callable[[list[Any]], Row]) -> list[Row]:
    """What is *told* of the items that are alike in the attributes named in *key*, in their order."""
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for item in items:
        groups[tuple(getattr(item, name) for name in key.split())].append(item)
    return [{**dict(zip(key.split(), group, strict=True)), **told(groups[group])} for group in sorted(groups)]


def scored(rows: Sequence[Feedback]) -> Row:
    """How many answers, how many scores of them (of one that several judged, each), and their mean."""
    scores = [row.score for row in rows if row.score is not None]
    return {"answers": len({row.message_id for row in rows}), "scored": len(scores), "score": share(sum(scores), len(scores))}


def change(rows: Sequence[Feedback]) -> float | None:
    """By how much the later half of the scored rows (oldest first) is better than the earlier; None of fewer than four."""
    scores = [row.score for row in rows if row.score is not None]
    half = len(scores) // 2
    return round(fmean(scores[half:]) - fmean(scores[:half]), 3) if half > 1 else None


def percentiles(samples: Sequence[float]) -> Row:
    """What 50, 95 and 99 of 100 stay below, in milliseconds."""
    ordered = sorted(samples)
    return {f"p{part}_ms": round(ordered[min(len(ordered) * part // 100, len(ordered) - 1)], 1) for part in (50, 95, 99)}


def reliability(pairs: Sequence[tuple[float, float]]) -> list[Row]:
    """Confidences and scores (pairs, each from 0 to 1) in five bins: what was said, what came of it on average, and of how many."""
    bins = [[pair for pair in pairs if min(int(pair[0] * BINS), BINS - 1) == place] for place in range(BINS)]
    means = [(len(of), *(round(fmean(each), 3) for each in zip(*of, strict=True))) for of in bins if of]
    return [{"said": said, "came": came, "answers": count, "chart": "█" * round(came * 20)} for count, said, came in means]


def confidence(pairs: Sequence[tuple[float, float]]) -> list[Row]:
    """The Brier score (1950): the mean square by which confidence missed the score (0 is perfect); and what that means in words."""
    if not pairs:
        return []
    said, came = (fmean(each) for each in zip(*pairs, strict=True))
    verdict = "too sure" if said > came + CLOSE else "not sure enough" if said < came - CLOSE else "about as sure as I may be"
    words = f"I gave {len(pairs)} answers {said:.2f}, and they came to {came:.2f}: {verdict if len(pairs) >= SURE else 'too few to tell'}."
    return [{"answers": len(pairs), "brier": round(fmean((one - other) ** 2 for one, other in pairs), 4), "in_words": words}]


def share(part: float, whole: float, digits: int = 3) -> float | None:
    """One by the other; None of nothing."""
    return round(part / whole, digits) if whole else None
