"""What the vendors' words mean, beyond what the contract suite asks over HTTP."""

from pathlib import Path

import pytest

from bot.brain.providers import faults
from bot.brain.providers.anthropic import AnthropicProvider
from bot.brain.providers.ollama import OllamaProvider
from bot.brain.providers.openai import OpenAIProvider
from bot.domain.errors import ContextTooLong, ModelNotServed, ProviderError, ProviderUnavailable, RateLimited, RequestRejected, StreamBroken
from bot.domain.thought import Finish, Prompt, Usage
from tests.contracts.model_fakes import Wire, fake_model

ASKING = Prompt(system="", brief_system="", lines=(), max_output_tokens=9)


def test_a_model_the_project_has_no_access_to_is_not_served() -> None:
    assert type(faults.from_status("x", 403, codes=("model_not_found",))) is ModelNotServed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("rate_limit_exceeded", RateLimited),
        ("429", RateLimited),
        ("529", ProviderUnavailable),
        ("context_length_exceeded", ContextTooLong),
        ("content_filter", RequestRejected),
        ("invalid_request_error", RequestRejected),
        ("surprise", StreamBroken),
    ],
)
def test_an_error_inside_a_stream_is_told_by_its_code(code: str, expected: type[Exception]) -> None:
    assert type(faults.from_event("x", codes=(None, code))) is expected


@pytest.mark.parametrize(
    ("code", "text"), [("403", "Your chosen model requires moderation and your input was flagged"), ("content_policy_violation", "no")]
)
def test_a_flagged_question_is_refused_and_the_key_not_blamed(code: str, text: str) -> None:
    assert type(faults.from_status("x", 403, codes=(code,), text=text)) is RequestRejected


async def test_a_refusal_in_words_of_its_own_is_a_refusal_and_no_empty_answer() -> None:
    """OpenAI may put it beside the text, and end with "stop"."""
    async with fake_model() as server:
        refusal = b'data: {"choices": [{"index": 0, "delta": {"refusal": "I cannot help with that."}}]}\n\n'
        server.will_send(lambda _: refusal, Wire.end)
        provider = OpenAIProvider(model="m", api_key="k", base_url=f"{server.url}/v1")
        assert [part async for part in provider.stream(ASKING)] == [Finish(usage=Usage(input_tokens=3, output_tokens=2), reason="refusal")]
        await provider.close()


@pytest.mark.parametrize("status", [302, 405, 407, 426])
def test_an_answer_of_something_that_is_no_model_is_not_the_questions_fault(status: int) -> None:
    assert type(faults.from_status("x", status)) is ProviderUnavailable


def test_a_vendors_long_words_are_cut_to_one_line() -> None:
    assert len(faults.brief("a\nb " * 900)) == 300
    assert "\n" not in faults.brief("a\nb")


@pytest.mark.parametrize(
    ("model", "effort", "limit"),
    [
        ("gpt-6.1-sol", "low", "max_completion_tokens"),
        ("gpt-5-mini", "low", "max_completion_tokens"),
        ("o3", "low", "max_completion_tokens"),
        ("gpt-5.2-chat-latest", None, "max_completion_tokens"),
        ("gpt-4-turbo", None, "max_tokens"),
        ("smollm2", None, "max_tokens"),
        ("gpt-4o", None, "max_tokens"),
    ],
)
async def test_a_compatible_server_is_asked_in_words_its_model_knows(model: str, effort: str | None, limit: str) -> None:
    async with fake_model() as server:
        server.will_say("x")
        provider = OpenAIProvider(model=model, api_key="k", base_url=f"{server.url}/v1")
        assert [part async for part in provider.stream(ASKING)]
        await provider.close()
        assert server.asked[0].get("reasoning_effort") == effort
        assert {"max_tokens", "max_completion_tokens"} & set(server.asked[0]) == {limit}


@pytest.mark.parametrize(
    ("model", "effort"), [("claude-sonnet-5-5", {"effort": "low"}), ("claude-sonnet-4-5", None), ("claude-3-5-sonnet-latest", None)]
)
async def test_a_claude_that_thinks_is_asked_to_think_briefly(model: str, effort: dict[str, str] | None) -> None:
    """An ageing model is asked without the SDK's warning, too: warnings are errors here."""
    async with fake_model() as server:
        server.will_say("x")
        provider = AnthropicProvider(model=model, api_key="k", base_url=server.url)
        assert [part async for part in provider.stream(ASKING)]
        await provider.close()
        assert server.asked[0].get("output_config") == effort


async def test_the_environment_cannot_send_the_key_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.example/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://elsewhere.example")
    one, other = OpenAIProvider(model="m", api_key="k"), AnthropicProvider(model="m", api_key="k")
    assert one._client.base_url.host == "api.openai.com"
    assert other._client.base_url.host == "api.anthropic.com"
    await one.close()
    await other.close()


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_server_that_repeats_the_secret_is_quoted_without_it(vendor: str, status: int) -> None:
    async with fake_model() as server:
        server.will_refuse(status, message="Incorrect API key provided: robbie:s3cret-key.")
        provider = {
            "openai": lambda: OpenAIProvider(model="m", api_key="robbie:s3cret-key", base_url=f"{server.url}/v1"),
            "anthropic": lambda: AnthropicProvider(model="m", api_key="robbie:s3cret-key", base_url=server.url),
            "ollama": lambda: OllamaProvider(model="m", url=server.url.replace("://", "://robbie:s3cret-key@")),
        }[vendor]()
        with pytest.raises(ProviderError, match="provided: \\[secret\\]") as caught:
            assert [part async for part in provider.stream(ASKING)]
        assert "s3cret-key" not in str(caught.value)
        await provider.close()


def test_a_word_for_no_key_is_no_secret() -> None:
    assert faults.brief("none of them", "none") == "none of them"


def test_no_provider_module_imports_its_sdk_by_itself() -> None:
    folder = Path(faults.__file__).parent
    for name in ("openai", "anthropic", "ollama", "local"):
        top = [line for line in (folder / f"{name}.py").read_text().splitlines() if line.startswith(("import ", "from "))]
        assert not [line for line in top if line.split()[1].split(".")[0] in {"openai", "anthropic", "ollama", "xllamacpp", "httpx"}]
