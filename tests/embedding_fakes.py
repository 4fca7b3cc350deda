"""FAKES for tests of memory: an embedder that can fail, at everything or at some words; a model that loads, or does not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bot.brain.local_vectors import LocalModel, One
from bot.domain.errors import EmbeddingFailed


class FakeEmbedder:
    """FAKE: a text's vector is drawn by its checksum. `fails_at` are words at which it fails, `is_down` has it fail at everything;
    after `stops_after` texts the process ends."""

    dimension = 8

    def __init__(self, model: str = "fake/1") -> None:
        self.model = model
        self.asked: list[str] = []
        self.fails_at = ""
        self.fails_after: int | None = None
        self.stops_after: int | None = None
        self.is_down = False

    async def embed(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        if self.stops_after is not None and len(self.asked) > self.stops_after:
            raise asyncio.CancelledError
        is_late = self.fails_after is not None and len(self.asked) > self.fails_after
        if self.is_down or is_late or (self.fails_at and any(self.fails_at in text for text in texts)):
            raise EmbeddingFailed("FAKE: cannot")
        return np.stack([vector_of(text) for text in texts]) if texts else np.zeros((0, self.dimension), dtype=np.float32)

    def words(self, words: Sequence[str]) -> Any:
        return np.zeros((len(words), 1), dtype=np.float32)

    async def close(self) -> None:
        """Nothing is open."""


def vector_of(text: str) -> Any:
    """FAKE: of length 1, the same for the same text."""
    drawn = np.random.default_rng(zlib.crc32(text.encode(errors="replace"))).normal(size=FakeEmbedder.dimension).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


def fake_model(name: str, one: One | Exception, *, needs: str = "json") -> LocalModel:
    """FAKE: a model that embeds by *one*, or fails to load; it is installed if the package it *needs* is."""

    def load() -> One:
        if isinstance(one, Exception):
            raise one
        return one

    return LocalModel(name=name, id=f"fake-{name}", dimension=8, packages=(needs,), load=load)
