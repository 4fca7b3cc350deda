"""Turns texts into vectors on this machine: by the best model that is installed, loaded when first needed, unloaded when long unused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import structlog

from bot.brain.local_vectors import MINILM, WORDLLAMA, LocalModel, One, give_back_memory
from bot.domain.errors import EmbeddingFailed

log = structlog.get_logger(__name__)

LADDER = (MINILM, WORDLLAMA)
QUIET_SECONDS = 600.0
"""Unused for so long, a model is unloaded, which gives back about 90 MB; loading it takes half a second."""
WORDS_KEPT = 10_000
"""Vectors of words, at 1.2 KB each; when there are more, all are made anew, at 50 µs each. With the pages of its file: at most 28 MB."""
WORKERS = 2
"""A question need not wait until a batch is through."""
SLICE = 8
"""Texts that a thread does before it asks whether to go on: a hub that stops waits a second for it at most."""
LONG_TEXT = 500
"""Characters; what longer ones take while they are read (up to 60 MB) is given back after the batch, in 1 to 7 ms."""


class Words:
    """Vectors of single words, by WordLlama."""

    def __init__(self, model: LocalModel = WORDLLAMA) -> None:
        self._model = model
        self._one: One | None = None
        self._is_out = bool(model.missing)
        self._known: dict[str, Any] = {}

    def vectors(self, words: Sequence[str]) -> Any:
        """float32 (words, dimensions), each of length 1; zeros where there is no model: then no word is like another."""
        import numpy as np

        one = self._loaded()
        if not words or one is None:
            return np.zeros((len(words), 1), dtype=np.float32)
        found: dict[str, Any] = {word: self._known.get(word) for word in words}
        for word in [each for each, vector in found.items() if vector is None]:
            found[word] = self._known[word] = _of_length(one(word), 1.0)
        if len(self._known) > WORDS_KEPT:
            self._known.clear()
        return np.stack([found[word] for word in words])

    def unload(self) -> None:
        """Until words are asked for again."""
        self._one = None
        self._known.clear()

    def _loaded(self) -> One | None:
        if self._one is None and not self._is_out:
            try:
                self._one = self._model.load()
            except Exception as error:  # noqa: BLE001  whatever ails a package, recall goes on without it
                self._is_out = True
                log.warning("embedder.out", model=self._model.name, error=str(error))
        return self._one


class LocalEmbedder:
    """The best of these models that is installed and can be loaded; one that cannot is left for the next. Vectors of words beside it."""

    def __init__(self, models: Sequence[LocalModel] = LADDER, *, words: Words | None = None, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._models = [each for each in models if not each.missing]
        self._words = words or Words()
        self._quiet_seconds = quiet_seconds
        self._loaded: tuple[LocalModel, One] | None = None
        self._loading = threading.Lock()
        self._unloading: asyncio.TimerHandle | None = None

    @property
    def model(self) -> str:
        """The id of the best model that is not known to be out; empty where none is left."""
        return self._models[0].id if self._models else ""

    @property
    def dimension(self) -> int:
        """Of that model's vectors."""
        return self._models[0].dimension if self._models else 0

    @property
    def is_loaded(self) -> bool:
        """Whether a model is in memory."""
        return self._loaded is not None

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension). Raises EmbeddingFailed."""
        import numpy as np

        loop = asyncio.get_running_loop()
        self._stay()
        try:
            slices = [list(texts[at : at + SLICE]) for at in range(0, max(len(texts), 1), SLICE)]
            return np.concatenate([await loop.run_in_executor(self._threads, self._embed, each) for each in slices])
        finally:
            self._stay()
            self._unloading = loop.call_later(self._quiet_seconds, self.unload)

    def words(self, words: Sequence[str]) -> Any:
        """float32 (words, dimensions), or zeros; see `Words.vectors`."""
        return self._words.vectors(words)

    def unload(self) -> None:
        """Give the memory back, until the next text."""
        self._stay()
        self._loaded = None
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

    def _embed(self, texts: Sequence[str]) -> Any:
        import numpy as np

        model, one = self._best()
        try:
            vectors = (
                np.stack([_of_length(one(sound(text)), model.length) for text in texts])
                if texts
                else np.zeros((0, model.dimension), np.float32)
            )
        except Exception as error:
            raise EmbeddingFailed(f"{model.name}: {type(error).__name__}: {error}") from error
        if max(map(len, texts), default=0) > LONG_TEXT:
            give_back_memory()
        if vectors.shape != (len(texts), model.dimension) or not np.isfinite(vectors).all():
            raise EmbeddingFailed(f"{model.name} made {vectors.shape} of {len(texts)} texts, or what is no number")
        return vectors.astype(np.float32)

    def _best(self) -> tuple[LocalModel, One]:
        """The best model that loads. Raises EmbeddingFailed."""
        with self._loading:
            while self._loaded is None and self._models:
                try:
                    self._loaded = self._models[0], self._models[0].load()
                except Exception as error:  # noqa: BLE001  whatever ails a package, the next one is tried
                    log.warning("embedder.out", model=self._models.pop(0).name, error=str(error))
            if self._loaded is None:
                raise EmbeddingFailed("no model of meaning is installed that can be loaded")
            return self._loaded


def sound(text: str) -> str:
    """Without halves of characters, which no tokenizer and no wire takes."""
    return text.encode(errors="replace").decode()


def _of_length(vector: Any, length: float) -> Any:
    """The vector, made so long; one without any direction stays nothing."""
    import numpy as np

    return vector * (length / max(float(np.linalg.norm(vector)), 1e-12))
