"""Which embedder config asks for, and why it is not a better one."""

from __future__ import annotations

from functools import partial

from bot.brain.budget import Budget
from bot.brain.embedding import LADDER, LocalEmbedder, Words
from bot.brain.wire_embedding import WireEmbedder, ollama_wire, openai_wire
from bot.config import MemoryConfig
from bot.domain.memory import Embedder

OLLAMA = "http://127.0.0.1:11434"


def make_embedder(config: MemoryConfig, budget: Budget) -> Embedder | None:
    """The one that config names; None where none is wanted, or installed. Nothing is loaded, imported or contacted."""
    if config.embedder in ("ollama", "openai"):
        key = config.api_key.get_secret_value() if config.api_key else ""
        is_ollama = config.embedder == "ollama"
        make = partial(ollama_wire, config.base_url or OLLAMA) if is_ollama else partial(openai_wire, key, config.base_url)
        return WireEmbedder(model=config.embedding_model, provider=config.embedder, make=make, budget=budget, words=Words())
    local = LocalEmbedder([model for model in LADDER if config.embedder in ("auto", model.name)])
    return local if local.model else None


def find_shortcoming(config: MemoryConfig) -> str:
    """Which packages a better way to find by meaning would need; empty where nothing is missing."""
    wanted = [model for model in LADDER if config.embedder in ("auto", model.name)]
    return "; ".join(f"{model.name} needs {', '.join(model.missing)}" for model in wanted if model.missing)
