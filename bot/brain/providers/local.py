"""The embedded model: llama.cpp in a child process, which is started when first asked and can be lost without losing the hub."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import aiohttp

from bot.brain import gguf
from bot.brain.providers.faults import MALFORMED, READ_SECONDS, brief, cut_off, ending, from_event, from_status
from bot.domain.errors import ModelFileError, ProviderUnavailable, RequestRejected, StreamBroken
from bot.domain.thought import Delta, Finish, Prompt, Usage

_SERVER = Path(__file__).with_name("local_server.py")
_LOAD_SECONDS = 600.0  # tens of GB from a slow disk; no turn waits so long, but a later one finds it loaded
_STOP_SECONDS = 3.0
STILL_SPEAKING_SECONDS = 10.0
"""Between two words of an answer, or two answers: the next question has to be read first."""
# Tried on SmolLM2-135M over a dozen everyday questions: with any heat at all a first answer may be nonsense where the coldest is right,
# without the penalty it falls into loops, and a harder penalty forbids it the very words of the question.
_SAMPLING = {"temperature": 0.0, "repeat_penalty": 1.1, "repeat_last_n": 64}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Child:
    """A running model server."""

    process: asyncio.subprocess.Process
    address: str
    key: str
    log: IO[bytes]

    @property
    def is_alive(self) -> bool:
        """Whether it still runs and was not told to end."""
        return self.process.returncode is None and self.process.stdin is not None and not self.process.stdin.is_closing()

    def dismiss(self) -> None:
        """Let it end; nobody asks it again."""
        if self.process.stdin:
            self.process.stdin.close()

    def last_words(self) -> str:
        """What it said on stderr at the end."""
        size = self.log.seek(0, 2)
        self.log.seek(max(size - 300, 0))
        return brief(self.log.read().decode(errors="replace"))


class LocalProvider:
    """The GGUF at *path* with a window of *context* tokens; unloaded after *idle_seconds* without a question (0: never)."""

    provider = "local"

    def __init__(self, *, path: Path, model: str, context: int, idle_seconds: float = 0, server: Path = _SERVER) -> None:
        self.model = model
        self._path = path
        self._context = context
        self._idle_seconds = idle_seconds
        self._server = server
        self._who = f"local {model}"
        self._load: asyncio.Task[_Child] | None = None
        self._child: _Child | None = None
        self._http: aiohttp.ClientSession | None = None
        self._asking = 0
        self._spoke_at = -STILL_SPEAKING_SECONDS
        self._idle: asyncio.TimerHandle | None = None

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish, None]:
        """Ask *prompt*; see `Provider.stream`. The first question has the model loaded; questions are answered one at a time."""
        reason, usage, begun = "", None, False
        self._asking += 1
        try:
            async with aclosing(self._frames(prompt)) as frames:
                async for frame in frames:
                    usage = _usage(frame) or usage
                    for choice in frame["choices"]:
                        reason = choice["finish_reason"] or reason
                        if text := choice["delta"].get("content"):
                            begun, self._spoke_at = True, time.monotonic()
                            yield Delta(text=text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise cut_off(self._who, error, begun=begun) from error
        except UnicodeEncodeError as error:
            raise RequestRejected(f"{self._who}: the prompt is no valid Unicode") from error
        except MALFORMED as error:
            raise StreamBroken(f"{self._who}: a malformed answer: {type(error).__name__}") from error
        finally:
            self._asking -= 1
            self._wait_for_idleness()
        yield ending(self._who, reason=reason, usage=usage)

    async def warm(self) -> None:
        """Have the model loaded before it is asked, if it can be."""
        with suppress(ProviderUnavailable):
            await self._running()

    @property
    def is_busy(self) -> bool:
        """Whether the model is being loaded, or has spoken to somebody a moment ago while others wait."""
        has_spoken = time.monotonic() - self._spoke_at < STILL_SPEAKING_SECONDS
        return self.is_loading or (self._asking > 1 and has_spoken)

    @property
    def is_occupied(self) -> bool:
        """Whether the model has to be loaded first, or somebody is being answered."""
        return self._asking > 0 or self._child is None or not self._child.is_alive

    @property
    def is_loading(self) -> bool:
        """Whether the model is being loaded."""
        return self._load is not None and not self._load.done()

    async def models(self) -> tuple[str, ...]:
        """The model's name, where its file is whole and can be run; else ProviderUnavailable tells what to do."""
        try:
            await asyncio.to_thread(gguf.verify, self._path)
        except ModelFileError as error:
            raise ProviderUnavailable(f"{self._who}: {error}") from error
        if find_spec("xllamacpp") is None:
            raise ProviderUnavailable(f"{self._who}: llama.cpp is not installed; run `pip install 'robbie[local]'`")
        return (self.model,)

    async def close(self) -> None:
        """Unload the model and end its process; returns when it is gone."""
        if self._idle:
            self._idle.cancel()
        load, self._load = self._load, None
        if load:
            load.cancel()  # whoever waits for it learns that
            await asyncio.gather(load, return_exceptions=True)
        await self._let_go()
        if self._http:
            await self._http.close()
            self._http = None

    async def _frames(self, prompt: Prompt) -> AsyncGenerator[dict[str, Any], None]:
        """The JSON frames of the answer to *prompt*, up to its [DONE]; hangs up at the end, so that llama.cpp stops thinking."""
        child = await self._running()
        try:
            async with self._session().post(f"{child.address}/v1/chat/completions", **_request(prompt, child.key)) as answer:
                try:
                    if answer.status != 200:
                        raise await self._refusal(answer)
                    async for line in answer.content:
                        data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                        if data == b"[DONE]":
                            return
                        if data:
                            yield self._checked(json.loads(data))
                finally:
                    answer.close()
        except (aiohttp.ClientError, TimeoutError, OSError):
            child.dismiss()  # it is dead or deaf, and may be seen to be so only in a moment
            raise

    async def _running(self) -> _Child:
        """The child, loaded first where there is none: once for all who ask meanwhile, and to its end though they stop waiting.

        So a model that takes longer than a turn is there for a later one. A load that failed is told to those who wait for it, or to
        who asks next; after that it is tried again.
        """
        if self._child and self._child.is_alive:
            return self._child
        load = self._load = self._load or asyncio.create_task(self._fill(), name=f"load {self.model}")
        await asyncio.wait([load])  # which leaves it alone when the one who waits is called off
        if self._load is load:
            self._load = None
        if load.cancelled():
            raise ProviderUnavailable(f"{self._who}: it was closed")
        return load.result()

    async def _fill(self) -> _Child:
        """Put a running child in the place of none, or of a dead one."""
        await self._let_go()
        try:
            gguf.check(self._path)
        except ModelFileError as error:
            raise ProviderUnavailable(f"{self._who}: {error}") from error
        child = self._child = await self._start()
        self._load = None
        self._wait_for_idleness()
        return child

    async def _let_go(self) -> None:
        """End the child, if there is one; returns when it is gone."""
        child, self._child = self._child, None
        if child:
            await _end(child.process)
            child.log.close()

    async def _start(self) -> _Child:
        """Load the model in a new process."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the child)
        process, child = None, None
        try:
            process = await _spawn(self._server, log)
            child = await asyncio.wait_for(self._introduce(process, log), _LOAD_SECONDS)
        except (TimeoutError, OSError, *MALFORMED) as error:
            raise ProviderUnavailable(f"{self._who}: the model server did not start: {error!r}") from error
        finally:
            if child is None:
                if process is not None:
                    await _end(process)
                log.close()
        return child

    async def _introduce(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> _Child:
        """Tell the new process what to load, and wait until it has."""
        assert process.stdin
        assert process.stdout
        key = secrets.token_urlsafe(24)
        settings = {"path": str(self._path), "context": self._context, "key": key}
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        with suppress(ConnectionError):  # it died first: its own last words say more
            await process.stdin.drain()
        line = await process.stdout.readline()
        told = json.loads(line) if line else {"error": "the model server died"}
        child = _Child(process=process, address=told.get("address", ""), key=key, log=log)
        if not child.address:
            with suppress(TimeoutError):  # llama.cpp writes its reasons late
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            raise ProviderUnavailable(f"{self._who}: {told.get('error')}; {child.last_words()}")
        return child

    def _checked(self, frame: dict[str, Any]) -> dict[str, Any]:
        """*frame*, unless it tells of an error."""
        if "error" in frame:
            error = frame["error"]
            raise from_event(self._who, codes=(error.get("type"),), text=str(error.get("message", "")))
        return frame

    async def _refusal(self, answer: aiohttp.ClientResponse) -> Exception:
        """What an answer other than 200 means."""
        error = (await answer.json(content_type=None)).get("error", {})
        return from_status(self._who, answer.status, codes=(error.get("type"),), text=str(error.get("message", "")), headers=answer.headers)

    def _session(self) -> aiohttp.ClientSession:
        """The HTTP client, made inside the loop that uses it."""
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=READ_SECONDS)
            # llama.cpp closes each connection after its answer: one from a pool would fail now and then.
            self._http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True))
        return self._http

    def _wait_for_idleness(self) -> None:
        """Unload the model when nobody asks for a while; each question begins the wait anew."""
        if self._idle:
            self._idle.cancel()
        if self._idle_seconds and not self._asking:
            self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._unload)

    def _unload(self) -> None:
        """Let the child end, if nobody is being answered; the next question starts another."""
        if self._child and not self._asking:
            self._child.dismiss()


async def _spawn(server: Path, log: IO[bytes]) -> asyncio.subprocess.Process:
    """The model server's process, which has loaded nothing yet."""
    command = (sys.executable, "-P", str(server))  # -P: this folder's openai.py must not hide the SDK
    pipe = asyncio.subprocess.PIPE
    # A session of its own: Ctrl-C reaches the hub alone, which then drains before it ends its children.
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=log, start_new_session=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process, which holds nothing worth saving; returns when it is gone."""
    if process.stdin:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _request(prompt: Prompt, key: str) -> dict[str, Any]:
    """The HTTP request for *prompt*, as aiohttp's arguments."""
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages += [{"role": line.role.value, "content": line.text} for line in prompt.lines]
    body = {
        "messages": messages,
        "max_tokens": prompt.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        **_SAMPLING,
    }
    data = json.dumps(body, ensure_ascii=False).encode()
    return {"data": data, "headers": {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}}


def _usage(frame: dict[str, Any]) -> Usage | None:
    """What the last frame counted."""
    told = frame.get("usage")
    return Usage(input_tokens=told["prompt_tokens"], output_tokens=told["completion_tokens"]) if told else None
