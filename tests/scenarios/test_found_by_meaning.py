"""A whole message becomes something that is found by what it means, in a hub that goes its rounds; no model of answers is asked for it."""

from __future__ import annotations

import asyncio

import pytest

from bot.app import build
from bot.brain.local_vectors import WORDLLAMA
from bot.config import MemoryConfig
from bot.domain.memory import Scope
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, FakePush, House, config_of, rung_of


@pytest.mark.skipif(bool(WORDLLAMA.missing), reason="WordLlama is not installed: pip install 'robbie[embeddings]'")
async def test_what_was_said_is_found_without_its_words(database_url, tmp_path):
    config = config_of(database_url, tmp_path).model_copy(update={"memory": MemoryConfig(embedder="wordllama")})
    model, push = FakeModel(), FakePush()
    async with build(config, environ={}, rungs=[rung_of(model)], adapters=[push]) as app:
        owner = await app.prepare()
        async with app.hub, app.timekeeper:
            house = House(app=app, owner=owner, model=model, push=push)
            await house.asks("We adopted a puppy on Sunday")
            await house.asks("The car needs new tyres")
            asked = len(model.asked)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await _lacking(house):
                    await asyncio.sleep(0.01)
            best = (await app.rooms.recall.find("canine", Scope(user_id=owner.id), limit=2))[0]
            assert "puppy" in best.memory.text
            assert len(model.asked) == asked


async def _lacking(house: House) -> int:
    async with house.app.database.reading() as work:
        return await work.memories.count_lacking(WORDLLAMA.id)
