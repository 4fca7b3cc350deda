"""From config to rungs: which levels are asked, on which nodes, and which can never be reached."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from bot.brain.levels import find_gaps, make_rungs
from bot.config import LevelConfig, NodeConfig

NODES = (NodeConfig(name="iceland", url="http://iceland:11434"), NodeConfig(name="maverick", url="http://maverick:11434"))


def level(name: str, provider: str, **values: Any) -> LevelConfig:
    key = values.pop("api_key", None)
    return LevelConfig(
        **{"name": name, "provider": provider, "model": "m-1", "context": 8192, "api_key": SecretStr(key) if key else None, **values}
    )


def ids(*levels: LevelConfig) -> list[tuple[str, str]]:
    return [(rung.level, rung.node) for rung in make_rungs(levels, NODES, {})]


def test_levels_keep_their_order_and_have_a_rung_for_each_known_node():
    llama = level("llama", "ollama", nodes=("maverick", "nowhere", "iceland"))
    assert ids(level("gpt", "openai", api_key="k"), llama, level("embedded", "local")) == [
        ("gpt", ""),
        ("llama", "maverick"),
        ("llama", "iceland"),
        ("embedded", ""),
    ]


def test_a_small_embedded_model_gets_the_brief_words_and_the_others_do_not():
    rungs = make_rungs([level("gpt", "openai", api_key="k"), level("embedded", "local")], NODES, {})
    assert [rung.is_brief for rung in rungs] == [False, True]


def test_a_level_may_have_an_address_instead_of_nodes():
    assert ids(level("llama", "ollama", base_url="http://127.0.0.1:11434")) == [("llama", "")]


@pytest.mark.parametrize("change", [{"api_key": "other"}, {"base_url": "http://elsewhere/v1"}, {"model": "m-2"}])
def test_what_is_known_of_a_level_does_not_outlive_its_key_address_or_model(change: dict[str, Any]):
    was, now = (make_rungs([level("gpt", "openai", **{"api_key": "k", **values})], NODES, {})[0] for values in ({}, change))
    assert was.id != now.id
    assert was.id == make_rungs([level("gpt", "openai", api_key="k")], NODES, {})[0].id


def test_no_key_stands_in_the_name_under_which_health_is_kept():
    assert "sk-very-secret" not in make_rungs([level("gpt", "openai", api_key="sk-very-secret")], NODES, {})[0].id


@pytest.mark.parametrize(
    ("gone", "reason", "repair"),
    [
        (level("gpt", "openai"), "it has no key", "OPENAI_API_KEY"),
        (level("claude", "anthropic"), "it has no key", "ANTHROPIC_API_KEY"),
        (level("llama", "ollama", nodes=("nowhere",)), "it runs on nowhere", "add the node"),
        (level("llama", "ollama"), "it runs on no node", "add the node"),
    ],
)
def test_a_level_that_cannot_be_asked_is_skipped_and_told_once(gone: LevelConfig, reason: str, repair: str):
    levels = (gone, level("embedded", "local"))
    assert [name for name, _ in ids(*levels)] == ["embedded"]
    (gap,) = find_gaps(levels, NODES)
    assert (gap.level, reason in gap.reason, repair in gap.repair) == (gone.name, True, True)
    assert str(gap).startswith(f"Level {gone.name} is skipped: {reason}")


@pytest.mark.parametrize(
    ("levels", "unreached", "reason"),
    [
        ((level("one", "openai", api_key="k"), level("two", "openai", api_key="k")), "two", "same model as one"),
        ((level("embedded", "local"), level("gpt", "openai", api_key="k")), "gpt", "answers before it"),
        ((level("tiny", "openai", api_key="k", context=512),), "tiny", "leaves no room"),
    ],
)
def test_a_level_that_no_failure_leads_to_is_told(levels: tuple[LevelConfig, ...], unreached: str, reason: str):
    (gap,) = find_gaps(levels, NODES)
    assert gap.level == unreached
    assert reason in gap.reason
    assert str(gap).startswith(f"Level {unreached} is of no use: ")  # but not skipped


def test_the_same_model_with_another_key_or_address_is_another_level():
    assert find_gaps([level("one", "openai", api_key="k1"), level("two", "openai", api_key="k2")], NODES) == ()
    assert find_gaps([level("one", "ollama", nodes=("iceland",)), level("two", "ollama", nodes=("maverick",))], NODES) == ()


def test_a_wholesome_chain_has_no_gaps():
    assert find_gaps([level("gpt", "openai", api_key="k"), level("embedded", "local")], NODES) == ()
