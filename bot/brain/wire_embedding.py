"""Turns texts into vectors on somebody else's machine: a server of Ollama's, or one that speaks OpenAI's wire and may cost money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
Told = tuple[Sequence[Sequence[float]], int]
"""A vector for each text, and the tokens that were read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """A client: what it raises is one of `faults`, and `secret` stands in no message."""

    ask: Callable[[str, list[str]], Awaitable[Told]]
    close: Callable[[], Awaitable[None]]
    faults: tuple[type[Exception], ...]
    secret: str = ""


def ollama_wire(url: str) -> Wire:
    """To a server of Ollama's."""
    import httpx
    import ollama

    quiet("httpx", "httpcore")
    client = ollama.AsyncClient(host=url)

    async def ask(model: str, texts: list[str]) -> Told:
        told = await client.embed(model, texts, truncate=True)
        return told.embeddings, told.prompt_eval_count or 0

    return Wire(ask=ask, close=client.close, faults=(ollama.ResponseError, httpx.HTTPError, ConnectionError))


def openai_wire(api_key: str, base_url: str) -> Wire:
    """To OpenAI, or a server that speaks its wire; one of your own may want no key."""
    import openai

    quiet("openai", "httpx2", "httpcore2", "httpx", "httpcore")
    # the address is named, so that the environment cannot send the key elsewhere
    client = openai.AsyncOpenAI(api_key=api_key or "none", base_url=base_url or "https://api.openai.com/v1", max_retries=0)

    async def ask(model: str, texts: list[str]) -> Told:
        told = await client.embeddings.create(model=model, input=texts, encoding_format="float")
        return [each.embedding for each in sorted(told.data, key=lambda each: each.index)], told.usage.prompt_tokens

    return Wire(ask=ask, close=client.close, faults=(openai.OpenAIError,), secret=api_key)


class WireEmbedder:
    """A model behind a wire, within the day's allowance. The client is made when it is first needed."""

    def __init__(self, *, model: str, provider: str, make: Callable[[], Wire], budget: Budget, words: Words) -> None:
        self.model = f"{provider}/{model}"
        self.words = words.vectors
        self._who: dict[str, Any] = {"level": LEVEL, "provider": provider, "model": model}
        self._make = make
        self._wire: Wire | None = None
        self._budget = budget
        self._dimension = 0

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension), each of length 1. Raises EmbeddingFailed."""
        import numpy as np

        parts = [await self._some(texts[at : at + MOST_TEXTS]) for at in range(0, len(texts), MOST_TEXTS)]
        return np.concatenate(parts) if parts else np.zeros((0, self._dimension), dtype=np.float32)

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
        if made.shape[1] != (self._dimension or made.shape[1]):
            raise EmbeddingFailed(
                f"{self.model} made vectors of {self._dimension} numbers, and now of {made.shape[1]}: is it another model?"
            )
        self._dimension = made.shape[1]
        return made / lengths

    async def _paid(self, wire: Wire, texts: list[str]) -> Sequence[Sequence[float]]:
        """What the wire tells. The most it can cost is set aside first; where it costs nothing, nothing is written down."""
        asked = Prompt(system="", brief_system="", lines=tuple(Line(role=Role.USER, text=text) for text in texts))
        reservation = await self._budget.reserve(**self._who, prompt=asked, event_id=None)
        call = Attempt(**self._who, outcome=AttemptOutcome.FAILED, reservation=reservation, error="EmbeddingFailed")
        try:
            vectors, tokens = await wire.ask(self._who["model"], texts)
            usage = Usage(input_tokens=tokens)
            cost = self._budget.cost_usd(**self._who, usage=usage)
            call = replace(call, outcome=AttemptOutcome.ANSWERED, error="", usage=usage, cost_usd=cost)
        finally:
            if reservation is not None:
                await asyncio.shield(self._budget.settle([call], event_id=None))
        return vectors
