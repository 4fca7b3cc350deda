"""Embeddings over a wire: in calls of a bounded size, bounded in time and in dollars; whatever goes wrong is one error, without the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from bot.brain import wire_embedding
from bot.brain.budget import Budget
from bot.brain.embedders import make_embedder
from bot.brain.pricing import Prices
from bot.brain.wire_embedding import LEVEL, MOST_TEXTS, WireEmbedder
from bot.config import MemoryConfig
from bot.domain.errors import EmbeddingFailed
from storage.database import Database
from tests.clock import FakeClock
from tests.machine import free_port

KEY = "sk-very-secret"


@dataclass
class FakeServer:
    """FAKE: embeds on OpenAI's wire: a text's vector is its length and 1. It fails with `status`, answers `odd`, or is silent."""

    url: str = ""
    calls: list[list[str]] = field(default_factory=list)
    status: int = 200
    odd: Any = None
    is_silent: bool = False

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(body["input"])
        if self.is_silent:
            await asyncio.sleep(30)
        if self.status != 200:
            return web.json_response({"error": {"message": f"no, {request.headers.get('Authorization')}"}}, status=self.status)
        vectors = self.odd if self.odd is not None else [[float(len(text)), 1.0] for text in body["input"]]
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        return web.json_response({"object": "list", "data": data[::-1], "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}})


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake, app, port = FakeServer(), web.Application(), free_port()
    app.router.add_post("/v1/embeddings", fake.embed)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


@pytest.fixture(params=["ollama", "openai"])
async def embedder(request: pytest.FixtureRequest, server: FakeServer, database: Database) -> AsyncIterator[WireEmbedder]:
    async with over(server, database, request.param) as made:
        yield made


@asynccontextmanager
async def over(
    server: FakeServer, database: Database, provider: str, *, daily_usd: float = 5.0, model: str = "text-embedding-3-small"
) -> AsyncIterator[WireEmbedder]:
    config = MemoryConfig.model_validate(
        {"embedder": provider, "embedding_model": model, "base_url": server.url + ("/v1" if provider == "openai" else ""), "api_key": KEY}
    )
    budget = Budget(database=database, pricing=Prices.load(), daily_usd=daily_usd, timezone="UTC", clock=FakeClock())
    made = make_embedder(config, budget)
    assert isinstance(made, WireEmbedder)
    yield made
    await made.close()
    await made.close()


async def spent(database: Database) -> float:
    async with database.reading() as work:
        return await work.usage.spent_since(FakeClock().now().replace(hour=0))


@pytest.mark.either
async def test_texts_become_vectors_of_length_1_in_their_order(server, embedder):
    made = await embedder.embed(["a", "bbb", "half \ud800"])
    assert np.allclose(made, [np.array([n, 1]) / np.hypot(n, 1) for n in (1, 3, 6)], atol=1e-6)
    assert made.dtype == np.float32
    assert embedder.model.endswith("/text-embedding-3-small")
    assert (await embedder.embed([])).shape == (0, 2)


@pytest.mark.either
async def test_one_call_has_so_many_texts_at_most(server, embedder):
    assert len(await embedder.embed(["x"] * (2 * MOST_TEXTS + 1))) == 2 * MOST_TEXTS + 1
    assert [len(call) for call in server.calls] == [MOST_TEXTS, MOST_TEXTS, 1]


@pytest.mark.either
@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_refusal_is_one_error_without_the_key(server, embedder, status):
    server.status = status
    with pytest.raises(EmbeddingFailed) as error:
        await embedder.embed(["a"])
    assert KEY not in str(error.value)
    assert len(server.calls) == 1


@pytest.mark.either
@pytest.mark.parametrize("odd", [[], [[1.0], [2.0]], [[0.0, 0.0]], [[]], "nonsense", [["x"]], [[float("nan"), 1.0]]])
async def test_what_is_no_vector_for_each_text_is_an_error(server, embedder, odd):
    server.odd = odd
    with pytest.raises(EmbeddingFailed):
        await embedder.embed(["a"])


@pytest.mark.either
async def test_vectors_that_are_suddenly_of_another_length_are_an_error(server, embedder):
    await embedder.embed(["a"])
    server.odd = [[1.0, 2.0, 3.0]]
    with pytest.raises(EmbeddingFailed, match="another model"):
        await embedder.embed(["a"])


@pytest.mark.either
async def test_silence_is_not_waited_out(server, embedder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_embedding, "SECONDS", 0.05)
    monkeypatch.setattr(wire_embedding, "SECONDS_A_TEXT", 0.0)
    server.is_silent = True
    with pytest.raises(EmbeddingFailed, match="TimeoutError"):
        await embedder.embed(["a"])


@pytest.mark.either
async def test_nobody_there_is_an_error(server, database):
    server.url = f"http://127.0.0.1:{free_port()}"
    for provider in ("ollama", "openai"):
        async with over(server, database, provider) as made:
            with pytest.raises(EmbeddingFailed):
                await made.embed(["a"])


@pytest.mark.either
async def test_what_costs_money_is_paid_from_the_days_allowance(server, database):
    async with over(server, database, "openai") as paid, over(server, database, "ollama") as free:
        await paid.embed(["a text"])
        assert await spent(database) == pytest.approx(7 * 0.02 / 1e6)
        async with database.reading() as work:
            (call,) = await work.usage.since(FakeClock().now().replace(hour=0))
        assert (call.level, call.outcome, call.input_tokens) == (LEVEL, "answered", 7)
        await free.embed(["a text"])
        assert await spent(database) == pytest.approx(7 * 0.02 / 1e6)
    async with over(server, database, "openai", daily_usd=1e-7) as poor:
        with pytest.raises(EmbeddingFailed, match="BudgetExhausted"):
            await poor.embed(["a text"])
    assert len(server.calls) == 2


@pytest.mark.either
async def test_a_call_that_failed_costs_nothing(server, database):
    server.status = 500
    async with over(server, database, "openai") as paid:
        with pytest.raises(EmbeddingFailed):
            await paid.embed(["a text"])
    assert await spent(database) == 0
