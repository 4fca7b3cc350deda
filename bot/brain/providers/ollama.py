"""Models that an Ollama server runs."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from bot.brain.providers.calls import as_functions, whole_call
from bot.brain.providers.faults import MALFORMED, READ_SECONDS, cut_off, ending, from_event, from_status, quiet
from bot.domain.errors import ProviderError, RequestRejected, StreamBroken
from bot.domain.thought import Delta, Finish, Line, Prompt, ToolCall, Usage

if TYPE_CHECKING:
    from ollama import ChatResponse


class OllamaProvider:
    """One model of the Ollama server at *url*; *context* is the window it is loaded with (0 leaves it to the server)."""

    provider = "ollama"

    def __init__(self, *, model: str, url: str, context: int = 0, connect_seconds: float = 5.0) -> None:
        import httpx  # both are heavy: only for a level that names them
        import ollama

        quiet("httpx", "httpcore")
        self.model = model
        self._http = httpx
        self._sdk = ollama
        self._context = context
        parts = urlsplit(url)
        self._secret, _, host = parts.netloc.rpartition("@")  # a proxy before it may want a password
        self._who = f"ollama {model} at {parts._replace(netloc=host).geturl()}"
        self._client = ollama.AsyncClient(host=url, timeout=httpx.Timeout(READ_SECONDS, connect=connect_seconds))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | ToolCall | Finish, None]:
        """Ask *prompt*; see `Provider.stream`."""
        reason, usage, begun = "", None, False
        try:
            async with aclosing(await self._ask(prompt)) as parts:
                async for part in parts:
                    begun = True
                    if part.message.content:
                        yield Delta(text=part.message.content)
                    for call in part.message.tool_calls or ():  # each comes whole
                        yield whole_call(self._who, name=call.function.name, arguments=json.dumps(dict(call.function.arguments)))
                    if part.done:
                        reason = part.done_reason or "stop"
                        usage = _usage(part)
        except self._errors() as error:
            raise self._fault(error, begun=begun) from error
        yield ending(self._who, reason=reason, usage=usage)

    async def models(self) -> tuple[str, ...]:
        """The models this server has on disk; raises ProviderError."""
        try:
            return tuple(model.model for model in (await self._client.list()).models if model.model)
        except self._errors() as error:
            raise self._fault(error, begun=False) from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _ask(self, prompt: Prompt) -> AsyncGenerator[ChatResponse, None]:
        """Prepare the request; it is sent when the answer is first read."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages += [_message(line) for line in prompt.lines]
        tools = as_functions(prompt.tools) or None
        options = {"num_predict": prompt.max_output_tokens}
        if self._context:
            options["num_ctx"] = self._context  # else the server cuts the prompt to its own default, silently
        return cast(
            "AsyncGenerator[ChatResponse, None]", await self._client.chat(self.model, messages, tools=tools, stream=True, options=options)
        )

    def _errors(self) -> tuple[type[Exception], ...]:
        """What the SDK lets out: its own error, httpx's, the built-in ConnectionError, and what malformed frames raise."""
        return (self._sdk.ResponseError, self._http.HTTPError, ConnectionError, *MALFORMED)

    def _fault(self, error: Exception, *, begun: bool) -> ProviderError:
        """The error of Robbie's that *error* means; *begun* tells whether a part of the answer had come."""
        if isinstance(error, self._sdk.ResponseError):
            if error.status_code < 400:
                return from_event(self._who, text=str(error.error), secret=self._secret)
            answer = getattr(error.__context__, "response", None)  # the SDK drops the headers, its cause still has them
            headers = answer.headers if answer is not None else {}
            return from_status(self._who, error.status_code, text=str(error.error), headers=headers, secret=self._secret)
        if isinstance(error, UnicodeEncodeError):
            return RequestRejected(f"{self._who}: the prompt is no valid Unicode")
        if isinstance(error, (self._http.HTTPError, ConnectionError)):
            if isinstance(error, ConnectionError):
                error = ConnectionError("nobody answers there")  # the SDK's own words are advice on installing Ollama
            return cut_off(self._who, error, begun=begun, secret=self._secret)
        return StreamBroken(f"{self._who}: a malformed answer: {type(error).__name__}")


def _message(line: Line) -> dict[str, Any]:
    message: dict[str, Any] = {"role": line.role.value, "content": line.text}
    if line.calls:
        message["tool_calls"] = [{"function": {"name": call.name, "arguments": call.values}} for call in line.calls]
    if line.result_of:
        message["tool_name"] = line.result_of.name
    return message


def _usage(part: ChatResponse) -> Usage | None:
    """What the last part counted; a server that found the whole prompt in its cache may leave the count out."""
    if part.eval_count is None:
        return None
    return Usage(input_tokens=part.prompt_eval_count or 0, output_tokens=part.eval_count)
