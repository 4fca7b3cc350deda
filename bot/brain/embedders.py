"""Which embedder config asks for, and why it is not a better one."""

from __future__ import annotations

from bot.brain.budget import Budget
from bot.brain.embedding import LADDER, LocalEmbedder
from bot.brain.wire_embedding import WireEmbedder
from bot.config import MemoryConfig
from bot.domain.memory import Embedder


def make_embedder(config: MemoryConfig, budget: Budget) -> Embedder | None:
    """The one that config names; None where none is wanted, or installed. Nothing is loaded, imported or contacted."""
    which = {"model": config.embedding_model, "provider": config.embedder}
    if config.embedder == "ollama":
        url = f"{(config.base_url or 'http://127.0.0.1:11434').rstrip('/')}/v1"
        return WireEmbedder(**which, base_url=url, api_key="", budget=budget)
    if config.embedder == "openai":
        key = config.api_key.get_secret_value() if config.api_key else ""
        return WireEmbedder(**which, base_url=config.base_url or "https://api.openai.com/v1", api_key=key, budget=budget)
    local = LocalEmbedder([model for model in LADDER if config.embedder in ("auto", model.name)])
    return local if local.model else None


def find_shortcoming(config: MemoryConfig) -> str:
    """Which packages a better way to find by meaning would need; empty where nothing is missing."""
    wanted = [model for model in LADDER if config.embedder in ("auto", model.name)]
    return "; ".join(f"{model.name} needs {', '.join(model.missing)}" for model in wanted if model.missing)
