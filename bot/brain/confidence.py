"""How likely an answer is to serve: a guess from how it was made, corrected by what became of earlier ones, and said where it is low."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot.brain.budget import ALLOWANCE_SPENT
from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from bot.domain.message import OutgoingKind
from bot.domain.thought import Completion, Question, Route, TaskType, Tier, Turn
from storage.database import Database

PRIOR: Mapping[Tier, float] = {Tier.REACTIVE: 0.97, Tier.DIRECT: 0.7, Tier.ANALYTICAL: 0.75}  # where nothing better is known
UNSURE, RECENT_ANSWERS, FEWEST_WORDS = 0.4, 3, 4
"""Below this it is said, unless in one of so many last answers; of a quick question only if it has so many words, and is no small talk."""
ENOUGH, COUNTED, LOOKS_EVERY = 30, 600, timedelta(hours=1)  # scored answers of a tier that correct it; the last that count
STIFFNESS = 3.0  # what the wish to change nothing weighs, in answers, so that a few odd ratings do not bend the curve
MARK = "*I am not sure of this: "


def guess(completion: Completion, route: Route, question: Question, *, is_doubted: bool) -> tuple[float, str]:
    """The raw confidence of a model's answer, from 0 to 1: what the route expects, or else a prior, times a judgement of each flaw. And why
    it may not serve, in words; empty where nobody wants to hear it: a stranger, late, over small talk, or soon after the last time.
    """
    if completion.confidence is not None:  # the council's own, which says itself where it differs
        return completion.confidence, ""
    meant = (*route.levels[:1], *(attempt.level for attempt in completion.attempts), completion.level)[0]
    flaws = (
        (completion.is_cut, 0.6, "it broke off before its end."),
        (completion.provider == "local", 0.8 if route.expected is None else 1.0, "a small model said it. Look twice where it matters."),
        (completion.level != meant, 0.85, "whom I would rather have asked could not answer."),
        (True, 1.0, "my answers to this sort of question have not always served you."),
    )
    found = [(factor, words) for holds, factor, words in flaws if holds]
    is_small_talk = route.task_type is TaskType.QUICK and ("?" not in question.text or len(question.text.split()) < FEWEST_WORDS)
    is_idle = is_small_talk or question.writer or question.is_late or is_doubted
    expected = PRIOR[completion.tier] if route.expected is None else route.expected
    return math.prod((expected, *(factor for factor, _ in found))), "" if is_idle else found[0][1]


def fit(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Slope and shift, in log odds, by which guesses meet scores (pairs, each from 0 to 1); (1, 0) while they are few.

    Platt's scaling (1999) with a Gaussian prior around changing nothing, found by descent; the slope is never negative.
    """
    points = [(_log_odds(guess), score) for guess, score in pairs if 0 <= guess <= 1]
    slope, shift, count = 1.0, 0.0, max(len(points), 1)
    stiff = STIFFNESS / count
    spread = max(sum(x * x for x, _ in points) / count, 0.1)
    step = 1 / (0.5 + stiff / min(spread, 1.0))  # the longest that is sure to end: longer ones swing where guesses are near 0 or 1
    for _ in range(40 if len(points) >= ENOUGH else 0):
        errors = [(_chance(slope * x + shift) - score, x) for x, score in points]
        slope = max(slope - step / spread * (sum(error * x for error, x in errors) / count + stiff * (slope - 1)), 0.0)
        shift -= step * (sum(error for error, _ in errors) / count + stiff * shift)
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
            with suppress(StorageError):  # an answer is worth more than a number about it
                async with self._database.reading() as work:
                    rows = await work.feedback.guessed(limit=COUNTED)
                self._fits = {tier: fit((guess, score) for of, guess, score in rows if of == tier) for tier in Tier}
        slope, shift = self._fits.get(turn.tier, (1.0, 0.0))
        confidence = round(_chance(slope * _log_odds(turn.confidence) + shift), 3)
        text = f"{turn.text}\n\n{MARK}{turn.doubt}*" if turn.doubt and confidence < UNSURE else turn.text
        return replace(turn, text=text, confidence=confidence, guess=turn.confidence)


def plain(text: str) -> str:
    """What was said, without the words on doubt or allowance below it: they were of their time, and no model is to learn to say such."""
    return text.partition(f"\n\n{MARK}")[0].partition(ALLOWANCE_SPENT)[0]


def _log_odds(p: float) -> float:
    return math.log((inner := min(max(p, 0.02), 0.98)) / (1 - inner))


def _chance(x: float) -> float:
    return 1 / (1 + math.exp(-x))
