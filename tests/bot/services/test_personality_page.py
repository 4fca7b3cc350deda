"""The page about personality tells the figures that hold; where it does not, this prints what belongs there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.brain.personality import FIGURES, LEFT, MOODS, RIGHT, SLIDERS, Personality

PAGE = (Path(__file__).parents[3] / "docs" / "personality.md").read_text("utf-8")


def figures() -> str:
    """What each step means, as a table."""
    steps = range(LEFT, RIGHT + 1)
    rows = [f"| | {' | '.join(map(str, steps))} |", "|---|" + "---|" * len(steps)]
    for slider, moved in FIGURES.items():
        for figure, label in moved.items():
            values = (str(getattr(replace(Personality(), **{slider: step}), figure)) for step in steps)
            rows.append(f"| {'–'.join(SLIDERS[slider])}: {label} | {' | '.join(values)} |")
    return "\n".join(rows)


def test_the_page_tells_the_figures_that_hold() -> None:
    assert figures() in PAGE, figures()


def test_the_page_names_every_mood_and_slider() -> None:
    assert all(mood in PAGE for mood in MOODS)
    assert all(f"/{slider}" in PAGE for slider in SLIDERS)
