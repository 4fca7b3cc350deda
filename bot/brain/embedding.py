"""Turns texts into vectors on this machine: by the best model that is installed, loaded when first needed, unloaded when long unused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any

import structlog

from bot.brain.local_vectors import MINILM, WORDLLAMA, LocalModel, One, give_back_memory
from bot.domain.errors import EmbeddingFailed

log = structlog.get_logger(__name__)

LADDER = (MINILM, WORDLLAMA)
QUIET_SECONDS = 600.0
"""Unused for so long, a model is unloaded, which gives back about 90 MB; loading it takes half a second."""
WORDS_KEPT = 10_000
"""Vectors of words, at 1.2 KB each, made in 50 µs. With the pages of its file: at most 28 MB."""
WORKERS = 2
"""A question need not wait until a batch is through."""
SLICE, SLICE_SECONDS = 8, 60.0
"""Texts that a thread does before it asks whether to go on: a hub that stops waits a second for it at most. What takes longer hangs."""
LONG_TEXT = 500
"""Characters; what longer ones take while they are read (up to 60 MB) is given back after the slice, in 1 to 7 ms."""


class Ladder:
    """The models that are installed, the best first; one that cannot be loaded is left for the next."""

    def __init__(self, models: Sequence[LocalModel]) -> None:
        self.models = [each for each in models if not each.missing]
        self._loaded: tuple[LocalModel, One] | None = None
        self._loading = threading.Lock()

    def best(self) -> tuple[LocalModel, One]:
        """The best that loads, loaded. Raises EmbeddingFailed."""
        with self._loading:
            while self._loaded is None and self.models:
                try:
                    self._loaded = self.models[0], self.models[0].load()
                except Exception as error:  # noqa: BLE001  whatever ails a package, the next one is tried
                    log.warning("embedder.out", model=self.models.pop(0).name, error=str(error))
            if self._loaded is None:
                raise EmbeddingFailed("no model of meaning is installed that can be loaded")
            return self._loaded

    def unload(self) -> None:
        """Until it is asked for again."""
        self._loaded = None


class Words:
    """Vectors of single words, by WordLlama."""

    def __init__(self, model: LocalModel = WORDLLAMA) -> None:
        self._ladder = Ladder([model])
        self._vector = lru_cache(WORDS_KEPT)(lambda word: _of_length(self._ladder.best()[1](word), 1.0))

    def vectors(self, words: Sequence[str]) -> Any:
        """float32 (words, dimensions), each of length 1; zeros where there is no model: then no word is like another."""
        import numpy as np

        with suppress(EmbeddingFailed):
            if words:
                return np.stack([self._vector(word) for word in words])
        return np.zeros((len(words), 1), np.float32)

    def unload(self) -> None:
        """Until words are asked for again."""
        self._ladder.unload()
        self._vector.cache_clear()


class LocalEmbedder:
    """The best of these models that works; see `Ladder`. Vectors of words beside it."""

    def __init__(self, models: Sequence[LocalModel] = LADDER, *, words: Words | None = None, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._ladder = Ladder(models)
        self._words = words or Words()
        self._quiet_seconds = quiet_seconds
        self._unloading: asyncio.TimerHandle | None = None
        self.words = self._words.vectors

    @property
    def model(self) -> str:
        """The id of the best model that is not known to be out; empty where none is left."""
        return self._ladder.models[0].id if self._ladder.models else ""

    @property
    def dimension(self) -> int:
        """Of that model's vectors."""
        return self._ladder.models[0].dimension if self._ladder.models else 0

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension). Raises EmbeddingFailed."""
        import numpy as np

        self._stay()
        try:
            return np.concatenate([await self._slice(texts[at : at + SLICE]) for at in range(0, max(len(texts), 1), SLICE)])
        finally:
            self._stay()
            self._unloading = asyncio.get_running_loop().call_later(self._quiet_seconds, self.unload)

    def unload(self) -> None:
        """Give the memory back, until the next text."""
        self._stay()
        self._ladder.unload()
        self._words.unload()
        give_back_memory()

    async def close(self) -> None:
        """Let go of the models; may be called twice."""
        self.unload()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(WORKERS, thread_name_prefix="embedder")

    def _stay(self) -> None:
        if self._unloading is not None:
            self._unloading.cancel()
            self._unloading = None

    async def _slice(self, texts: Sequence[str]) -> Any:
        try:
            async with asyncio.timeout(SLICE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._embed, texts)
        except TimeoutError as error:
            raise EmbeddingFailed(f"{self.model} hangs: nothing came in {SLICE_SECONDS:g} s") from error

    def _embed(self, texts: Sequence[str]) -> Any:
        import numpy as np

        model, one = self._ladder.best()
        try:
            vectors = np.array([_of_length(one(sound(text)), model.length) for text in texts], np.float32).reshape(-1, model.dimension)
        except Exception as error:
            raise EmbeddingFailed(f"{model.name}: {type(error).__name__}: {error}") from error
        if max(map(len, texts), default=0) > LONG_TEXT:
            give_back_memory()
        if len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise EmbeddingFailed(f"{model.name} made {vectors.shape} of {len(texts)} texts, or what is no number")
        return vectors


def sound(text: str) -> str:
    """Without halves of characters, which no tokenizer and no wire takes."""
    return text.encode(errors="replace").decode()


def _of_length(vector: Any, length: float) -> Any:
    """The vector, made so long; one without any direction stays nothing."""
    import numpy as np

    return vector * (length / max(float(np.linalg.norm(vector)), 1e-12))
