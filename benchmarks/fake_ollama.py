"""`python -m benchmarks.fake_ollama PORT`: a FAKE Ollama node, a process of its own; it speaks the wire at a token's pace."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "fake:8b"
GIGABYTES = 5
LOAD_SECONDS = 1.0
READ_SECONDS = 0.08
TOKEN_SECONDS = 0.02
CROWDING = 0.05
"""A token takes so much longer for each other answer under way, as on a card that works on them in batches."""


@dataclass
class FakeNode:
    """FAKE: one model, on disk or in memory, and the answers under way."""

    is_loaded: bool = False
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    under_way: int = 0

    async def load(self) -> None:
        """Take as long as a small model does."""
        async with self.loading:
            if not self.is_loaded:
                await asyncio.sleep(LOAD_SECONDS)
                self.is_loaded = True

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """As many words as `num_predict` asks for."""
        asked: dict[str, Any] = await request.json()
        if asked["model"] != MODEL:
            return web.json_response({"error": "model not found"}, status=404)
        self.under_way += 1
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await self.load()
            await asyncio.sleep(READ_SECONDS)
            await response.prepare(request)
            words = int(asked["options"]["num_predict"])
            for _ in range(words):
                await response.write(_frame(content="word "))
                await asyncio.sleep(TOKEN_SECONDS * (1 + CROWDING * (self.under_way - 1)))
            await response.write(_frame(content="", done=True, done_reason="stop", prompt_eval_count=9, eval_count=words))
        except ConnectionError:
            pass  # whoever asked has hung up
        finally:
            self.under_way -= 1
        return response

    async def generate(self, request: web.Request) -> web.Response:
        """An empty wish loads the model."""
        await self.load()
        return web.json_response({"model": MODEL, "response": "", "done": True, "done_reason": "load"})

    async def memory(self, _: web.Request) -> web.Response:
        """The models in memory."""
        return web.json_response({"models": [_entry()] if self.is_loaded else []})

    async def disk(self, _: web.Request) -> web.Response:
        """The models on disk."""
        return web.json_response({"models": [_entry()]})

    async def version(self, _: web.Request) -> web.Response:
        """Its version."""
        return web.json_response({"version": "0.0.0-FAKE"})


def _entry() -> dict[str, object]:
    return {"name": MODEL, "model": MODEL, "size": GIGABYTES * 10**9, "size_vram": GIGABYTES * 10**9}


def _frame(*, content: str, done: bool = False, **more: object) -> bytes:
    return json.dumps({"model": MODEL, "message": {"role": "assistant", "content": content}, "done": done, **more}).encode() + b"\n"


def make_app(node: FakeNode) -> web.Application:
    """The node's routes."""
    app = web.Application()
    app.router.add_post("/api/chat", node.chat)
    app.router.add_post("/api/generate", node.generate)
    app.router.add_get("/api/ps", node.memory)
    app.router.add_get("/api/tags", node.disk)
    app.router.add_get("/api/version", node.version)
    return app


if __name__ == "__main__":
    web.run_app(make_app(FakeNode()), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
