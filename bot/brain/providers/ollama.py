"""Models that an Ollama server runs, and the server itself: what it has on disk and in memory, and having a model loaded."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp

from bot.brain.providers.calls import as_functions, whole_call
from bot.brain.providers.faults import MALFORMED, READ_SECONDS, brief, cut_off, ending, from_event, from_status, quiet
from bot.domain.errors import ProviderError, ProviderUnavailable, RequestRejected, StreamBroken
from bot.domain.thought import Delta, Finish, Line, Prompt, ToolCall, Usage

if TYPE_CHECKING:
    from ollama import ChatResponse

LOOK_SECONDS = 3.0
"""Bound on one question to a server about itself: one that takes longer to say how it is would be of no use either."""
LOAD_SECONDS = 180.0
"""Bound on loading a model in advance; 104 s were reported for a big one from a cold disk."""
KEEP_ALIVE = "15m"
"""How long a model that was loaded in advance stays if nobody asks it; then it leaves by itself."""
MOST_BYTES, MOST_MODELS, LONGEST_NAME, LARGEST_MODEL = 2**20, 500, 200, 2**50


class OllamaProvider:
    """One model of the Ollama server at *url*; *context* is the window it is loaded with (0 leaves it to the server)."""

    provider = "ollama"

    def __init__(self, *, model: str, url: str, context: int = 0, connect_seconds: float = 2.0) -> None:
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


async def list_models(url: str, path: str) -> dict[str, int]:
    """Models with their bytes (0: not told), on disk (*path* /api/tags) or in memory (/api/ps); whatever is no model is passed over.

    Whatever the server answers, this ends within LOOK_SECONDS, or raises ProviderError.
    """
    if not isinstance(listed := (await _call("GET", url, path)).get("models"), list):
        raise StreamBroken(f"{path} tells no models")
    entries = [entry for entry in listed[:MOST_MODELS] if isinstance(entry, dict)]
    named = [(entry.get("model") or entry.get("name"), entry.get("size")) for entry in entries]
    usable = [(name, size) for name, size in named if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME]
    return {name: size if isinstance(size, int) and 0 < size < LARGEST_MODEL else 0 for name, size in usable}


async def load_model(url: str, model: str, *, context: int) -> None:
    """Have a model loaded with the window it will be asked with: another one would have it loaded again. Raises ProviderError."""
    wish = {"model": model, "stream": False, "keep_alive": KEEP_ALIVE, "options": {"num_ctx": context}}
    await _call("POST", url, "/api/generate", wish, seconds=LOAD_SECONDS)


async def _call(method: str, url: str, path: str, body: object = None, *, seconds: float = LOOK_SECONDS) -> dict[str, Any]:
    bound = aiohttp.ClientTimeout(total=seconds, connect=LOOK_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(trust_env=True, timeout=bound) as session,
            session.request(method, url.rstrip("/") + path, json=body, allow_redirects=False) as answer,
        ):
            text = b""
            async for part in answer.content.iter_any():
                if len(text := text + part) > MOST_BYTES:
                    raise StreamBroken(f"its answer to {path} has no end")
        told = json.loads(text)
    except TimeoutError as error:
        raise ProviderUnavailable(f"nothing came from {path} in {seconds:g} s") from error
    except aiohttp.ClientConnectorError as error:
        raise ProviderUnavailable(f"nobody answers at {url}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ProviderUnavailable(brief(f"{type(error).__name__}: {error}")) from error
    except (ValueError, RecursionError) as error:
        raise StreamBroken(f"its answer to {path} is no JSON") from error
    if answer.status != HTTPStatus.OK or not isinstance(told, dict):
        raise from_status(path, answer.status, text=str(told)[:LONGEST_NAME])
    return told


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
