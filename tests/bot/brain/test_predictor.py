"""Which questions a level does well, learned from their texts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bot.brain.predictor import ENOUGH, MOST, features, fit, shift

LONG = "Ann has 3 apples, and Bob has twice as many as Ann. Each apple costs $1.25. How much do all of them cost, less 10%? "


def answers(count: int) -> list[tuple[str, float]]:
    """A level that does short questions and fails at long ones."""
    chance = random.Random(1)
    return [(LONG * n, float(n <= 3)) for n in chance.choices(range(1, 7), k=count)]


def test_what_a_level_does_badly_is_told_from_what_it_does_well():
    leaning = fit(answers(2 * ENOUGH))
    assert shift(leaning, features(LONG)) > 0.05
    assert shift(leaning, features(LONG * 6)) < -0.05


def test_with_few_answers_nothing_is_told_apart():
    assert fit(answers(ENOUGH - 1)) == []
    assert shift([], features(LONG)) == 0.0


def test_answers_that_are_all_alike_teach_nothing():
    assert shift(fit([("the same", 1.0)] * ENOUGH), features(LONG)) == 0.0


def test_a_leaning_of_other_features_is_left_alone():
    assert shift([[0.0, 1.0, 5.0]], features(LONG)) == 0.0


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_moves_a_belief_by_so_much_at_most(text: str):
    asked = features(text)
    assert len(asked) == len(features(""))
    assert -MOST <= shift([[0.0, 0.01, 3.0]] * len(asked), asked) <= MOST
