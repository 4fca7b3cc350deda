"""A real model answers: in its own process, and through both cloud SDKs from llama.cpp's two cloud protocols."""

from __future__ import annotations

import pytest

from bot.brain.providers.anthropic import AnthropicProvider
from bot.brain.providers.local import LocalProvider
from bot.brain.providers.openai import OpenAIProvider
from bot.domain.errors import ContextTooLong, CredentialsRejected
from bot.domain.ports import Provider
from bot.domain.thought import Delta, Finish, Line, Prompt, Role
from tests.e2e.model_servers import EMBEDDED_MISSING, EMBEDDED_NAME, EMBEDDED_PATH, Embedded

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(EMBEDDED_MISSING is not None, reason=EMBEDDED_MISSING or "")]

WIRES = ("openai", "anthropic", "local")


def connect(wire: str, real: Embedded, key: str = "") -> Provider:
    if wire == "openai":
        return OpenAIProvider(model=real.model, api_key=key or real.key, base_url=f"{real.url}/v1")
    if wire == "anthropic":
        return AnthropicProvider(model=real.model, api_key=key or real.key, base_url=real.url)
    return LocalProvider(path=EMBEDDED_PATH, model=EMBEDDED_NAME, context=2048)


async def ask(provider: Provider, question: str, limit: int = 40) -> list[Delta | Finish]:
    lines = (Line(role=Role.USER, text=question),)
    prompt = Prompt(system="You are Robbie. Answer in one short sentence.", brief_system="", lines=lines, max_output_tokens=limit)
    try:
        return [part async for part in provider.stream(prompt)]
    finally:
        await provider.close()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_real_model_streams_an_answer_and_counts_it(wire: str, real: Embedded) -> None:
    *deltas, finish = await ask(connect(wire, real), "What is the capital of France?")
    assert len(deltas) > 1
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)).strip()
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert finish.usage.input_tokens > 10
    assert len(deltas) <= finish.usage.output_tokens <= 40


@pytest.mark.parametrize("wire", WIRES)
async def test_the_output_limit_holds(wire: str, real: Embedded) -> None:
    reasons = set[str]()
    for _ in range(5):  # a small model may happen to have done after five
        finish = (await ask(connect(wire, real), "Tell me a long story.", limit=5))[-1]
        assert isinstance(finish, Finish)
        assert finish.usage is not None
        assert finish.usage.output_tokens <= 5
        reasons.add(finish.reason)
    assert reasons & {"length", "max_tokens"}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_prompt_beyond_the_window_is_told_as_such(wire: str, real: Embedded) -> None:
    with pytest.raises(ContextTooLong):
        await ask(connect(wire, real), "word " * 3000)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_wrong_key_is_told_as_such(wire: str, real: Embedded) -> None:
    with pytest.raises(CredentialsRejected):
        await ask(connect(wire, real, key="wrong"), "hi")


async def test_the_server_lists_its_model_to_the_openai_sdk(real: Embedded) -> None:
    provider = connect("openai", real)
    assert any(EMBEDDED_NAME in model for model in await provider.models())
    await provider.close()
