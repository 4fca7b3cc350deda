"""What a text states, what a summary of it keeps, which rewrites are refused, and how a memory reads by its age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.summaries import CLIPPED, LEAST_KEPT, MONTH, SESSION, YEAR, aged, clipped, extract, facts_of, is_fit, kept, left_out
from bot.domain.clock import new_id
from storage.models.memory import Memory, Summary

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def memory(text: str, *, days: float = 0, speaker: str = "Allan") -> Memory:
    at = NOW - timedelta(days=days)
    which = {"organization_id": "default", "id": new_id(), "number": 1, "user_id": new_id(), "thread": "t", "session": new_id()}
    where = {"position": 0, "part": 0, "external_id": "e", "place": "", "trust": "own"}
    return Memory(**which, **where, speaker=speaker, said=text, day=f"{at.day} {at:%B %Y}", at=at)


def summary(text: str, level: int) -> Summary:
    made = {"made_by": "extract", "created_at": NOW, "starts_at": NOW, "ends_at": NOW}
    return Summary(organization_id="default", id=new_id(), user_id=new_id(), level=level, place="", text=text, facts=[], **made)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("We meet Dana Reyes in Lisbon", ["dana reyes", "lisbon", "meet dana", "reyes lisbon"]),
        ("She has 3 dogs", ["3 dogs"]),
        ("It cost $1,200, or 40% of it", ["$1,200", "40%", "cost $1,200"]),
        ("The call is at 7:30", ["7:30", "call 7:30"]),
        ("I was born on 8 May 1979", ["8 may 1979"]),
        ("That was May 2023", ["may 2023"]),
        ("I adopted a black dog", ["adopted black dog"]),
        ("I don't like cilantro", ["not like cilantro"]),
        ("I never like it, and we moved house", ["not like", "moved house"]),
        ("Do you like cilantro?", []),
        ("I", []),
        ("", []),
    ],
)
def test_what_a_text_states(text: str, facts: list[str]):
    assert facts_of(text) == facts


def test_the_same_text_states_the_same_and_each_fact_once():
    text = "I adopted a dog. I adopted a dog. Dana paid $40 on 8 May."
    assert facts_of(text) == facts_of(text)
    assert len(set(facts_of(text))) == len(facts_of(text))


@pytest.mark.parametrize(
    ("rewrite", "share"),
    [
        ("Dana adopted a black dog in Lisbon for $40.", 1.0),
        ("For $40 a black dog was adopted, in Lisbon.", 1.0),
        ("A dog was adopted, in Lisbon. It is black and cost $40.", 2 / 3),
        ("Something was adopted.", 0.0),
        ("", 0.0),
    ],
)
def test_a_fact_is_kept_where_all_its_words_stand_in_one_sentence(rewrite: str, share: float):
    assert kept(["adopted black dog", "lisbon", "$40"], rewrite) == pytest.approx(share)


def test_what_was_denied_is_not_kept_by_its_opposite():
    assert kept(["like cilantro"], "He does not like cilantro.") == 0
    assert kept(["not like cilantro"], "He likes cilantro.") == 0
    assert kept(["not like cilantro"], "He doesn't like cilantro.") == 1


@given(st.lists(st.text(max_size=200), max_size=8), st.integers(1, 40))
def test_a_summary_with_the_facts_beside_it_keeps_them_all(texts: list[str], words: int):
    memories = [memory(text) for text in texts]
    text = extract(memories, words)
    stated = [fact for each in memories for fact in facts_of(each.text)]
    assert kept(stated, text + "\n" + "\n".join(left_out(memories, text))) == 1


def test_the_sentences_that_tell_most_are_chosen_verbatim_with_speaker_and_day():
    said = [
        memory("Hey there! How are you doing today, my friend?", days=10),
        memory("I signed the lease for the office in Lisbon on 3 November. It is nice weather here.", days=10),
        memory("Great, I noted the lease of the office.", days=10, speaker="Robbie"),
    ]
    assert extract(said, 12) == "12 November 2026, Allan: I signed the lease for the office in Lisbon on 3 November."


def test_a_summary_says_who_and_when_only_where_that_changes():
    said = [
        memory("Dana paid 400 dollars for the green boat. Her brother sold the old house in Porto.", days=10),
        memory("Dana wants to sail around Sicily next summer.", days=9, speaker="Robbie"),
    ]
    assert extract(said, 99) == (
        "12 November 2026, Allan: Dana paid 400 dollars for the green boat. Her brother sold the old house in Porto. "
        "13 November 2026, Robbie: Dana wants to sail around Sicily next summer."
    )


@pytest.mark.parametrize("text", ["no stop " * 200, "?" * 1500, "1,1," * 370, "A" * 1500, "\ud800 \x00"])
def test_any_part_of_a_message_comes_to_a_summary_of_bounded_length(text: str):
    assert len(extract([memory(text)], 30)) <= 1600


@pytest.mark.slow
def test_a_long_session_is_summarised_in_less_than_seconds():
    said = [
        memory(f"In the year {n} Dana bought {n} boats of wood and steel, and number {n * 7} sank near Porto. " * 14) for n in range(200)
    ]
    assert 40 <= len(extract(said, 80).split()) <= 90


MATERIAL = "Allan: I signed the lease for 12 months. Dana moves to Lisbon on 3 November. I do not like the broker."
TEXT = "I signed the lease for 12 months. Dana moves to Lisbon on 3 November."


@pytest.mark.parametrize(
    ("rewrite", "fit"),
    [
        ("Allan signed the lease for 12 months, and Dana moves to Lisbon on 3 November.", True),
        ("Allan signed a lease.", False),
        ("Allan signed the lease for 12 months. Dana moves to Lisbon on 3 November, and Peter too.", False),
        ("Allan signed the lease for 12 months. Dana moves to Lisbon on 3 November for $400.", False),
        ("Allan never signed the lease for 12 months. Dana never moves to Lisbon on 3 November.", False),
        ("Allan signed the lease for 12 months. Dana moves to Lisbon on 3 November. " * 9, False),
        ("", False),
    ],
)
def test_a_rewrite_must_keep_the_facts_and_add_none(rewrite: str, fit: bool):
    assert is_fit(rewrite, TEXT, MATERIAL, 20) is fit


def test_the_bar_of_a_rewrite_is_a_quarter_lost():
    text = "Dana has 3 dogs, 4 cats, 5 birds, 6 fish"
    assert len(facts_of(text)) >= 4
    three_of_four = [fact for fact in facts_of(text) if fact[0].isdigit()][:4]
    assert kept(three_of_four, "3 dogs and 4 cats and 5 birds.") == LEAST_KEPT


LONG = "The office is nice. " * 30 + "The lease in Lisbon ends on 3 May 2027. " + "The office is warm. " * 30


@pytest.mark.parametrize(("days", "level"), [(6.9, 0), (7.1, SESSION), (29.9, SESSION), (30.1, MONTH), (179.9, MONTH), (180.1, YEAR)])
def test_a_memory_reads_by_its_age(days: float, level: int):
    old = memory(LONG, days=days)
    of_session, of_month, of_year = (summary(f"Boats were sold {each}.", each) for each in (SESSION, MONTH, YEAR))
    (read,) = aged([old], {old.id: [of_session, of_month, of_year]}, NOW, question="When does the lease end?")
    assert (read.words == LONG) is (level == 0)
    told = {SESSION: of_session, MONTH: of_month}.get(level)
    assert (read.head, read.summary) == ((f"[In short: {told.text}] ", told.id) if told else ("", None))
    assert "The lease in Lisbon ends on 3 May 2027." in read.words
    assert not level or len(read.words) < CLIPPED[level] + 200


def test_a_summary_is_told_once_and_a_months_is_stood_in_for_by_the_sessions():
    one, other = memory(LONG, days=40), memory(LONG, days=40)
    of_session = summary("We spoke of the lease.", SESSION)
    first, second = aged([one, other], {one.id: [of_session], other.id: [of_session]}, NOW)
    assert (first.head, second.head) == ("[In short: We spoke of the lease.] ", "")


def test_a_summary_that_says_no_more_than_what_is_left_is_not_told():
    old = memory("The lease in Lisbon ends on 3 May 2027. " + "The office is nice. " * 30, days=40)
    (read,) = aged([old], {old.id: [summary("The lease in Lisbon ends on 3 May 2027.", MONTH)]}, NOW)
    assert (read.head, read.summary) == ("", None)


@given(st.lists(st.tuples(st.text(max_size=900), st.integers(0, 400), st.integers(0, 2)), max_size=6), st.text(max_size=30))
def test_no_age_reads_longer_than_verbatim(said: list[tuple[str, int, int]], question: str):
    shared = [summary("A long story of Dana, who bought boats. " * 20, level) for level in (SESSION, MONTH, YEAR)]
    memories = [(memory(text, days=days), shared[:which]) for text, days, which in said]
    lines = aged([each for each, _ in memories], {each.id: summaries for each, summaries in memories}, NOW, question=question)
    assert len(lines) == len(memories)
    length = sum(len(each.head) + len(each.words) for each in lines)
    assert length <= sum(len(each.text) for each, _ in memories) + 4 * len(lines)  # what marks a clipped text


def test_facts_that_clipping_lost_stand_beside_a_months_words():
    old = memory(LONG, days=40)
    (read,) = aged([old], {}, NOW, question="office")
    assert "3 may 2027" in read.words
    assert "The lease in Lisbon" not in read.words


@pytest.mark.parametrize("before", ["filler words here " * 50, "Fillers. " * 90, "x" * 900 + " "])
def test_of_a_long_text_the_part_is_left_that_matters(before: str):
    text = before + "The plate is B-XY 123. " + "more filler words " * 50
    assert "B-XY 123" in clipped(text, 100, ["plate"])
    assert len(clipped(text, 100, ["plate"])) <= 104
