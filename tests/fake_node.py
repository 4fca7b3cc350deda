"""A FAKE Ollama node: an HTTP server on a free port of loopback that says of itself, and answers, what it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "fake:8b"


@dataclass
class FakeNode:
    """FAKE: an Ollama node that can lie, talk nonsense, or be away; it notes what it was made to load."""

    url: str = ""
    holds: list[object] = field(default_factory=list)
    has: list[object] = field(default_factory=lambda: [{"model": MODEL}])
    loaded: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    answer: Callable[[web.Request], Any] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.looks += request.path == "/api/ps"
        if self.answer is not None:
            response: web.StreamResponse = await self.answer(request)
            return response
        match request.path:
            case "/api/ps":
                return web.json_response({"models": self.holds})
            case "/api/tags":
                return web.json_response({"models": self.has})
            case "/api/generate":
                self.loaded.append(await request.json())
                self.holds = [{"model": MODEL, "size": 5 * 10**9}]
                return web.json_response({"done": True})
            case _:
                frames = [
                    {"message": {"role": "assistant", "content": "Good day"}, "done": False},
                    {"message": {"role": "assistant"}, "done": True},
                ]
                return web.Response(text="".join(json.dumps(frame) + "\n" for frame in frames))


@asynccontextmanager
async def served(node: FakeNode, port: int = 0) -> AsyncIterator[FakeNode]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", node.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield node
    finally:
        await runner.cleanup()
