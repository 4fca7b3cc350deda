"""How likely an answer is to serve: a guess from how it was made, corrected by what became of earlier ones, and said where it is low."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import fmean

from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from bot.domain.message import OutgoingKind
from bot.domain.thought import Completion, Line, Question, Route, TaskType, Tier, Turn
from storage.database import Database

PRIOR: Mapping[Tier, float] = {Tier.REACTIVE: 0.97, Tier.DIRECT: 0.7, Tier.ANALYTICAL: 0.75}
"""Where nothing better is known: what is computed is seldom wrong; a model's answers serve more often than not."""
CUT, WEAKER, SMALL = 0.6, 0.85, 0.8
"""What a guess is multiplied by: the answer is not whole; another level gave it than was meant to; it is the embedded model's, and no
record says how good it is at this. Judgements, which the correction mends.
"""
UNSURE, RECENT_LINES, FEWEST_WORDS = 0.4, 6, 4
"""Below this it is said, unless it was among so many last lines; of a quick question only if it has so many words: else it is small talk.
Above it most answers are taken well, and a doubt at every turn is soon read over.
"""
ENOUGH, COUNTED, LOOKS_BACK, LOOKS_EVERY = 30, 400, timedelta(days=30), timedelta(hours=1)
"""Scored answers of a tier that correct its guesses, and the last that count."""
STIFFNESS, PACE = 3.0, 0.4
"""What the wish to change nothing weighs, in answers: a few odd ratings do not bend the curve; and the step of the descent."""
MARK = "*I am not sure of this: "


def guess_of(completion: Completion, route: Route) -> float:
    """The raw confidence of a model's answer, from 0 to 1: what the route expects, or else a prior, lowered by what went wrong."""
    known = PRIOR[Tier.DIRECT] * (SMALL if completion.provider == "local" else 1.0) if route.expected is None else route.expected
    return known * (WEAKER if _is_weaker(completion, route) else 1.0) * (CUT if completion.is_cut else 1.0)


def doubt_of(completion: Completion, route: Route, question: Question, lines: Sequence[Line]) -> str:
    """Why an answer may not serve, to be said where that is likely; empty where nobody would want to hear it.

    Not to a stranger, not in a late answer, not over small talk, and not while the last time is still in sight.
    """
    is_small_talk = route.task_type is TaskType.QUICK and ("?" not in question.text or len(question.text.split()) < FEWEST_WORDS)
    if is_small_talk or question.writer or question.is_late or any(MARK in line.text for line in lines[-RECENT_LINES:-1]):
        return ""
    reasons = (
        (completion.is_cut, "it broke off before its end."),
        (completion.provider == "local", "it comes from the small model at home. What matters deserves a second look."),
        (_is_weaker(completion, route), "whom I would rather have asked could not answer."),
    )
    return next((words for holds, words in reasons if holds), "my answers to this sort of question have not always served you.")


def fit(pairs: Iterable[tuple[float | None, float | None]]) -> tuple[float, float]:
    """Slope and shift, in log odds, by which guesses meet scores (the last pairs that have both, from 0 to 1); (1, 0) while they are few.

    Platt's scaling (1999) with a Gaussian prior around changing nothing, found by descent; the slope is never negative.
    """
    points = [(_log_odds(guess), score) for guess, score in pairs if guess is not None and score is not None and 0 <= guess <= 1][-COUNTED:]
    slope, shift, stiff = 1.0, 0.0, STIFFNESS / max(len(points), 1)
    for _ in range(100 if len(points) >= ENOUGH else 0):
        errors = [(_chance(slope * x + shift) - score, x) for x, score in points]
        slope = max(slope - PACE * (fmean(error * x for error, x in errors) + stiff * (slope - 1)), 0.0)
        shift -= PACE * (fmean(error for error, _ in errors) + stiff * shift)
    return slope, shift


class Confidence:
    """Corrects the guesses of each tier by its scored answers, which are looked up at most once an hour."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._fits: Mapping[str, tuple[float, float]] = {}
        self._looked_at: datetime | None = None

    async def weighed(self, turn: Turn) -> Turn:
        """*turn* with its confidence, and its doubt as a last line where that is low; what is no answer has neither. It never fails."""
        if turn.confidence is None or turn.kind not in (OutgoingKind.ANSWER, OutgoingKind.LATE):
            return turn
        slope, shift = (await self._corrections()).get(turn.tier, (1.0, 0.0))
        confidence = round(_chance(slope * _log_odds(turn.confidence) + shift), 3)
        text = f"{turn.text}\n\n{MARK}{turn.doubt}*" if turn.doubt and confidence < UNSURE else turn.text
        return replace(turn, text=text, confidence=confidence, guess=turn.confidence)

    async def _corrections(self) -> Mapping[str, tuple[float, float]]:
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= LOOKS_EVERY:
            self._looked_at = now
            try:
                async with self._database.reading() as work:
                    rows = await work.feedback.since(now - LOOKS_BACK)
            except StorageError:  # an answer is worth more than a number about it
                return self._fits
            self._fits = {tier: fit((row.guess, row.score) for row in rows if row.tier == tier) for tier in Tier}
        return self._fits


def _is_weaker(completion: Completion, route: Route) -> bool:
    """Whether another level answered than the one that should: the route's first, or else the first that was tried."""
    return (*route.levels[:1], *(attempt.level for attempt in completion.attempts), completion.level)[0] != completion.level


def _log_odds(p: float) -> float:
    return math.log((inner := min(max(p, 0.02), 0.98)) / (1 - inner))


def _chance(x: float) -> float:
    return 1 / (1 + math.exp(-x))
