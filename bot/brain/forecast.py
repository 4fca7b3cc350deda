"""How likely a rung is to fail soon, by its failures of late and its delays; and how good such predictions were. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

HORIZON = timedelta(minutes=10)
ALARM = 0.5
"""From here on, a failure within the HORIZON is likelier than not."""
LEAST, QUICK, FEWEST, SURE, STEEP = 3, 0.3, 8, 4.0, 4.0


def risk_of(outcomes: Sequence[bool], first_tokens_ms: Sequence[float], *, age: timedelta = timedelta()) -> float:
    """How likely a rung is to fail within the HORIZON, 0 to 1, by its outcomes and first tokens, oldest first: it falters or it drifts.

    It halves with each HORIZON since it was heard of (whom nobody asks cannot show that it is well), by a clock set back as by one set
    forward. Of fewer than LEAST outcomes nothing is said: an earlier run's pace may be long past.
    """
    if len(outcomes) < LEAST or abs(age) > 6 * HORIZON:
        return 0.0
    return (1 - (1 - _faltering(outcomes)) * (1 - _drifting(first_tokens_ms))) * math.exp2(-abs(age / HORIZON))


def _faltering(outcomes: Sequence[bool]) -> float:
    """The chance that one of the next three calls fails, each at the rate so far: there a call counts 0.8 times the next newer one, and
    two good ones are added. So one failure alone is chance, two in five calls are not, and two in a row open the breaker.
    """
    weights = [0.8**back for back in range(len(outcomes))]
    failed = sum(weight for weight, answered in zip(weights, reversed(outcomes), strict=True) if not answered)
    return 1 - (1 - failed / (sum(weights) + 2)) ** 3


def _drifting(first_tokens_ms: Sequence[float]) -> float:
    """Half where it became twice as slow, and that is SURE standard errors of its own noise; steeply more from there.

    Delays multiply, so in logarithms: an exponential average (weight QUICK) of all against the median of all but the newest FEWEST. The
    average's standard error is deviation * sqrt(QUICK / (2 - QUICK)), and 1.48 median distances are a deviation that no outlier moves.
    """
    logs = [math.log(each) for each in first_tokens_ms if 0 < each < math.inf]  # a NaN is neither
    if len(logs) < 2 * FEWEST:
        return 0.0
    usual, recent = median(logs[:-FEWEST]), logs[0]
    for each in logs:
        recent += QUICK * (min(each, usual + 2) - recent)  # one slow answer alone is chance, however slow
    error = 1.48 * median(abs(each - usual) for each in logs[:-FEWEST]) * math.sqrt(QUICK / (2 - QUICK))
    slower = max(min((recent - usual) / math.log(2), (recent - usual) / max(error, 0.01) / SURE), 0.0)
    return 1 / (1 + math.exp(STEEP * (1 - slower)))


class Score(NamedTuple):
    """Precision is `true` of `made` predictions, recall `foreseen` of `outages`."""

    made: int
    true: int
    outages: int
    foreseen: int


def scored(predictions: Sequence[tuple[str, datetime]], failures: Sequence[tuple[str, datetime]]) -> Score:
    """What became of predictions, each of a level and made at a moment. One comes true where its level fails within the HORIZON after it.

    An outage begins where one failure follows another, which followed none, within a HORIZON; a prediction that stood then foresaw it.
    """

    def follows(later: tuple[str, datetime], among: Sequence[tuple[str, datetime]]) -> bool:
        return any(level == later[0] and at < later[1] <= at + HORIZON for level, at in among)

    outages = [each for each in failures if any(follows(other, [each]) for other in failures) and not follows(each, failures)]
    true = sum(any(follows(failure, [each]) for failure in failures) for each in predictions)
    return Score(len(predictions), true, len(outages), sum(follows(outage, predictions) for outage in outages))
