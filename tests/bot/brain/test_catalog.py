"""The SDKs' own lists tell which models are served and which are ending, without importing the SDKs."""

import subprocess
import sys

import pytest

from bot.brain.catalog import deprecation, known_models


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-4-turbo"), ("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5")])
def test_a_deprecated_model_is_told_with_its_day(provider: str, model: str) -> None:
    told = deprecation(provider, model)
    assert told is not None
    assert model in told
    assert "20" in told
    assert model not in known_models(provider)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_is_offered_is_not_deprecated(provider: str) -> None:
    offered = known_models(provider)
    assert len(offered) > 5
    assert all(deprecation(provider, model) is None for model in offered)


def test_a_retired_name_that_the_sdk_has_forgotten_is_told() -> None:
    assert "not among" in (deprecation("anthropic", "claude-3-5-sonnet-20241022") or "")


@pytest.mark.parametrize(("provider", "model"), [("ollama", "llama3.1:8b"), ("local", "smollm2"), ("openai", "ft:gpt-4o:me")])
def test_nothing_is_said_about_what_no_list_covers(provider: str, model: str) -> None:
    assert deprecation(provider, model) is None


def test_reading_the_lists_imports_no_sdk() -> None:
    code = (
        "import sys; from bot.brain import catalog as c; c.known_models('openai'); c.deprecation('anthropic', 'x');"
        "print({'openai', 'anthropic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
