"""What every provider promises, asked of each over real HTTP; the server at the other end is a fake that misbehaves as told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import HealthBoard
from bot.brain.providers.anthropic import AnthropicProvider
from bot.brain.providers.local import LocalProvider
from bot.brain.providers.ollama import OllamaProvider
from bot.brain.providers.openai import OpenAIProvider
from bot.domain.errors import (
    AllLevelsFailed,
    ContextTooLong,
    CredentialsRejected,
    ModelNotServed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StreamBroken,
    ToolsRefused,
)
from bot.domain.ports import Provider
from bot.domain.thought import Delta, Finish, Line, Prompt, Role, ToolCall, ToolSpec, Usage
from tests.clock import FakeClock
from tests.contracts.model_fakes import FakeModel, Wire, fake_model
from tests.machine import PATIENCE_SECONDS

KEY = "sk-secret-of-the-test"
WIRES = ("openai", "anthropic", "ollama", "local")
COUNTED = Usage(input_tokens=3, output_tokens=2)
"""What a FakeModel counts at its end marker."""


@pytest.fixture
async def server() -> AsyncIterator[FakeModel]:
    async with fake_model() as fake:
        yield fake


@pytest.fixture(params=WIRES)
async def provider(request: pytest.FixtureRequest, server: FakeModel, tmp_path: Path) -> AsyncIterator[Provider]:
    made = connect(request.param, server.url, tmp_path)
    yield made
    await made.close()


def connect(wire: str, url: str, folder: Path) -> Provider:
    """The provider of *wire*, pointed at *url*."""
    if wire == "openai":
        return OpenAIProvider(model="m-1", api_key=KEY, base_url=f"{url}/v1")
    if wire == "anthropic":
        return AnthropicProvider(model="m-1", api_key=KEY, base_url=url)
    if wire == "ollama":
        return OllamaProvider(model="m-1", url=url, context=4096)
    gguf = folder / "m-1.gguf"
    gguf.write_bytes(b"GGUF" + url.encode())
    return LocalProvider(path=gguf, model="m-1", context=4096, server=Path(__file__).with_name("fake_local_server.py"))


def asking(text: str = "how are you?") -> Prompt:
    lines = (Line(role=Role.USER, text="hi"), Line(role=Role.ASSISTANT, text="hello"), Line(role=Role.USER, text=text))
    return Prompt(system="You are Robbie.", brief_system="", lines=lines, max_output_tokens=77)


async def ask(provider: Provider, prompt: Prompt | None = None) -> list[Delta | Finish]:
    return [part async for part in provider.stream(prompt or asking())]


async def test_an_answer_is_deltas_and_then_one_finish(provider: Provider, server: FakeModel) -> None:
    server.will_say("Good ", "day ☀")
    parts = await ask(provider)
    assert parts == [
        Delta(text="Good "),
        Delta(text="day ☀"),
        Finish(usage=COUNTED, reason=reason(provider)),
    ]


def reason(provider: Provider) -> str:
    return "end_turn" if provider.provider == "anthropic" else "stop"


async def test_the_whole_prompt_and_the_output_limit_reach_the_model(provider: Provider, server: FakeModel) -> None:
    server.will_say("x")
    await ask(provider)
    (asked,) = server.asked
    said = [message["content"] for message in asked["messages"]]
    told = [asked["system"], *said] if provider.provider == "anthropic" else said
    assert told == ["You are Robbie.", "hi", "hello", "how are you?"]
    limits = (asked.get("max_tokens"), asked.get("max_completion_tokens"), asked.get("options", {}).get("num_predict"))
    assert 77 in limits
    assert asked["stream"] is True


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (401, "authentication_error", "invalid key", CredentialsRejected),
        (403, "permission_error", "not yours", CredentialsRejected),
        (400, "invalid_request_error", "Your credit balance is too low", CredentialsRejected),
        (404, "model_not_found", "model 'm-1' not found", ModelNotServed),
        (429, "insufficient_quota", "pay first", RateLimited),
        (500, "server_error", "oops", ProviderUnavailable),
        (503, "server_error", "busy", ProviderUnavailable),
        (529, "overloaded_error", "overloaded", ProviderUnavailable),
        (400, "context_length_exceeded", "maximum context length is 10 tokens", ContextTooLong),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextTooLong),
        (400, "exceed_context_size_error", "exceeds the available context size", ContextTooLong),
        (400, "invalid_request_error", "messages: wrong", RequestRejected),
        (422, "invalid_request_error", "unknown field", RequestRejected),
    ],
)
async def test_a_refusal_becomes_the_error_that_means_it(
    provider: Provider, server: FakeModel, status: int, kind: str, message: str, expected: type[ProviderError]
) -> None:
    server.will_refuse(status, kind=kind, message=message)
    with pytest.raises(expected) as caught:
        await ask(provider)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "1.5"}, 1.5, 1.5),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25, 0.25),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0, 0),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    provider: Provider, server: FakeModel, headers: dict[str, str], low: float, high: float
) -> None:
    server.will_refuse(429, kind="rate_limit_error", headers=headers)
    with pytest.raises(RateLimited) as caught:
        await ask(provider)
    assert caught.value.retry_after is not None
    assert low <= caught.value.retry_after <= high


async def test_a_rate_limit_may_name_a_moment(provider: Provider, server: FakeModel) -> None:
    server.will_refuse(429, headers={"retry-after": formatdate(time.time() + 3600, usegmt=True)})
    with pytest.raises(RateLimited) as caught:
        await ask(provider)
    assert 3500 <= (caught.value.retry_after or 0) <= 3600


@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}, {"retry-after": "-3"}, {"retry-after": "inf"}])
async def test_a_rate_limit_without_a_sensible_wait_says_none(provider: Provider, server: FakeModel, headers: dict[str, str]) -> None:
    server.will_refuse(429, headers=headers)
    with pytest.raises(RateLimited) as caught:
        await ask(provider)
    assert caught.value.retry_after is None


def begin(wire: Wire) -> bytes:
    return wire.begin() + wire.say("Good ")


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([begin], id="no end marker"),
        pytest.param([lambda _: b"\n"], id="nothing at all"),
        pytest.param([begin, Wire.malformed, Wire.end], id="a frame that is no JSON"),
        pytest.param([begin, Wire.nonsense, Wire.end], id="a frame of another shape"),
        pytest.param([begin, lambda wire: wire.fault("server_error", "runner died")], id="an error event"),
        pytest.param([lambda _: b"<html>proxy says no</html>"], id="a page instead of a stream"),
    ],
)
async def test_a_broken_stream_is_never_taken_for_an_answer(provider: Provider, server: FakeModel, parts: list[Any]) -> None:
    server.will_send(*parts)
    with pytest.raises(StreamBroken):
        await ask(provider)


async def test_a_connection_cut_after_the_first_token_breaks_the_stream(provider: Provider, server: FakeModel) -> None:
    server.will_send(begin, cut=True)
    with pytest.raises(StreamBroken):
        await ask(provider)


async def test_a_connection_cut_before_the_answer_is_an_absent_model(provider: Provider, server: FakeModel) -> None:
    server.will_send(cut=True)
    with pytest.raises(ProviderUnavailable):
        await ask(provider)


async def test_an_overload_told_inside_the_stream_is_an_overload(provider: Provider, server: FakeModel) -> None:
    server.will_send(begin, lambda wire: wire.fault("overloaded_error", "overloaded"))
    with pytest.raises(StreamBroken if provider.provider == "ollama" else ProviderUnavailable):
        await ask(provider)


@pytest.mark.parametrize("text", ["", " \n", "I would"], ids=["nothing", "blanks", "half"])
@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "ended"])
async def test_an_end_that_is_no_answer_is_judged_by_the_chain_and_paid_for(
    provider: Provider, server: FakeModel, is_refused: bool, text: str
) -> None:
    """A vendor charges for what it filtered, and for thoughts that came to no word."""
    server.will_say(text, reason={"anthropic": "refusal"}.get(provider.provider, "content_filter") if is_refused else "")
    health = HealthBoard(database=None, clock=FakeClock())
    rung = Rung(level="a", provider=provider, context=4096, max_output_tokens=9)
    chain = FallbackChain(rungs=[rung], health=health, budget=None, turn_seconds=9, hedge_seconds=1, stall_seconds=5)
    if text.strip() and not is_refused:
        (attempt,) = (await chain.complete(asking())).attempts
    else:
        with pytest.raises(AllLevelsFailed) as caught:
            await chain.complete(asking())
        (attempt,) = caught.value.attempts
        assert attempt.error == ("RequestRejected" if is_refused else "StreamBroken")  # type: ignore[attr-defined]
    assert attempt.usage == COUNTED  # type: ignore[attr-defined]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_refused_connection_is_an_absent_model(wire: str, tmp_path: Path, unused_tcp_port: int) -> None:
    provider = connect(wire, f"http://127.0.0.1:{unused_tcp_port}", tmp_path)
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await ask(provider)
    await provider.close()
    assert time.monotonic() - began < 20


async def test_closing_the_stream_hangs_up(provider: Provider, server: FakeModel) -> None:
    server.will_hang(after=begin)
    stream = provider.stream(asking())
    assert await anext(stream) == Delta(text="Good ")
    await stream.aclose()
    await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)


async def test_giving_up_before_the_first_token_hangs_up(provider: Provider, server: FakeModel) -> None:
    server.will_hang()
    first = asyncio.ensure_future(anext(provider.stream(asking())))
    while not server.asked:
        await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(server.hung_up.wait(), PATIENCE_SECONDS)


async def test_text_that_is_no_unicode_is_rejected_and_harms_nothing(provider: Provider, server: FakeModel) -> None:
    server.will_say("fine")
    with pytest.raises(RequestRejected):
        await ask(provider, asking("half an emoji: \ud83d"))
    assert await ask(provider)


async def test_neither_prompt_nor_key_is_logged(provider: Provider, server: FakeModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.will_say("my answer to you")
    await ask(provider, asking("my private question"))
    assert "private question" not in caplog.text
    assert KEY not in caplog.text


async def test_the_models_are_listed(provider: Provider) -> None:
    expected = ("m-1",) if provider.provider == "local" else ("m-1", "m-2")
    assert await provider.models() == expected


async def test_a_wrong_key_is_told_when_listing_too(provider: Provider, server: FakeModel) -> None:
    if provider.provider == "local":
        pytest.skip("the embedded model has no key")
    server.will_refuse(401)
    with pytest.raises(CredentialsRejected):
        await provider.models()


async def test_closing_twice_is_allowed(provider: Provider, server: FakeModel) -> None:
    server.will_say("x")
    await ask(provider)
    await provider.close()
    await provider.close()


# Tools, on the three wires that have them


@pytest.fixture(params=["openai", "anthropic", "ollama"])
async def caller(request: pytest.FixtureRequest, server: FakeModel, tmp_path: Path) -> AsyncIterator[Provider]:
    made = connect(request.param, server.url, tmp_path)
    yield made
    await made.close()


ADD = ToolSpec(
    name="add_task",
    description="Add a task.",
    parameters={"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
)
TITLES = tuple(ToolCall(id=f"call0100{n}", name="add_task", arguments=f'{{"title": "{n}"}}') for n in range(2))


def with_tools(*lines: Line) -> Prompt:
    """A question, and what followed it."""
    asked = (Line(role=Role.USER, text="add two"), *lines)
    return Prompt(system="You are Robbie.", brief_system="", lines=asked, max_output_tokens=77, tools=(ADD,))


def called(parts: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(part.name, part.values) for part in parts if isinstance(part, ToolCall)]


def calls_end(wire: Wire) -> bytes:
    return wire.end({"openai": "tool_calls", "anthropic": "tool_use"}.get(wire.name, ""))


async def test_calls_are_put_together_from_their_pieces_and_usage_is_kept(caller: Provider, server: FakeModel) -> None:
    server.will_send(
        begin,
        lambda wire: wire.call("add_task", '{"ti', 'tle": ', '"a"}'),
        lambda wire: wire.call("add_task", '{"title":"b"}', place=2),
        calls_end,
    )
    parts = await ask(caller, with_tools())
    assert parts[0] == Delta(text="Good ")
    assert called(parts) == [("add_task", {"title": "a"}), ("add_task", {"title": "b"})]
    assert isinstance(parts[-1], Finish)
    assert parts[-1].usage == COUNTED


async def test_a_stream_of_calls_alone_is_a_whole_answer(caller: Provider, server: FakeModel) -> None:
    server.will_send(lambda wire: wire.begin(), lambda wire: wire.call("add_task", '{"title": "a"}'), calls_end)
    rung = Rung(level="a", provider=caller, context=4096, max_output_tokens=9)
    health = HealthBoard(database=None, clock=FakeClock())
    chain = FallbackChain(rungs=[rung], health=health, budget=None, turn_seconds=9, hedge_seconds=1, stall_seconds=5)
    done = await chain.complete(with_tools())
    assert (done.text, [call.name for call in done.calls]) == ("", ["add_task"])
    assert done.attempts[0].usage == COUNTED


async def test_a_call_without_arguments_has_none(caller: Provider, server: FakeModel) -> None:
    server.will_send(lambda wire: wire.begin(), lambda wire: wire.call("add_task", "{}" if wire.name == "ollama" else ""), calls_end)
    assert called(await ask(caller, with_tools())) == [("add_task", {})]


@pytest.mark.parametrize("arguments", ['{"title": "a', "[1]", "nonsense"])
@pytest.mark.parametrize("reason", ["", "length"])
async def test_a_malformed_or_cut_call_breaks_the_stream(caller: Provider, server: FakeModel, arguments: str, reason: str) -> None:
    if caller.provider == "ollama":
        server.will_send(begin, lambda _: b'{"message": {"tool_calls": [{"function": {"name": "x", "arguments": "no"}}]}}\n', Wire.end)
    else:
        server.will_send(begin, lambda wire: wire.call("add_task", arguments), lambda wire: wire.end(reason))
    with pytest.raises(StreamBroken):
        await ask(caller, with_tools())


async def test_a_stream_that_is_cut_after_a_call_calls_nothing(caller: Provider, server: FakeModel) -> None:
    server.will_send(begin, lambda wire: wire.call("add_task", '{"title": "a"}'), cut=True)
    with pytest.raises(StreamBroken):
        await ask(caller, with_tools())


async def test_tools_calls_and_results_reach_the_model(caller: Provider, server: FakeModel) -> None:
    server.will_say("done")
    results = (Line(role=Role.TOOL, text=f"added {n}", result_of=call) for n, call in enumerate(TITLES))
    await ask(caller, with_tools(Line(role=Role.ASSISTANT, text="", calls=TITLES), *results))
    (asked,) = server.asked
    (tool,) = asked["tools"]
    function = tool if caller.provider == "anthropic" else tool["function"]
    assert (function["name"], function["description"]) == ("add_task", "Add a task.")
    assert function.get("input_schema", function.get("parameters")) == ADD.parameters
    wish, *told = [message for message in asked["messages"] if message["role"] != "system"][1:]
    if caller.provider == "anthropic":
        assert [(block["id"], block["input"]) for block in wish["content"]] == [
            ("call01000", {"title": "0"}),
            ("call01001", {"title": "1"}),
        ]
        (answer,) = told
        assert [(block["tool_use_id"], block["content"]) for block in answer["content"]] == [
            ("call01000", "added 0"),
            ("call01001", "added 1"),
        ]
        return
    assert len(wish["tool_calls"]) == 2
    assert [message["content"] for message in told] == ["added 0", "added 1"]
    assert told[0].get("tool_call_id", told[0].get("tool_name")) == ("call01000" if caller.provider == "openai" else "add_task")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "registry.ollama.ai/library/smollm:135m does not support tools"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (400, "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions."),
        (400, "Unrecognized request argument supplied: tools"),
        (404, "No endpoints found that support tool use."),
        (500, "tools param requires --jinja flag"),
    ],
)
async def test_a_refusal_of_tools_alone_is_told_apart(caller: Provider, server: FakeModel, status: int, message: str) -> None:
    server.will_refuse(status, message=message)
    with pytest.raises(ToolsRefused):
        await ask(caller, with_tools())
