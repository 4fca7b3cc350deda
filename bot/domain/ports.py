"""The few protocols that cross layers: what a channel, a model and a listener must be able to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from bot.domain.message import Outgoing, Sent
from bot.domain.thought import Delta, Finish, Prompt


class Provider(Protocol):
    """One model behind one wire. An SDK's exceptions become `ProviderError`s inside it, and nowhere else."""

    @property
    def provider(self) -> str:
        """The kind of wire, as config names it: openai, anthropic, ollama or local."""

    @property
    def model(self) -> str:
        """The vendor's id of the model that is asked."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        """Ask *prompt* (already fitted): deltas as they come, then exactly one `Finish`. Raises ProviderError.

        It never retries: that is the chain's business. Closing the iterator hangs up.
        """

    async def models(self) -> tuple[str, ...]:
        """The models the vendor serves to this key now, at no cost in tokens. Raises ProviderError."""

    async def close(self) -> None:
        """Let go of connections and processes; may be called twice."""


class Listener(Protocol):
    """Watches an answer grow."""

    async def token(self, text: str) -> None:
        """More text, to be put after what was shown."""

    async def replace(self, text: str) -> None:
        """What was shown is void: show this instead (a stream changed model)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a channel can do.

    `pulls`: readers fetch their replies from our own database, so that a recorded reply is a delivered one (web, console).
    `finds`: the channel can be asked whether it has a message already, which settles an unknown send without a repeat.
    `edits`: a message once sent can be changed, so that an answer may be shown while it grows.
    """

    pulls: bool = False
    finds: bool = False
    edits: bool = False


class Adapter(Protocol):
    """A channel's dialect, spoken outward. Its errors are `AdapterError`s."""

    @property
    def channel(self) -> str:
        """The channel's name, as addresses carry it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this channel can do."""

    async def send(self, outgoing: Outgoing) -> Sent:
        """Say it, or edit the message it names. Raises ChannelUnavailable, DeliveryRejected, DeliveryUnknown."""

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """Whether the channel has this message already; asked only where `finds`."""
