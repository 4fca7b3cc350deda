"""How likely an answer is to serve: a guess from how it was made, corrected by what became of earlier ones, and said where it is low."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from bot.domain.message import OutgoingKind
from bot.domain.thought import Completion, Line, Question, Route, TaskType, Tier, Turn
from storage.database import Database

log = structlog.get_logger(__name__)

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
ENOUGH, COUNTED, LOOKS_EVERY = 30, 1_000, timedelta(hours=1)
"""Scored answers of a tier that correct its guesses, and the last of all tiers that count."""
STIFFNESS = 5.0
"""What the wish to change nothing weighs, against answers (each at most 0.25): a few odd ratings do not bend the curve."""
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
    if completion.is_cut:
        return "it broke off before its end."
    if completion.provider == "local":
        return "it comes from the small model at home. What matters deserves a second look."
    if _is_weaker(completion, route):
        return "whom I would rather have asked could not answer."
    return "my answers to this sort of question have not always served you."


def fit(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Slope and shift, in log odds, by which guesses meet scores (pairs, each from 0 to 1); (1, 0) while they are few.

    Platt's scaling (1999) with a Gaussian prior around changing nothing, found by Newton's steps; the slope is never negative.
    """
    points = [(_log_odds(guess), score) for guess, score in pairs if 0 <= guess <= 1 and 0 <= score <= 1]
    slope, shift = 1.0, 0.0
    for _ in range(12 if len(points) >= ENOUGH else 0):
        g1, g0, h11, h10, h00 = STIFFNESS * (slope - 1), STIFFNESS * shift, STIFFNESS, 0.0, STIFFNESS
        for x, score in points:
            p = _chance(slope * x + shift)
            error, weight = p - score, p * (1 - p)
            g1, g0, h11, h10, h00 = g1 + error * x, g0 + error, h11 + weight * x * x, h10 + weight * x, h00 + weight
        size = h11 * h00 - h10 * h10
        slope = min(max(slope - (h00 * g1 - h10 * g0) / size, 0.0), 3.0)
        shift = min(max(shift - (h11 * g0 - h10 * g1) / size, -4.0), 4.0)
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
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= LOOKS_EVERY:
            self._looked_at = now
            try:
                async with self._database.reading() as work:
                    rows = await work.feedback.guessed(limit=COUNTED)
                self._fits = {tier: fit((guess, score) for of, guess, score in rows if of == tier) for tier in Tier}
            except StorageError as error:  # an answer is worth more than a number about it
                log.warning("confidence.not_corrected", error=str(error))
        slope, shift = self._fits.get(turn.tier, (1.0, 0.0))
        confidence = round(_chance(slope * _log_odds(turn.confidence) + shift), 3)
        text = f"{turn.text}\n\n{MARK}{turn.doubt}*" if turn.doubt and confidence < UNSURE else turn.text
        return replace(turn, text=text, confidence=confidence, guess=turn.confidence)


def _is_weaker(completion: Completion, route: Route) -> bool:
    """Whether another level answered than the one that should: the route's first, or else the first that was tried."""
    meant = (*route.levels[:1], *(attempt.level for attempt in completion.attempts), completion.level)
    return meant[0] != completion.level


def _log_odds(p: float) -> float:
    p = min(max(p, 0.02), 0.98)
    return math.log(p / (1 - p))


def _chance(x: float) -> float:
    return 1 / (1 + math.exp(-x))
