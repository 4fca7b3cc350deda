"""A FAKE model server that speaks the three vendors' wires and llama.cpp's, and misbehaves exactly as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

FRAME_TYPES = {
    "openai": "text/event-stream",
    "local": "text/event-stream",
    "anthropic": "text/event-stream",
    "ollama": "application/x-ndjson",
}


class Wire:
    """One vendor's frames, as bytes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def say(self, text: str) -> bytes:
        """A frame that carries *text*."""
        if self.name == "ollama":
            return _line({"message": {"role": "assistant", "content": text}, "done": False})
        if self.name == "anthropic":
            return _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}})
        return _data({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def begin(self) -> bytes:
        """What comes before the first text."""
        if self.name != "anthropic":
            return b""
        message = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "m",
            "usage": {"input_tokens": 3, "output_tokens": 1},
        }
        block = {"index": 0, "content_block": {"type": "text", "text": ""}}
        return _event("message_start", {"message": message}) + _event("content_block_start", block)

    def end(self, reason: str = "") -> bytes:
        """The end marker, with 3 tokens in and 2 out."""
        if self.name == "ollama":
            counts = {"prompt_eval_count": 3, "eval_count": 2}
            return _line({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason or "stop", **counts})
        if self.name == "anthropic":
            delta = {"delta": {"stop_reason": reason or "end_turn"}, "usage": {"output_tokens": 2}}
            return _event("content_block_stop", {"index": 0}) + _event("message_delta", delta) + _event("message_stop", {})
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason or "stop"}]}
        return _data(last) + _data({"choices": [], "usage": usage}) + b"data: [DONE]\n\n"

    def call(self, name: str, *arguments: str, place: int = 1) -> bytes:
        """The frames of a tool's call, its arguments in pieces; Ollama sends each call whole."""
        its_id = f"id-{place}"
        if self.name == "ollama":
            function = {"name": name, "arguments": json.loads("".join(arguments))}
            return _line({"message": {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}, "done": False})
        if self.name == "anthropic":
            block = {"index": place, "content_block": {"type": "tool_use", "id": its_id, "name": name, "input": {}}}
            pieces = [{"index": place, "delta": {"type": "input_json_delta", "partial_json": piece}} for piece in arguments]
            deltas = b"".join(_event("content_block_delta", piece) for piece in pieces)
            return _event("content_block_start", block) + deltas + _event("content_block_stop", {"index": place})
        first = {"index": place, "id": its_id, "type": "function", "function": {"name": name, "arguments": ""}}
        rest = [{"index": place, "function": {"arguments": piece}} for piece in arguments]
        return b"".join(
            _data({"choices": [{"index": 0, "delta": {"tool_calls": [each]}, "finish_reason": None}]}) for each in (first, *rest)
        )

    def fault(self, kind: str, message: str) -> bytes:
        """An error event inside the stream."""
        error = {"type": kind, "code": kind, "message": message}
        if self.name == "ollama":
            return _line({"error": message})
        return _event("error", {"error": error}) if self.name == "anthropic" else _data({"error": error})

    def malformed(self) -> bytes:
        """A frame that is no JSON."""
        return b"{not json\n" if self.name == "ollama" else b"event: content_block_delta\ndata: {not json\n\n"

    def nonsense(self) -> bytes:
        """A frame that is JSON of quite another shape."""
        return b"[1, 2]\n" if self.name == "ollama" else b"event: content_block_delta\ndata: [1, 2]\n\n"

    def refusal(self, kind: str, message: str) -> dict[str, Any]:
        """The body of an answer other than 200."""
        if self.name == "ollama":
            return {"error": message}
        return {"type": "error", "error": {"type": kind, "code": kind, "message": message}}


Act = Callable[[Wire, web.Request], "AsyncIterator[bytes]"]


@dataclass
class FakeModel:
    """The server's address, what it was asked, and what it does next."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    act: Act | None = None
    status: int = 200
    kind: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def will_say(self, *texts: str, reason: str = "") -> None:
        """Answer with *texts*, whole."""

        async def act(wire: Wire, request: web.Request) -> AsyncIterator[bytes]:
            yield wire.begin()
            for text in texts:
                yield wire.say(text)
            yield wire.end(reason)

        self.act = act

    def will_send(self, *parts: Callable[[Wire], bytes], cut: bool = False) -> None:
        """Answer with the frames that *parts* make, then end the answer, or cut the connection."""

        async def act(wire: Wire, request: web.Request) -> AsyncIterator[bytes]:
            for part in parts:
                yield part(wire)
            if cut:
                await asyncio.sleep(0.02)  # let the frames leave first
                assert request.transport
                request.transport.abort()

        self.act = act

    def will_refuse(self, status: int, *, kind: str = "", message: str = "no", headers: Mapping[str, str] | None = None) -> None:
        """Answer with *status* and the vendor's error body."""
        self.status, self.kind, self.message, self.headers = status, kind, message, headers or {}

    def will_hang(self, *, after: Callable[[Wire], bytes] | None = None) -> None:
        """Send what *after* makes, or nothing at all, then say nothing more until the client hangs up."""

        async def act(wire: Wire, request: web.Request) -> AsyncIterator[bytes]:
            if after:
                yield after(wire)
            while request.transport and not request.transport.is_closing():
                await asyncio.sleep(0.005)
            self.hung_up.set()

        self.act = act


@asynccontextmanager
async def fake_model() -> AsyncIterator[FakeModel]:
    """A FakeModel on a free port of loopback."""
    fake = FakeModel()
    app = web.Application()
    for name, path in (("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages"), ("ollama", "/api/chat")):
        app.router.add_post(path, _chat(fake, Wire(name)))
    app.router.add_get("/v1/models", _models(fake))
    app.router.add_get("/api/tags", _models(fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def _chat(fake: FakeModel, wire: Wire) -> Callable[[web.Request], Any]:
    async def chat(request: web.Request) -> web.StreamResponse:
        fake.asked.append(await request.json())
        if fake.status != 200:
            return web.json_response(wire.refusal(fake.kind, fake.message), status=fake.status, headers=fake.headers)
        answer = web.StreamResponse(headers={"Content-Type": FRAME_TYPES[wire.name]})
        assert fake.act
        async for part in fake.act(wire, request):
            if not answer.prepared:
                await answer.prepare(request)
            await answer.write(part)
        return answer

    return chat


def _models(fake: FakeModel) -> Callable[[web.Request], Any]:
    async def models(request: web.Request) -> web.Response:
        if fake.status != 200:
            return web.json_response({"error": {"message": fake.message}}, status=fake.status)
        if request.path == "/api/tags":
            return web.json_response({"models": [{"model": "m-1"}, {"model": "m-2"}]})
        kind = {
            "type": "model",
            "object": "model",
            "display_name": "M",
            "created_at": "2026-01-01T00:00:00Z",
            "created": 1,
            "owned_by": "o",
        }
        return web.json_response({"object": "list", "data": [{"id": "m-1", **kind}, {"id": "m-2", **kind}], "has_more": False})

    return models


def _line(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame).encode() + b"\n"


def _data(frame: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **frame}).encode() + b"\n\n"


def _event(name: str, frame: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **frame})}\n\n".encode()
