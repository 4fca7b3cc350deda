"""Turns texts into vectors on somebody else's machine, over OpenAI's wire, which Ollama speaks too; a vendor's may cost money."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.brain.budget import Budget
from bot.brain.embedding import Words, sound
from bot.brain.providers.faults import MALFORMED, brief, quiet
from bot.domain.errors import BudgetExhausted, EmbeddingFailed
from bot.domain.thought import Attempt, AttemptOutcome, Line, Prompt, Role, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MOST_TEXTS = 32
"""In one call."""
LONGEST_TEXT = 6_000
"""Characters of a text that are sent: what is remembered has at most a quarter of it, a question may have more."""
SECONDS, SECONDS_A_TEXT = 5.0, 0.5
"""A call is waited for so long: a question waits for its own."""
LEVEL = "memory"
"""What such calls are called in the list of costs."""


class WireEmbedder:
    """A model of a *provider* at this address, within the day's allowance. The client is made when it is first needed."""

    def __init__(self, *, model: str, provider: str, base_url: str, api_key: str, budget: Budget) -> None:
        self.model = f"{provider}/{model}"
        self.words = Words().vectors
        self._who: dict[str, Any] = {"level": LEVEL, "provider": provider, "model": model}
        self._base_url, self._api_key = base_url, api_key
        self._client: AsyncOpenAI | None = None
        self._budget = budget
        self.dimension = 0

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension), each of length 1. Raises EmbeddingFailed."""
        import numpy as np

        parts = [await self._some(texts[at : at + MOST_TEXTS]) for at in range(0, len(texts), MOST_TEXTS)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), dtype=np.float32)

    async def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _some(self, texts: Sequence[str]) -> Any:
        """The vectors of as many texts as one call may have."""
        import numpy as np
        import openai

        sent = [sound(text[:LONGEST_TEXT]) for text in texts]
        try:
            async with asyncio.timeout(SECONDS + SECONDS_A_TEXT * len(sent)):
                made = np.array(await self._paid(sent), dtype=np.float32)
        except (openai.OpenAIError, *MALFORMED, BudgetExhausted, TimeoutError) as error:
            raise EmbeddingFailed(f"{self.model}: {type(error).__name__}: {brief(str(error), self._api_key)}") from error
        lengths = np.linalg.norm(made, axis=-1, keepdims=True)
        if made.ndim != 2 or len(made) != len(sent) or not np.isfinite(lengths).all() or not lengths.all():
            raise EmbeddingFailed(f"{self.model}: no vector for each of {len(sent)} texts, but {made.shape}")
        if made.shape[1] != (self.dimension or made.shape[1]):
            raise EmbeddingFailed(
                f"{self.model} made vectors of {self.dimension} numbers, and now of {made.shape[1]}: is it another model?"
            )
        self.dimension = made.shape[1]
        return made / lengths

    async def _paid(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """What the wire tells. The most it can cost is set aside first; where it costs nothing, nothing is written down."""
        asked = Prompt(system="", brief_system="", lines=tuple(Line(role=Role.USER, text=text) for text in texts))
        reservation = await self._budget.reserve(**self._who, prompt=asked, event_id=None)
        call = Attempt(**self._who, outcome=AttemptOutcome.FAILED, reservation=reservation, error="EmbeddingFailed")
        try:
            told = await self._connected().embeddings.create(model=self._who["model"], input=texts, encoding_format="float")
            usage = Usage(input_tokens=told.usage.prompt_tokens)
            cost = self._budget.cost_usd(**self._who, usage=usage)
            call = replace(call, outcome=AttemptOutcome.ANSWERED, error="", usage=usage, cost_usd=cost)
            return [each.embedding for each in sorted(told.data, key=lambda each: each.index)]
        finally:
            if reservation is not None:
                await asyncio.shield(self._budget.settle([call], event_id=None))

    def _connected(self) -> AsyncOpenAI:
        """The client. Its address is always named, so that the environment cannot send the key elsewhere."""
        import openai

        quiet("openai", "httpx2", "httpcore2", "httpx", "httpcore")
        self._client = self._client or openai.AsyncOpenAI(api_key=self._api_key or "none", base_url=self._base_url, max_retries=0)
        return self._client
