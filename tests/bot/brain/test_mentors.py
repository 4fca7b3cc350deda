"""Mentors: who speaks and in which mood, what that costs, whose answers did better, and what a broken file says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.mentors import (
    FITTING,
    LOOKED_AT,
    MENTORS,
    MOODS,
    SETTINGS,
    MentorView,
    choose,
    effectiveness,
    heard_in,
    introduced,
    load_mentor,
    mentor_words,
    ranked,
    read_setting,
)
from bot.brain.personality import CONTEXTS, EVERYWHERE, PARTS, in_force
from bot.domain.errors import ConfigError
from bot.domain.thought import estimate_tokens
from tests.bot.brain.test_personality import Row


def who(text: str, setting: str = "off") -> list[tuple[str, str]]:
    """Who speaks, and how."""
    return [tuple(view) for view in choose(text, setting)]


def test_the_six_fit_their_situations_best_first() -> None:
    assert FITTING == {
        "strategy": ["jobs", "churchill"],
        "problem": ["einstein", "jobs"],
        "creative": ["lennon", "elvis"],
        "encouragement": ["child", "elvis"],
        "conversation": ["churchill", "child"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What would Churchill say about this?", ["churchill"]),
        ("what would winston churchill do now", ["churchill"]),
        ("Ask Einstein why the sky is blue", ["einstein"]),
        ("Answer as Steve Jobs would.", ["jobs"]),
        ("How would Julia Child see it?", ["child"]),
        ("Churchill’s view on the offer, please", ["churchill"]),
        ("What would Elvis and Lennon make of the chorus?", ["elvis", "lennon"]),
        ("Ask Elvis, ask Jobs, ask Lennon", ["elvis", "jobs"]),
        ("what do jobs pay here, and as jobs would", []),
        ("ask child support about it", []),
        ("Ask Churchill Capital for the terms", []),
        ("Ask Einstein's publisher", []),
        ("When did Churchill die?", []),
        ("What did Churchill say about democracy?", []),
        ("What was Churchill's answer to Attlee?", []),
        ("What does Jobs do on the server?", []),
        ("Let Lennon know that I am late", []),
        ("Ask Elvis if he can come on Friday", []),
        ("ask Churchill & Sons for a quote", []),
        ("And Churchill's take?", ["churchill"]),
    ],
)
def test_who_is_asked_by_name_speaks_whatever_is_set(text: str, expected: list[str]) -> None:
    assert [name for name, _ in who(text)] == [name for name, _ in who(text, "auto") or who(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Should we enter the Spanish market before our competitors do?", ["jobs", "churchill"]),
        ("Which of the two pricing strategies fits our roadmap?", ["jobs", "churchill"]),
        ("I can't work out the root cause, the figures do not add up", ["einstein", "jobs"]),
        ("Give me a slogan and a short poem for the poster", ["lennon", "elvis"]),
        ("I am exhausted and afraid I am not good enough", ["child", "elvis"]),
        ("How do I tell her that we have to let her go? It will be a hard conversation.", ["churchill", "child"]),
        ("What is the capital of France?", []),
        ("Remind me to call Dana on Friday at 3", []),
        ("Translate this into German: the weather is fine", []),
        ("", []),
    ],
)
def test_auto_chooses_by_situation_and_otherwise_nobody(text: str, expected: list[str]) -> None:
    assert [name for name, _ in who(text, "auto")] == expected
    assert who(text, "off") == who(text, "") == []


@pytest.mark.parametrize(
    ("text", "setting", "mood"),
    [
        ("I am worried, we are losing the client", "churchill", "concerned"),
        ("We must finish this by tomorrow, whatever it takes", "churchill", "determined"),
        ("Good news, they have decided for us", "churchill", "confident"),
        ("What is a good life?", "churchill", "thoughtful"),
        ("I am worried", "churchill confident", "confident"),
        ("I am worried: what would a determined Churchill do?", "churchill confident", "determined"),
        ("What would Churchill do?", "elvis confident", "thoughtful"),
    ],
)
def test_the_mood_is_that_of_the_question_unless_it_is_named(text: str, setting: str, mood: str) -> None:
    assert who(text, setting) == [("churchill", mood)]


@given(st.text() | st.lists(st.sampled_from(["ask", "Churchill", "what would", "say", "Child", "strategy", "fail", ","])).map(" ".join))
def test_any_text_chooses_two_at_most_and_never_raises(text: str) -> None:
    for setting in ("", "auto", "off", "churchill determined", "nonsense"):
        views = choose(text, setting)
        assert len(views) == len({view.name for view in views}) <= 2
        assert all(view.name in MENTORS and view.mood in MOODS for view in views)


def test_a_megabyte_is_looked_at_in_no_time() -> None:
    began = time.perf_counter()
    assert choose("why does " * 200_000 + "what would Churchill say", "auto") == ()
    assert time.perf_counter() - began < 10
    assert len(who("x " * (LOOKED_AT // 2 - 20) + "ask Churchill")) == 1


@pytest.mark.parametrize("name", MENTORS)
def test_a_mentor_costs_120_tokens_at_most_and_a_sentence_in_brief(name: str) -> None:
    for mood in MOODS:
        said = mentor_words([MentorView(name, mood)])
        assert estimate_tokens(said) <= 120
        assert f"**{name.title()}** ({mood}):" in said
        assert MENTORS[name].stance in said
        assert estimate_tokens(mentor_words([MentorView(name, mood)], "brief")) <= 25
    assert mentor_words([]) == ""


@pytest.mark.parametrize("name", MENTORS)
def test_a_mentor_is_four_moods_in_own_words_without_quotations(name: str) -> None:
    mentor = MENTORS[name]
    assert len({*mentor.moods.values()}) == len(MOODS) == 4
    assert not any(sign in "".join((mentor.stance, mentor.thinks, mentor.speaks, *mentor.moods.values())) for sign in '"“”«')


def test_who_did_better_speaks_first_once_there_is_evidence() -> None:
    pair = (MentorView("jobs", "thoughtful"), MentorView("churchill", "thoughtful"))
    assert ranked(pair, []) == pair
    assert ranked(pair, [("churchill", 0.9)] * 3 + [("jobs", 0.9)] * 9) == pair
    assert ranked(pair, [("jobs", 0.2), ("churchill", 0.8), ("elvis", 1.0)]) == pair[::-1]


def test_only_who_did_speak_is_heard() -> None:
    assert heard_in("Sell.\n**Churchill** (determined): Stand.\n**Jobs:** Cut it.", ["churchill", "jobs", "elvis"]) == "churchill jobs"
    assert heard_in("**Jobs** that pay well, and **Child care**; Churchill: no", ["jobs", "child", "churchill"]) == ""


def test_effectiveness_is_the_mean_and_where_two_spoke_both_are_judged() -> None:
    assert effectiveness([("jobs churchill", 1.0), ("jobs", 0.5)]) == {"jobs": (0.75, 2), "churchill": (1.0, 1)}
    assert effectiveness([]) == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Steve Jobs Determined until 6pm", ("jobs determined", "until 6pm")),
        ("churchill in private", ("churchill", "in private")),
        ("child", ("child", "")),
        ("AUTO", ("auto", "")),
        ("churchil until 6pm", ("churchil", "until 6pm")),
        ("", ("", "")),
    ],
)
def test_a_setting_is_read_from_words(words: str, expected: tuple[str, str]) -> None:
    assert read_setting(words) == expected


def test_every_setting_can_be_told() -> None:
    assert all(introduced(setting) for setting in ("", *SETTINGS))


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_is_set_for_everywhere_is_not_heard_where_others_may_read(context: str) -> None:
    rows = [Row("mentor", EVERYWHERE, "elvis"), Row("mentor", PARTS[0], "child")]
    is_open = context in ("channel", "email")
    assert in_force(rows, context=context, is_intimate=False, part=PARTS[0]).mentor == ("" if is_open else "child")
    assert in_force([*rows, Row("mentor", context, "jobs")], context=context, is_intimate=False).mentor == "jobs"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (('determined = "', 'furious = "'), 14),
        (("stance = ", "stanza = "), 5),
        (('situations = ["conversation"', 'situations = ["cooking"'), 4),
        (('never = "', "never = "), 8),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, change: tuple[str, str], line: int) -> None:
    good = Path("bot/brain/mentors/churchill.toml").read_text("utf-8")
    file = tmp_path / "churchill.toml"
    file.write_text(good.replace(*change, 1), "utf-8")
    with pytest.raises(ConfigError, match=r"churchill\.toml:\d+: ") as raised:
        load_mentor(file)
    assert raised.value.file == file
    assert raised.value.line == line
