"""How memory is: what lacks a vector, what is damaged, and by which model it is found; for the doctor."""

from __future__ import annotations

from bot.brain.embedders import find_shortcoming
from bot.config import MemoryConfig
from bot.domain.errors import EmbeddingFailed
from bot.domain.finding import Finding, Status
from bot.domain.memory import Embedder
from bot.learning.indexing import HARMLESS, find_damaged
from storage.database import Database

INSTALL = "`make install`, or pip install 'robbie[embeddings]'"


async def examine_memory(database: Database, embedder: Embedder | None, config: MemoryConfig) -> Finding:
    """One finding; the model is asked for one word's vector. Raises StorageUnavailable."""
    lacking, damaged, trouble, shortcoming = 0, 0, "", find_shortcoming(config)
    try:
        if embedder and embedder.model:
            await embedder.embed([HARMLESS])
    except EmbeddingFailed as error:
        trouble = str(error)
    model = embedder.model if embedder else ""  # the next best, where the best does not load
    async with database.reading() as work:
        found = f"{await work.memories.count()} memories, found by their words {f'and by {model}' if model else 'alone'}"
        lacking = await work.memories.count_lacking(model) if model else 0
    damaged = len(await find_damaged(database, model)) if model else 0
    counted = [f"{lacking} have no vector of it"] * bool(lacking) + [f"{damaged} vectors are damaged"] * bool(damaged)
    told = [", ".join(counted)] * bool(counted)
    repair = "`robbie memory reindex`" if told else ""
    if trouble or (shortcoming and not told):
        told.append(trouble or f"{shortcoming}, not installed here")
        is_wire = config.embedder in ("ollama", "openai")
        repair = "correct [memory] in config.toml: embedding_model, base_url, api_key" if is_wire else INSTALL
    return Finding(part="memory", status=Status.WARN if told else Status.OK, detail="; ".join([found, *told]), repair=repair)
