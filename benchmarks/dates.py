"""How many dates in plain words are read right, how many are asked, and how long that takes."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figure import Figure
from bot.services.dates import Unclear, When, find_when
from tests.bot.services.date_phrases import Phrase, phrases, sentences

TEXTS, LONG = 2000, 300


async def plain_words(_: Path) -> AsyncIterator[Figure]:
    """The tables of the tests, and long texts made of their words: the worst there is to read."""
    table = list(phrases())
    found = [(phrase, find_when(phrase.text, now=phrase.now)) for phrase in table]
    right = 100 * sum(_agrees(phrase, when) for phrase, when in found) / len(table)
    asked = 100 * sum(isinstance(when, Unclear) for _, when in found) / len(table)
    wrong = sum(not _agrees(phrase, when) and not isinstance(when, Unclear) for phrase, when in found)
    held_out = [_agrees(phrase, when) for phrase, when in found if phrase.held_out]
    yardstick = {"phrases": len(table), "held_out_right_percent": 100 * sum(held_out) / len(held_out), "guessed_wrong": wrong}
    yield Figure(
        name="dates_right_percent",
        value=right,
        unit="%",
        bar=">= 95, none guessed wrong",
        ok=right >= 95 and not wrong,
        yardstick=yardstick,
    )
    yield Figure(name="dates_asked_percent", value=asked, unit="%", bar="as many as the table expects", ok=not wrong)
    took = sorted(_time(text, table[0]) for text in _long_texts(table))
    p99 = took[int(len(took) * 0.99)]
    yield Figure(
        name="dates_p99_ms", value=p99, unit="ms", bar="<= 20", ok=p99 <= 20, yardstick={"p50_ms": took[len(took) // 2], "characters": LONG}
    )


def _agrees(phrase: Phrase, found: When | Unclear | None) -> bool:
    if not isinstance(found, When):
        return phrase.expected == ("ask" if found else "-")
    return phrase.expected == " ".join(filter(None, (f"{found.date}", f"{found.time:%H:%M}" if found.time else "", found.rule)))


def _long_texts(table: list[Phrase]) -> list[str]:
    words = sorted({word for each in (*table, *sentences()) for word in each.text.split()})
    chance = random.Random(1)
    return [" ".join(chance.choices(words, k=100))[:LONG] for _ in range(TEXTS)]


def _time(text: str, phrase: Phrase) -> float:
    """Milliseconds of this process: what else the machine does is not counted."""
    began = time.process_time()
    find_when(text, now=phrase.now)
    return (time.process_time() - began) * 1000
