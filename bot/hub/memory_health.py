"""How memory is: what lacks a vector, what is damaged, and by which model it is found; for the doctor."""

from __future__ import annotations

from bot.brain.embedders import find_shortcoming
from bot.config import MemoryConfig
from bot.domain.finding import Finding, Status
from bot.domain.memory import Embedder
from bot.learning.indexing import find_damaged
from storage.database import Database

PART = "memory"
INSTALL = "`make install`, or pip install 'robbie[embeddings]'"
REINDEX = "`robbie memory reindex`"


async def examine_memory(database: Database, embedder: Embedder | None, config: MemoryConfig) -> Finding:
    """One finding; no model is loaded or asked. Raises StorageUnavailable."""
    model, shortcoming = embedder.model if embedder else "", find_shortcoming(config)
    async with database.reading() as work:
        count = await work.memories.count()
        lacking = await work.memories.count_lacking(model) if model else 0
    damaged = len(await find_damaged(database, model)) if model else 0
    found = f"{count} memories, found by their words and by {model}" if model else f"{count} memories, found by their words alone"
    if lacking or damaged:
        troubles = [f"{lacking} have no vector of it"] * bool(lacking) + [f"{damaged} vectors are damaged"] * bool(damaged)
        return Finding(part=PART, status=Status.WARN, detail=f"{found}; {', '.join(troubles)}", repair=REINDEX)
    if shortcoming:
        return Finding(part=PART, status=Status.WARN, detail=f"{found}; {shortcoming}, not installed here", repair=INSTALL)
    return Finding(part=PART, status=Status.OK, detail=found)
