"""The words of remembering: who may hear what, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log
from typing import Any, Protocol
from uuid import UUID


class Trust(StrEnum):
    """Whose words a memory holds: the person's own, Robbie's, a stranger's (or made of those); intimate is what was said in that tone."""

    OWN = "own"
    ROBBIE = "robbie"
    OUTSIDE = "outside"
    INTIMATE = "intimate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What may be recalled here: memories of one person, of these kinds of trust; where others read along, only those of that place.

    `place` is empty in private, where all of the person's own may be told to them.
    """

    user_id: UUID
    place: str = ""
    trusts: tuple[Trust, ...] = (Trust.OWN, Trust.ROBBIE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """All turns that might be found, by anybody: their number, how many hold a word (stemmed or not), their mean length in `terms`.

    Where that is not known, the candidates' own is taken.
    """

    turns: int
    holding: Mapping[str, int]
    mean_terms: float | None = None

    def rarity(self, word: str) -> float:
        """BM25's inverse document frequency in Lucene's form, which is never negative."""
        held = min(self.holding.get(word, 0), self.turns)
        return log(1 + (self.turns - held + 0.5) / (held + 0.5))


PRIVATE_PLACE = ""


def place_of(channel: str, key: str, session_type: str) -> str:
    """The place that everybody in a shared conversation shares: its channel, without thread or topic; empty for a private one.

    Of mail it is the thread: every thread has readers of its own.
    """
    shared_by = {"slack": 2, "email": None}.get(channel, 1)  # a workspace and its channel; writer and thread; or else a chat
    return PRIVATE_PLACE if session_type == "private" else f"{channel}:{'/'.join(key.split('/')[:shared_by])}"


class Embedder(Protocol):
    """Turns texts into vectors, without holding up the loop. The product of two is how much alike their texts are, at most 1.

    Vectors of different models are never compared.
    """

    @property
    def model(self) -> str:
        """The model's id, as it is stored with each vector; another one after it failed for good."""

    @property
    def dimension(self) -> int:
        """How long its vectors are; 0 where that is not known yet."""

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension). Raises EmbeddingFailed."""

    def words(self, words: Sequence[str]) -> Any | None:
        """float32 (words, dimensions) of single words, each of length 1; zeros, or None, where there is no model of words."""

    async def close(self) -> None:
        """Let go of models and connections; may be called twice."""
