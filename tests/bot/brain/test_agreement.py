"""Agreement: equal claims count most, opposite ones are seen, and nothing a model can say breaks the measure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.agreement import CLAIMS_SHARE, SAME, are_same, claims_of, difference, kept, supports


def agreement(one: str, other: str, question: str = "") -> float:
    left, right = supports([one, other], question)
    assert left == right
    return left


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("Yes, sell it.", {0: "yes"}),
        ("**No.** Keep it.", {0: "no"}),
        ("No matter what, keep it.", {}),
        ("B", {1: "b"}),
        ("I recommend option C, since it is cheap.", {1: "c"}),
        ("The answer is a good one.", {}),
        ("16 - 3 - 4 = 9, and 9 * 2 = **$18**", {2: "18"}),
        ("She makes $1,200.00 a day.", {2: "1200"}),
        ("- 3 apples\n- 4 pears", {}),
        ("```\nx = 5\n```\nThat is all.", {}),
        ("Von 1990 bis 2001 wuchs die Stadt.", {}),
        ("", {}),
        ("No-one can say.", {}),
        ("No. 1 is cheap.", {}),
        ("I recommend A/B testing.", {}),
        ("I recommend A phased plan.", {}),
        ("Choose C++.", {}),
        ("\\boxed{18}", {2: "18"}),
        ("It is 1.5 million.", {2: "1500000"}),
        ("It is not 42.", {}),
        ("As a result, 3 of 9 left.\nLease it.", {}),
        ("The answer depends on 3 things, and on 2 more.", {}),
    ],
)
def test_what_an_answer_comes_to(answer: str, claims: dict[int, str]):
    assert claims_of(answer) == claims


@pytest.mark.parametrize(
    ("one", "other", "question"),
    [
        ("42", "The answer is 42.", ""),
        ("$1,200", "1200.0", ""),
        ("Paris.", "The capital of France is Paris.", "What is the capital of France?"),
        ("Lease the van.", "lease the van", ""),
    ],
)
def test_the_same_in_other_words_is_the_same(one: str, other: str, question: str):
    assert agreement(one, other, question) >= SAME


@pytest.mark.parametrize(
    ("one", "other"),
    [("18", "20"), ("Yes, sell.", "No, keep it."), ("The tower is 330 m tall.", "The tower is 324 m tall.")],
)
def test_other_claims_disagree_however_alike_the_words(one: str, other: str):
    assert agreement(one, other) <= 1 - CLAIMS_SHARE
    assert len(difference([one, other], "AB")[1]) == 2


@pytest.mark.parametrize(
    ("answers", "same"),
    [
        (["42", "The answer is 42."], True),
        (["Paris.", "The capital of France is Paris."], True),
        (["42", "The answer is not 42."], False),
        (["At 9 am.", "At 9 pm."], False),
        (["It is 5 km away.", "It is 5 mi away."], False),
        (["5 million", "The answer is 5 billion."], False),
        (["I'd choose C++.", "I'd choose C#."], False),
        (["Germany beat Brazil.", "Brazil beat Germany."], False),
    ],
)
def test_only_what_says_one_thing_needs_nobody_to_put_it_together(answers: list[str], same: bool):
    assert are_same(answers) is same


def test_a_not_is_never_taken_for_agreement():
    assert agreement("You should sell the old mill now.", "You should not sell the old mill now.") < SAME
    assert agreement("Don't sell the old mill.", "Sell the old mill.") < SAME


def test_the_one_who_stands_alone_has_the_least_support():
    agreed = supports(["It is 42.", "42", "It is 41."])
    assert agreed[2] == min(agreed) < min(agreed[:2])
    assert supports(["alone"]) == [0.0]


def test_a_difference_names_who_claims_what():
    assert difference(["42", "The answer is 42.", "41"], ["gpt", "claude", "llama"])[0] == "gpt and claude: 42; llama: 41"
    assert difference(["All is well.", "Fine."], "AB") == ("", set())


def test_what_was_kept_is_a_share_of_the_words():
    assert kept("Lease the van.", "So lease that van") > 0.9
    assert kept("Lease the van.", "Buy horses") == 0.0
    assert kept("", "anything") == 0.0


@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from("0123456789 $,.-=²½٣'’-\n")), min_size=1, max_size=3), st.text())
def test_whatever_is_said_it_is_measured(answers: list[str], question: str):
    assert all(0 <= value <= 1.000001 for value in supports(answers, question))
    assert agreement(answers[0], answers[-1], question) == agreement(answers[-1], answers[0], question)
    assert isinstance(difference(answers, "ABC")[0], str)
