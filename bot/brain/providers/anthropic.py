"""Models behind Anthropic's messages."""

from __future__ import annotations

import re
import warnings
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bot.brain.providers.calls import CallPieces
from bot.brain.providers.faults import MALFORMED, READ_SECONDS, cut_off, ending, from_event, from_status, quiet
from bot.domain.errors import RequestRejected, StreamBroken
from bot.domain.thought import Delta, Finish, Line, Prompt, Role, ToolCall, Usage

if TYPE_CHECKING:
    from anthropic import AsyncStream
    from anthropic.types import MessageParam, RawMessageStreamEvent

_ADDRESS = "https://api.anthropic.com"
# From Claude 5 on a model thinks unless told otherwise, each in its own way; "low" is what all of them take.
_THINKS = re.compile(r"^claude-[a-z]+-[5-9]")


class AnthropicProvider:
    """One model of Anthropic, or of a compatible server at *base_url*."""

    provider = "anthropic"

    def __init__(self, *, model: str, api_key: str, base_url: str = "", connect_seconds: float = 5.0) -> None:
        import anthropic  # two seconds to import: only for a level that names it
        import httpx2

        quiet("anthropic", "httpx2", "httpcore2", "httpx", "httpcore")
        # The SDK warns on every call to an ageing model; Robbie tells it once, from its catalog.
        warnings.filterwarnings("ignore", message="The model '.*' is deprecated", category=DeprecationWarning)
        self.model = model
        self._sdk = anthropic
        self._http = httpx2
        self._secret = api_key
        self._who = f"anthropic {model}"
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url or _ADDRESS,  # named, so that the environment cannot send the key elsewhere
            timeout=anthropic.Timeout(READ_SECONDS, connect=connect_seconds),
            max_retries=0,
        )
        self._messages = self._client.messages  # loads its part of the SDK now, not while somebody waits

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | ToolCall | Finish, None]:
        """Ask *prompt*; see `Provider.stream`."""
        reason, taken, given, ended, calls = "", 0, 0, False, CallPieces(self._who)
        with self._faults(begun=False):
            stream = await self._ask(prompt)
        with self._faults(begun=True):
            async with stream:
                async for event in stream:
                    if event.type == "content_block_delta" and event.delta.type == "text_delta" and event.delta.text:
                        yield Delta(text=event.delta.text)
                    elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                        calls.add(event.index, arguments=event.delta.partial_json)
                    elif event.type == "content_block_start" and event.content_block.type == "tool_use":
                        calls.add(event.index, id=event.content_block.id, name=event.content_block.name)
                    elif event.type == "message_start":
                        usage = event.message.usage
                        taken = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
                    elif event.type == "message_delta":
                        reason = event.delta.stop_reason or reason
                        given = event.usage.output_tokens or given
                    elif event.type == "message_stop":
                        ended = True
        for call in calls.whole() if ended else ():
            yield call
        usage_told = Usage(input_tokens=taken, output_tokens=given) if taken or given else None
        yield ending(self._who, reason=(reason or "end_turn") if ended else "", usage=usage_told)

    async def models(self) -> tuple[str, ...]:
        """The ids that the vendor's list holds for this key; raises ProviderError."""
        with self._faults(begun=False):
            return tuple([model.id async for model in self._client.models.list(limit=1000)])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def _ask(self, prompt: Prompt) -> AsyncStream[RawMessageStreamEvent]:
        """Send the request; returns when the answer begins."""
        return await self._messages.create(
            model=self.model,
            system=prompt.system or self._sdk.omit,
            messages=_messages(prompt),
            tools=[{"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)} for tool in prompt.tools]
            or self._sdk.omit,
            max_tokens=prompt.max_output_tokens,
            output_config={"effort": "low"} if _THINKS.match(self.model) else self._sdk.omit,
            stream=True,
        )

    @contextmanager
    def _faults(self, *, begun: bool) -> Iterator[None]:
        """Turn what the SDK raises inside into Robbie's errors."""
        sdk = self._sdk
        try:
            yield
        except sdk.APIStatusError as error:
            codes, text = (error.type,), error.api_message or error.message
            if error.status_code < 400:  # the SDK gives an error event the status of the stream it came in
                raise from_event(self._who, codes=codes, text=text, secret=self._secret) from error
            raise from_status(
                self._who, error.status_code, codes=codes, text=text, headers=error.response.headers, secret=self._secret
            ) from error
        except (sdk.APIConnectionError, self._http.HTTPError) as error:  # a cut stream comes out of the SDK as it was
            raise cut_off(self._who, error, begun=begun, secret=self._secret) from error
        except UnicodeEncodeError as error:
            raise RequestRejected(f"{self._who}: the prompt is no valid Unicode") from error
        except MALFORMED as error:
            raise StreamBroken(f"{self._who}: a malformed answer: {type(error).__name__}") from error


def _messages(prompt: Prompt) -> list[MessageParam]:
    """*prompt* in this wire's words; the standing words travel apart."""
    messages: list[MessageParam] = []
    for is_result, lines in groupby(prompt.lines, key=lambda line: line.result_of is not None):
        if is_result:  # all results of a round are one message
            messages.append({"role": "user", "content": [_result(line) for line in lines]})
        else:
            messages += [_message(line) for line in lines]
    return messages


def _message(line: Line) -> MessageParam:
    if line.role is not Role.ASSISTANT:
        return {"role": "user", "content": line.text}
    if not line.calls:
        return {"role": "assistant", "content": line.text}
    # What it thought before a call is not sent back: from Claude 5 on it may be left out, and another model's would be refused.
    text: list[Any] = [{"type": "text", "text": line.text}] if line.text.strip() else []
    return {
        "role": "assistant",
        "content": text + [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.values} for call in line.calls],
    }


def _result(line: Line) -> Any:
    return {"type": "tool_result", "tool_use_id": line.result_of.id if line.result_of else "", "content": line.text}
