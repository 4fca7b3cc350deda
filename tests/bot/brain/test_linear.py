"""The linear classifier: it learns, is the same when read back, doubts what is strange to it, and takes whatever is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.brain.linear import Linear, fit, grams

SAID = [("what time is it", "time"), ("tell me the time", "time"), ("show my notes", "notes"), ("list my notes", "notes")]
MODEL = fit([grams(text) for text, _ in SAID] * 8, [label for _, label in SAID] * 8)


def test_it_tells_apart_what_it_was_shown_and_what_is_alike():
    for text, label in (*SAID, ("the time please", "time"), ("any notes of mine", "notes")):
        odds = MODEL.probabilities(grams(text))
        assert max(odds, key=odds.__getitem__) == label


def test_strange_words_make_it_doubt():
    sure, doubtful = (MODEL.probabilities(grams(text))["time"] for text in ("what time is it", "what time does the Lisbon ferry leave"))
    assert sure > doubtful


def test_it_is_the_same_when_read_back():
    assert Linear.load(MODEL.dump()) == MODEL


def test_the_same_examples_give_the_same_classifier():
    assert fit([grams(text) for text, _ in SAID] * 8, [label for _, label in SAID] * 8) == MODEL


def test_what_weighs_more_wins():
    model = fit([grams("same")] * 2, ["a", "b"], [1.0, 3.0])
    assert model.probabilities(grams("same"))["b"] > 0.6


def test_smoothed_labels_leave_it_less_sure():
    examples, labels = [grams(text) for text, _ in SAID] * 8, [label for _, label in SAID] * 8
    smoothed = fit(examples, labels, smoothing=0.4).probabilities(grams("my notes"))
    assert 0.5 < smoothed["notes"] < MODEL.probabilities(grams("my notes"))["notes"]


def test_what_is_cut_short_is_refused():
    with pytest.raises(ValueError, match="cut short"):
        Linear.load(MODEL.dump()[:-1])


@given(st.text())
@settings(max_examples=50)
def test_any_text_gets_odds_that_add_up(text: str):
    assert sum(MODEL.probabilities(grams(text)).values()) == pytest.approx(1)


def test_what_overlooks_grams_while_it_learns_leans_on_all_of_them():
    """Two grams that say the same share the say, whichever is seen first; and it is the same every time."""
    examples, labels = [{"one", "two"}, {"three"}] * 40, ["a", "b"] * 40
    model = fit(examples, labels, dropout=0.5)
    assert model == fit(examples, labels, dropout=0.5) != fit(examples, labels)
    assert all(model.probabilities({gram})[label] > 0.9 for gram, label in (("one", "a"), ("two", "a"), ("three", "b")))
