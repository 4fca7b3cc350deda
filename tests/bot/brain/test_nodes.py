"""What follows from the states of the nodes: the order in which they are asked, and what is loaded where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.call import Rung
from bot.brain.nodes import ENOUGH_SAMPLES, SAMPLES, NodeState, order, rebalance
from bot.domain.thought import Attempt, AttemptOutcome, Usage
from tests.fakes import FakeProvider

NOW = 100.0
GB = 10**9
PROVIDERS = {level: FakeProvider(model=f"{level}-model") for level in ("big", "small", "gpt")}


def rung(level: str, node: str = "") -> Rung:
    return Rung(level=level, provider=PROVIDERS[level], context=4096, max_output_tokens=100, node=node)


def up(name: str, *holds: str, **more: object) -> NodeState:
    """A node that holds the models of these levels, 5 GB each."""
    state = NodeState(name=name, is_up=True, resident={f"{level}-model": 5 * GB for level in holds})
    return replace(state, **more)


BIG = [rung("big", "a"), rung("big", "b"), rung("big", "c")]
CHAIN = [rung("gpt"), *BIG, rung("small", "d")]
HOLDING = [up("a", "big"), up("b", "big"), up("c", "big"), up("d", "small")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "gpt a b c d"),
        ({"a": {"resident": {}}}, "gpt b c a d"),
        ({"a": {"in_flight": 1}, "b": {"in_flight": 2}}, "gpt c a b d"),
        ({"a": {"resident": {}}, "b": {"in_flight": 9}, "c": {"in_flight": 9}}, "gpt a b c d"),
        ({"a": {"speed": 10.0}, "b": {"speed": 40.0}}, "gpt b c a d"),
        ({"a": {"speed": 80.0, "in_flight": 2}, "b": {"speed": 20.0}}, "gpt a b c d"),
        ({"a": {"first_ms": (100.0,) * 20 + (900.0,) * 4}}, "gpt b c a d"),
        ({"a": {"doubted_until": NOW + 1}}, "gpt b c a d"),
        ({"a": {"is_up": False}}, "gpt b c d a"),
        ({"a": {"is_up": None}, "b": {"is_up": False}}, "gpt a c d b"),
        ({"a": {"is_drained": True}}, "gpt b c d"),
        ({"a": {"struck": {"big-model": NOW + 1}}}, "gpt b c d a"),
        ({"a": {"struck": {"big-model": NOW}}}, "gpt a b c d"),
        ({"a": {"models": {"other": 0}}, "b": {"models": {}}}, "gpt c d a b"),
        ({"a": {"models": {"big-model:latest": 0}}}, "gpt a b c d"),
        ({name: {"is_up": False} for name in "abc"}, "gpt d a b c"),
        ({name: {"is_drained": True} for name in "abcd"}, "gpt"),
    ],
)
def test_the_node_that_will_have_answered_first_is_asked_first(changes: dict[str, dict[str, object]], expected: str):
    states = {state.name: replace(state, **changes.get(state.name, {})) for state in HOLDING}
    assert [each.node or each.level for each in order(states, CHAIN, now=NOW)] == expected.split()


def test_levels_are_asked_as_the_route_has_them():
    routed = [rung("small", "d"), *BIG, rung("gpt")]
    states = {state.name: state for state in HOLDING}
    assert [each.level for each in order(states, routed, now=NOW)] == ["small", "big", "big", "big", "gpt"]


SETTINGS = st.fixed_dictionaries(
    {
        "is_up": st.sampled_from([True, False, None]),
        "is_drained": st.booleans(),
        "in_flight": st.integers(0, 500),
        "speed": st.floats(0, 1e4),
        "first_ms": st.lists(st.floats(1, 1e7), max_size=SAMPLES),
        "doubted_until": st.floats(0, 200),
    }
)


@given(st.lists(SETTINGS, min_size=4, max_size=4))
def test_nobody_is_lost_or_asked_twice_whatever_is_known(settings):
    states = {state.name: replace(state, **each) for state, each in zip(HOLDING, settings, strict=True)}
    arranged = order(states, CHAIN, now=NOW)
    assert sorted(each.id for each in arranged) == sorted(each.id for each in CHAIN if not (each.node and states[each.node].is_drained))
    assert all(state.told() for state in states.values())


@pytest.mark.parametrize(
    ("states", "likely", "expected"),
    [
        ([up("a"), up("b"), up("c")], "big", "a"),
        ([up("a"), up("b"), up("c")], "gpt", None),
        ([up("a", in_flight=1), up("b"), up("c")], "big", "b"),
        ([up("a", "big"), up("b"), up("c")], "big", None),
        ([up("a", "big", in_flight=4), up("b"), up("c")], "big", "b"),
        ([up("a", "big", in_flight=4), up("b", "small"), up("c")], "big", "c"),
        ([up("a", "big", in_flight=4), up("b", "small"), up("c", "small")], "big", None),
        ([up("a", is_drained=True), up("b", is_up=False), up("c", is_up=None)], "big", None),
        ([up("a", struck={"big-model": NOW + 1}), up("b", models={"other": 0}), up("c")], "big", "c"),
        ([up("a", "big", in_flight=99), up("b", "big"), up("c", "big")], "big", None),
    ],
)
def test_what_is_wanted_is_loaded_where_it_drives_out_nothing(states: list[NodeState], likely: str, expected: str | None):
    chosen = rebalance({state.name: state for state in [*states, up("d", "small")]}, BIG, likely=likely, now=NOW)
    assert (chosen and chosen.node) == expected


def test_an_answer_tells_how_quick_its_node_is():
    answer = Attempt(
        level="big",
        provider="ollama",
        model="big-model",
        outcome=AttemptOutcome.ANSWERED,
        first_token_ms=200.0,
        latency_ms=2200.0,
        usage=Usage(output_tokens=60),
    )
    state = NodeState(name="a").measured(answer)
    assert (state.speed, state.first_ms, state.first_token_ms(0.95)) == (30.0, (200.0,), None)
    for _ in range(2 * SAMPLES):
        state = state.measured(replace(answer, latency_ms=1200.0))
    assert state.speed == pytest.approx(60.0)
    assert (len(state.first_ms), state.first_token_ms(0.5)) == (SAMPLES, 200.0)
    assert state.measured(replace(answer, outcome=AttemptOutcome.FAILED, latency_ms=200.0)).speed == state.speed
    assert ENOUGH_SAMPLES < SAMPLES
