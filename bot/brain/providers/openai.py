"""Models behind OpenAI's chat completions: OpenAI itself, and every server that speaks the same wire."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from bot.brain.providers.calls import CallPieces, as_functions
from bot.brain.providers.faults import MALFORMED, READ_SECONDS, cut_off, ending, from_event, from_status, quiet
from bot.domain.errors import RequestRejected, StreamBroken
from bot.domain.thought import Delta, Finish, Line, Prompt, Role, ToolCall, Usage

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

_ADDRESS = "https://api.openai.com/v1"
# These think before they speak. "low" is the least effort that all of them take ("none" is refused since GPT-6.1), but for the variants.
_REASONS = re.compile(r"^(gpt-[5-9]|o[134])(?![a-z0-9])")
_NO_EFFORT = re.compile(r"-chat-latest|-pro|^o1-(mini|preview)")


class OpenAIProvider:
    """One model of OpenAI, or of a compatible server at *base_url*."""

    provider = "openai"

    def __init__(self, *, model: str, api_key: str, base_url: str = "", connect_seconds: float = 5.0) -> None:
        import openai  # two seconds to import: only for a level that names it

        quiet("openai", "httpx2", "httpcore2", "httpx", "httpcore")
        self.model = model
        self._sdk = openai
        self._secret = api_key
        self._who = f"openai {model}"
        self._reasons = bool(_REASONS.search(model))
        self._takes_effort = self._reasons and not _NO_EFFORT.search(model)
        self._is_compatible = bool(base_url)
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url or _ADDRESS,  # named, so that the environment cannot send the key elsewhere
            timeout=openai.Timeout(READ_SECONDS, connect=connect_seconds),
            max_retries=0,
        )
        self._completions = self._client.chat.completions  # loads its part of the SDK now, not while somebody waits

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | ToolCall | Finish, None]:
        """Ask *prompt*; see `Provider.stream`."""
        reason, usage, is_refused, calls = "", None, False, CallPieces(self._who)
        with self._faults(begun=False):
            stream = await self._ask(prompt)
        with self._faults(begun=True):
            async with stream:
                async for chunk in stream:
                    if chunk.usage:
                        usage = Usage(input_tokens=chunk.usage.prompt_tokens or 0, output_tokens=chunk.usage.completion_tokens or 0)
                    for choice in chunk.choices or ():
                        reason = choice.finish_reason or reason
                        is_refused = is_refused or bool(choice.delta.refusal)
                        if choice.delta.content:
                            yield Delta(text=choice.delta.content)
                        for piece in choice.delta.tool_calls or ():
                            if told := piece.function:
                                calls.add(piece.index or 0, id=piece.id, name=told.name, arguments=told.arguments)
        for call in calls.whole() if reason else ():
            yield call
        yield ending(self._who, reason="refusal" if reason and is_refused else reason, usage=usage)

    async def models(self) -> tuple[str, ...]:
        """The ids that the vendor's list holds for this key; raises ProviderError."""
        with self._faults(begun=False):
            return tuple([model.id async for model in self._client.models.list()])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def _ask(self, prompt: Prompt) -> AsyncStream[ChatCompletionChunk]:
        """Send the request; returns when the answer begins."""
        # A compatible server may know only the older name of the limit; OpenAI's own models want the newer.
        older = self._is_compatible and not self._reasons
        return await self._completions.create(
            model=self.model,
            messages=_messages(prompt),
            max_tokens=prompt.max_output_tokens if older else self._sdk.omit,
            max_completion_tokens=self._sdk.omit if older else prompt.max_output_tokens,
            reasoning_effort="low" if self._takes_effort else self._sdk.omit,
            tools=cast("Any", as_functions(prompt.tools)) or self._sdk.omit,
            stream=True,
            stream_options={"include_usage": True},
        )

    @contextmanager
    def _faults(self, *, begun: bool) -> Iterator[None]:
        """Turn what the SDK raises inside into Robbie's errors."""
        sdk = self._sdk
        try:
            yield
        except sdk.APIStatusError as error:
            codes = (error.code, error.type)
            raise from_status(
                self._who, error.status_code, codes=codes, text=error.message, headers=error.response.headers, secret=self._secret
            ) from error
        except sdk.APIConnectionError as error:
            raise cut_off(self._who, error, begun=begun, secret=self._secret) from error
        except sdk.APIError as error:
            raise from_event(self._who, codes=(error.code, error.type), text=error.message, secret=self._secret) from error
        except UnicodeEncodeError as error:
            raise RequestRejected(f"{self._who}: the prompt is no valid Unicode") from error
        except MALFORMED as error:
            raise StreamBroken(f"{self._who}: a malformed answer: {type(error).__name__}") from error


def _messages(prompt: Prompt) -> list[ChatCompletionMessageParam]:
    """*prompt* in this wire's words."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*messages, *(_message(line) for line in prompt.lines)]


def _message(line: Line) -> ChatCompletionMessageParam:
    if line.result_of:
        return {"role": "tool", "tool_call_id": line.result_of.id, "content": line.text}
    if line.role is not Role.ASSISTANT:
        return {"role": "user", "content": line.text}
    if not line.calls:
        return {"role": "assistant", "content": line.text}
    calls: Any = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.values)}} for call in line.calls
    ]
    return {"role": "assistant", "content": line.text or None, "tool_calls": calls}
