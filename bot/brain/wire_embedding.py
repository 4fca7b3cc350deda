"""Turns texts into vectors on somebody else's machine: a server of Ollama's, or one that speaks OpenAI's wire and may cost money."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from bot.brain.budget import Budget
from bot.brain.embedding import Words, sound
from bot.brain.providers.faults import MALFORMED, brief, quiet
from bot.domain.errors import BudgetExhausted, EmbeddingFailed
from bot.domain.thought import Attempt, AttemptOutcome, Line, Prompt, Role, Usage

MOST_TEXTS = 32
"""In one call."""
LONGEST_TEXT = 6_000
"""Characters of a text that are sent: what is remembered has at most a quarter of it, a question may have more."""
SECONDS, SECONDS_A_TEXT = 5.0, 0.5
"""A call is waited for so long: a question waits for its own."""
LEVEL = "memory"
"""What such calls are called in the list of costs."""


class Wire(Protocol):
    """One model behind an SDK; `faults` is what that lets out, `secret` stands in no message."""

    provider: str
    faults: tuple[type[Exception], ...]
    secret: str

    async def ask(self, model: str, texts: Sequence[str]) -> tuple[Sequence[Sequence[float]], int]:
        """A vector for each text, and the tokens that were read; raises one of `faults`."""

    async def close(self) -> None:
        """Let go of the connections."""


class OllamaWire:
    """A server of Ollama's."""

    provider, secret = "ollama", ""

    def __init__(self, url: str) -> None:
        import httpx
        import ollama

        quiet("httpx", "httpcore")
        self.faults: tuple[type[Exception], ...] = (ollama.ResponseError, httpx.HTTPError, ConnectionError)
        self._client = ollama.AsyncClient(host=url)

    async def ask(self, model: str, texts: Sequence[str]) -> tuple[Sequence[Sequence[float]], int]:
        """See `Wire.ask`."""
        told = await self._client.embed(model, list(texts), truncate=True)
        return told.embeddings, told.prompt_eval_count or 0

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]


class OpenAIWire:
    """OpenAI, or a server that speaks its wire."""

    provider = "openai"

    def __init__(self, *, api_key: str, base_url: str) -> None:
        import openai

        quiet("openai", "httpx2", "httpcore2", "httpx", "httpcore")
        self.secret = api_key
        self.faults: tuple[type[Exception], ...] = (openai.OpenAIError,)
        # named, so that the environment cannot send the key elsewhere; a server of one's own may want none
        self._client = openai.AsyncOpenAI(api_key=api_key or "none", base_url=base_url or "https://api.openai.com/v1", max_retries=0)

    async def ask(self, model: str, texts: Sequence[str]) -> tuple[Sequence[Sequence[float]], int]:
        """See `Wire.ask`."""
        told = await self._client.embeddings.create(model=model, input=list(texts), encoding_format="float")
        return [each.embedding for each in sorted(told.data, key=lambda each: each.index)], told.usage.prompt_tokens

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()


class WireEmbedder:
    """A model behind a wire, within the day's allowance. The client is made when it is first needed."""

    def __init__(self, *, model: str, provider: str, make: Callable[[], Wire], budget: Budget, words: Words) -> None:
        self.model = f"{provider}/{model}"
        self.dimension = 0
        self._name = model
        self._make = make
        self._wire: Wire | None = None
        self._budget = budget
        self._words = words

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension), each of length 1. Raises EmbeddingFailed."""
        import numpy as np

        parts = [await self._some(texts[at : at + MOST_TEXTS]) for at in range(0, len(texts), MOST_TEXTS)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), dtype=np.float32)

    def words(self, words: Sequence[str]) -> Any:
        """float32 (words, dimensions), or zeros; see `Words.vectors`."""
        return self._words.vectors(words)

    async def close(self) -> None:
        """Let go of the connections."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _some(self, texts: Sequence[str]) -> Any:
        """The vectors of as many texts as one call may have."""
        import numpy as np

        self._wire = wire = self._wire or self._make()
        sent = [sound(text[:LONGEST_TEXT]) for text in texts]
        faults: tuple[type[Exception], ...] = (*wire.faults, *MALFORMED, BudgetExhausted, TimeoutError)
        try:
            async with asyncio.timeout(SECONDS + SECONDS_A_TEXT * len(sent)):
                made = np.array(await self._paid(wire, sent), dtype=np.float32)
        except faults as error:
            raise EmbeddingFailed(f"{self.model}: {type(error).__name__}: {brief(str(error), wire.secret)}") from error
        lengths = np.linalg.norm(made, axis=-1, keepdims=True)
        if made.ndim != 2 or len(made) != len(sent) or not np.isfinite(lengths).all() or not lengths.all():
            raise EmbeddingFailed(f"{self.model}: no vector for each of {len(sent)} texts, but {made.shape}")
        self.dimension = made.shape[1]
        return made / lengths

    async def _paid(self, wire: Wire, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """What the wire tells. The most it can cost is set aside first; where it costs nothing, nothing is written down."""
        asked = Prompt(system="", brief_system="", lines=tuple(Line(role=Role.USER, text=text) for text in texts))
        which = {"level": LEVEL, "provider": wire.provider, "model": self._name}
        reservation = await self._budget.reserve(**which, prompt=asked, event_id=None)
        call = Attempt(
            level=LEVEL,
            provider=wire.provider,
            model=self._name,
            outcome=AttemptOutcome.FAILED,
            reservation=reservation,
            error="EmbeddingFailed",
        )
        try:
            vectors, tokens = await wire.ask(self._name, texts)
            usage = Usage(input_tokens=tokens)
            cost = self._budget.cost_usd(**which, usage=usage)
            call = replace(call, outcome=AttemptOutcome.ANSWERED, error="", usage=usage, cost_usd=cost)
        finally:
            if reservation is not None:
                await asyncio.shield(self._budget.settle([call], event_id=None))
        return vectors


def make_wire(provider: str, *, base_url: str, api_key: str) -> Callable[[], Wire]:
    """How to make the client of a provider, when it is needed: the SDKs are heavy."""
    if provider == "ollama":
        return lambda: OllamaWire(base_url or "http://127.0.0.1:11434")
    return lambda: OpenAIWire(api_key=api_key, base_url=base_url)
