"""Recall's formula: what it finds, in which order, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from bot.brain.recall import Candidate, Weights, named, rank, terms
from bot.domain.memory import Corpus

CORPUS = Corpus(turns=100, mean_terms=6, holding={})
ALONE = Weights(when=0, asking=0, speaker=0, session=0, reach=0)
"""Words and vectors alone."""


def turn(said: str, **other: Any) -> Candidate:
    """A turn of its own session, unless something else is said of it."""
    known: dict[str, Any] = {"key": said, "speaker": "Ann", "session": said, "position": 0, "on": date(2026, 5, 7)}
    return Candidate(**(known | {"said": said} | other))


def talk(*said: str, **other: Any) -> list[Candidate]:
    """One session, in its order."""
    return [turn(each, session="one", position=at, **other) for at, each in enumerate(said)]


def order(question: str, turns: Sequence[Candidate], **other: Any) -> list[str]:
    """What was said, best first."""
    return [found.said for _, found in rank(question, turns, other.pop("corpus", CORPUS), **other)]


def animals(words: Sequence[str]) -> Any:
    """FAKE: vectors that know of each word whether it is an animal."""
    return np.array([[1.0, 0.0] if word in {"dog", "puppy", "cat"} else [0.0, 1.0] if word == "car" else [0.0, 0.0] for word in words])


def test_words_of_the_question_lead() -> None:
    """Rain is asked for, so rain comes first."""
    assert order("What about the rain?", [turn("sun all day"), turn("rain all day")], weights=ALONE)[0] == "rain all day"


def test_a_rare_word_outweighs_a_common_one() -> None:
    """The word that few turns hold tells more."""
    corpus = replace(CORPUS, holding={"meeting": 80, "zeppelin": 1})
    assert order("zeppelin meeting", [turn("a meeting"), turn("a zeppelin")], corpus=corpus, weights=ALONE)[0] == "a zeppelin"
    corpus = replace(CORPUS, holding={"meeting": 1, "zeppelin": 80})
    assert order("zeppelin meeting", [turn("a meeting"), turn("a zeppelin")], corpus=corpus, weights=ALONE)[0] == "a meeting"


def test_alike_words_are_found_without_one_shared_letter() -> None:
    """A dog is asked for, and a puppy is told of."""
    turns = [turn("my car is red"), turn("my puppy is red")]
    assert order("Which dog?", turns, weights=ALONE)[0] == "my car is red", "no words in common: the order they came in"
    assert order("Which dog?", turns, vectors=animals, weights=ALONE)[0] == "my puppy is red"


def test_words_that_are_hardly_alike_count_nothing() -> None:
    """Below `alike` it is noise."""
    (high, _), (low, _) = rank("Which dog?", [turn("my car"), turn("my puppy")], CORPUS, vectors=animals, weights=replace(ALONE, alike=1.1))
    assert high == low


def test_endings_are_forgiven() -> None:
    """Adopting and adoption begin alike."""
    assert order("adopting", [turn("a hotel"), turn("an adoption agency")], weights=ALONE)[0] == "an adoption agency"


def test_the_day_is_part_of_what_is_found() -> None:
    """A month that is only in the date of a turn leads to it."""
    turns = [turn("we met", key="may"), turn("we met", key="june", on=date(2026, 6, 1))]
    assert [found.key for _, found in rank("What happened in June 2026?", turns, CORPUS, weights=ALONE)] == ["june", "may"]


def test_a_turn_without_a_vector_is_neither_last_nor_first() -> None:
    """What is not known counts as the mean."""
    turns = [turn("near", cosine=0.9), turn("far", cosine=0.1), turn("unknown")]
    assert order("hello", turns, weights=ALONE) == ["near", "unknown", "far"]


def test_a_neighbour_of_what_matches_is_found_before_a_stranger() -> None:
    """The answer stands beside the words of the question; two steps away it is heard less, three not at all."""
    turns = [*talk("the zeppelin", "one step", "two steps", "three steps"), turn("stranger")]
    scores = {found.said: score for score, found in rank("zeppelin", turns, CORPUS, weights=replace(ALONE, reach=2))}
    assert scores["the zeppelin"] > scores["one step"] > scores["two steps"] > scores["three steps"]


def test_no_neighbour_is_heard_across_sessions() -> None:
    """What came next, but another day, is a stranger."""
    turns = [turn("the zeppelin", session="a", position=0), turn("next day", session="b", position=1), turn("stranger")]
    scores = {found.said: score for score, found in rank("zeppelin", turns, CORPUS, weights=replace(ALONE, reach=2))}
    assert scores["next day"] == scores["stranger"]


def test_a_session_lends_its_best_to_the_rest() -> None:
    """A far turn of the session that matches comes before a session where nothing does."""
    turns = [turn("stranger"), *talk("the zeppelin", "x", "y", "z", "far away")]
    assert order("zeppelin", turns, weights=ALONE)[1] == "stranger"
    assert order("zeppelin", turns, weights=replace(ALONE, session=0.5))[-1] == "stranger"


@pytest.mark.parametrize(("question", "first"), [("When did we sail?", "we sail last week"), ("Did we sail?", "we sail too")])
def test_asking_when_looks_for_words_of_time(question: str, first: str) -> None:
    """Only then."""
    assert order(question, [turn("we sail too"), turn("we sail last week")], weights=replace(ALONE, when=0.15))[0] == first


def test_answers_come_before_questions() -> None:
    """What asks the same says nothing."""
    assert order("sailing", [turn("sailing, you?"), turn("sailing, yes")], weights=replace(ALONE, asking=0.1))[0] == "sailing, yes"


def test_the_one_who_is_named_is_listened_to() -> None:
    """Two turns say the same; Bob was asked about."""
    turns = [turn("I sail", key="ann"), turn("I sail", key="bob", speaker="Bob Stone")]
    assert [found.key for _, found in rank("Where does Bob go?", turns, CORPUS)] == ["bob", "ann"]


@pytest.mark.parametrize(
    ("question", "who"),
    [("What did Bob's wife say?", "Bob Stone"), ("Did Ann meet Bob?", None), ("Who sails?", None), ("Is bobbing fun?", None), ("", None)],
)
def test_only_a_single_name_counts(question: str, who: str | None) -> None:
    """Two who are named are both asked about, and a name inside a word is none."""
    assert named(question, ["Ann", "Bob Stone", "", "Bob Stone"]) == who


def test_nothing_to_find_and_nothing_asked() -> None:
    """Neither is an error."""
    assert rank("anything", [], CORPUS) == []
    assert order("what is it?", [turn("a"), turn("b")], weights=ALONE) == ["a", "b"]
    assert order("rain", [turn("", speaker="")], corpus=Corpus(turns=0, mean_terms=0, holding={})) == [""]


def test_letters_of_any_script_are_words() -> None:
    """Names keep their accents."""
    assert terms("Where did Zoë meet Müller?") == ["zoë", "meet", "müller"]
    assert order("Müller", [turn("nobody"), turn("Herr Müller")], weights=ALONE)[0] == "Herr Müller"
