"""What the sliders mean in figures and in words, and where the personal tone can never be heard."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.personality import CONTEXTS, EVERYWHERE, FIGURES, LEFT, MOODS, NORMAL, PARTS, RIGHT, SLIDERS, Personality, in_force
from bot.brain.tone import WORDS, brief_words, sample, standing_words
from bot.domain.thought import estimate_tokens


class Row(NamedTuple):
    """A setting that holds."""

    name: str
    context: str
    value: str


steps = st.integers(LEFT, RIGHT)
settings = st.lists(
    st.builds(Row, st.sampled_from(list(SLIDERS)), st.sampled_from((EVERYWHERE, *CONTEXTS, *PARTS)), steps.map(str) | st.just(NORMAL))
)
personalities = st.builds(Personality, gandhi=steps, cocktail=steps, flirty=steps, mood=st.sampled_from(MOODS))
PERSONAL = [word for band in WORDS["tone"][1:] for word in band[1:]]


def test_outreach_goes_from_one_mail_a_day_to_twenty_in_equal_ratios() -> None:
    assert [Personality(gandhi=step).emails_per_day for step in range(LEFT, RIGHT + 1)] == [1, 1, 2, 3, 4, 5, 7, 10, 14, 20]


@pytest.mark.parametrize(("figure", "least", "most"), [("follow_up_days", 14, 2), ("answer_words", 250, 40), ("tasks_per_day", 3, 12)])
def test_a_figure_moves_one_way_from_end_to_end(figure: str, least: int, most: int) -> None:
    (slider,) = (name for name, figures in FIGURES.items() if figure in figures)
    values = [getattr(replace(Personality(), **{slider: step}), figure) for step in range(LEFT, RIGHT + 1)]
    assert (values[0], values[-1]) == (least, most)
    assert values == sorted(values, reverse=most < least)


@given(settings, st.sampled_from(CONTEXTS), st.sampled_from(("", *PARTS)))
def test_no_setting_brings_a_personal_word_to_where_it_is_not_intimate(rows: list[Row], context: str, part: str) -> None:
    personality = in_force(rows, context=context, part=part, is_intimate=False)
    said = standing_words(personality) + brief_words(personality)
    assert "Tone: professional" in said
    assert not any(word in said for word in PERSONAL)


def test_a_part_of_the_day_goes_before_a_place_and_a_place_before_everywhere() -> None:
    rows = [Row("gandhi", EVERYWHERE, "2"), Row("gandhi", "email", "5"), Row("cocktail", EVERYWHERE, "3"), Row("cocktail", "mornings", "9")]
    assert str(in_force(rows, context="email", is_intimate=True, part="mornings")) == "5/9/1 focused"
    assert str(in_force(rows, context="private", is_intimate=True, part="evenings")) == "2/3/1 focused"


def test_a_row_that_says_nothing_sensible_breaks_nothing() -> None:
    rows = [Row("gandhi", EVERYWHERE, "3"), Row("gandhi", "email", "abc"), Row("cocktail", EVERYWHERE, "11"), Row("mood", EVERYWHERE, "x")]
    assert str(in_force(rows, context="email", is_intimate=False)) == "3/5/1 focused"


def test_normal_takes_a_setting_away_and_what_is_set_for_everywhere_holds() -> None:
    rows = [Row("gandhi", EVERYWHERE, "9"), Row("gandhi", "email", "2"), Row("gandhi", "email", NORMAL)]
    assert in_force(rows, context="email", is_intimate=False).gandhi == 9
    assert in_force([*rows, Row("gandhi", EVERYWHERE, NORMAL)], context="email", is_intimate=False) == Personality()


@given(personalities)
def test_every_setting_can_be_said_in_few_words(personality: Personality) -> None:
    assert estimate_tokens(standing_words(personality, ["other"])) <= 120
    assert estimate_tokens(brief_words(personality)) <= 25
    assert f"{personality.answer_words} words" in standing_words(personality)
    assert sample(personality)


@given(personalities, personalities)
def test_a_sample_of_another_tone_or_pace_or_push_is_another(one: Personality, other: Personality) -> None:
    assert (sample(one) == sample(other)) == (_heard(one) == _heard(other))


def _heard(personality: Personality) -> tuple[object, ...]:
    """What a sample tells apart."""
    steps = {"tone": personality.flirty, "pace": personality.cocktail, "push": personality.gandhi}
    bands = [sum(begins <= step for begins, *_ in WORDS[kind]) for kind, step in steps.items()]
    return *bands, personality.follow_up_days, personality.mood
