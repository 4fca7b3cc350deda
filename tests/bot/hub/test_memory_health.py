"""What the doctor says of memory: what lacks a vector, what is damaged, and why it is not found better."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bot.brain import embedders
from bot.config import MemoryConfig
from bot.domain.finding import Status
from bot.hub.memory_health import examine_memory
from bot.learning.importing import Importing
from tests.bot.learning.test_importing import said
from tests.embedding_fakes import FakeEmbedder, fake_model, vector_of

pytestmark = pytest.mark.either

NOBODY = MemoryConfig(embedder="none")


async def bring(stage, count: int, embedder: FakeEmbedder | None) -> None:
    lines = [(number, said(stage, number)) for number in range(count)]
    await Importing(database=stage.database, embedder=embedder).bring(stage.allan.person, lines, lambda done, total: None)


async def test_a_memory_that_is_well(stage):
    await bring(stage, 3, FakeEmbedder())
    finding = await examine_memory(stage.database, FakeEmbedder(), NOBODY)
    assert (finding.status, finding.detail) == (Status.OK, "3 memories, found by their words and by fake/1")


async def test_what_lacks_a_vector_or_has_a_damaged_one_is_counted_with_its_repair(stage):
    await bring(stage, 2, FakeEmbedder())
    async with stage.database.unit_of_work() as work:
        short = "x'00'" if stage.database.file else "'[1]'"
        await work.connection.execute(text(f"UPDATE memory_vectors SET vector = {short}"))
    await bring(stage, 5, None)
    finding = await examine_memory(stage.database, FakeEmbedder(), NOBODY)
    assert finding.status is Status.WARN
    assert finding.detail.endswith("3 have no vector of it, 2 vectors are damaged")
    assert finding.repair == "`robbie memory reindex`"
    assert "5 have no vector" in (await examine_memory(stage.database, FakeEmbedder("fake/2"), NOBODY)).detail


async def test_a_better_way_that_is_not_installed_is_named_with_its_line(stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedders, "LADDER", (fake_model("best", vector_of, needs="no_such_package"), fake_model("next", vector_of)))
    finding = await examine_memory(stage.database, FakeEmbedder(), MemoryConfig())
    assert finding.status is Status.WARN
    assert "best needs no_such_package, not installed" in finding.detail
    assert "robbie[embeddings]" in finding.repair
    alone = await examine_memory(stage.database, None, NOBODY)
    assert (alone.status, alone.detail) == (Status.OK, "0 memories, found by their words alone")


async def test_a_model_that_does_not_answer_is_told_with_its_repair(stage):
    embedder = FakeEmbedder()
    embedder.is_down = True
    vendor = MemoryConfig.model_validate({"embedder": "openai", "embedding_model": "m", "api_key": "k"})
    finding = await examine_memory(stage.database, embedder, vendor)
    assert (finding.status, finding.detail.split("; ")[-1]) == (Status.WARN, "FAKE: cannot")
    assert "api_key" in finding.repair
