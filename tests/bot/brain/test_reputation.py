"""What is thought of levels before they have answered."""

from __future__ import annotations

import pytest

from bot.brain.call import Rung
from bot.brain.pricing import Prices
from bot.brain.reputation import Level, levels_of
from tests.fakes import FakeProvider


def known(*models: str) -> tuple[Level, ...]:
    """The levels of these models, each "provider/model"."""
    rungs = []
    for model in models:
        provider = FakeProvider(provider=model.partition("/")[0], model=model.partition("/")[2])
        rungs.append(Rung(level=model, provider=provider, context=8192, max_output_tokens=1024))
    return levels_of(rungs, Prices.load())


@pytest.mark.parametrize(
    ("model", "code", "quick"),
    [
        ("openai/gpt-6.1-sol", 0.84, 0.80),
        ("openai/gpt-4o-mini", 0.74, 0.80),
        ("anthropic/claude-sonnet-5-5", 0.80, 0.80),
        ("ollama/llama3.3:70b", 0.72, 0.78),
        ("ollama/mixtral:8x7b", 0.72, 0.78),
        ("ollama/llama3.1:8b", 0.58, 0.80),
        ("ollama/gpt-oss:20b", 0.72, 0.78),
        ("local/smollm2-135m-instruct", 0.20, 0.50),
        ("local//models/qwen2.5-0.5b-q4.gguf", 0.20, 0.50),
    ],
)
def test_a_model_is_known_by_its_vendor_or_its_size(model: str, code: float, quick: float):
    (level,) = known(model)
    assert (level.worth["code"], level.worth["quick"], level.room) == (code, quick, 7168)


def test_who_is_not_known_has_the_repute_of_the_level_before_or_else_after_it():
    first, second, third = known("local/a", "openai/gpt-6.1-sol", "openai/somebody")
    assert first.worth == second.worth == third.worth
    assert first.usd == second.usd == third.usd
    assert [each.name for each in (first, second, third)] == ["local/a", "openai/gpt-6.1-sol", "openai/somebody"]


def test_nobody_known_and_nobody_there():
    assert {level.worth["code"] for level in known("local/a", "local/b")} == {0.6}
    assert known() == ()
