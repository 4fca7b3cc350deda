"""The few protocols that cross layers: what a channel, a model and a listener must be able to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from aiohttp import web

from bot.domain.address import Sender
from bot.domain.finding import Finding
from bot.domain.message import Attachment, Button, Inbound, Outgoing, Sent
from bot.domain.thought import Delta, Finish, Prompt, Question, ToolCall


class Provider(Protocol):
    """One model behind one wire. An SDK's exceptions become `ProviderError`s inside it, and nowhere else."""

    @property
    def provider(self) -> str:
        """The kind of wire, as config names it: openai, anthropic, ollama or local."""

    @property
    def model(self) -> str:
        """The vendor's id of the model that is asked."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | ToolCall | Finish]:
        """Ask *prompt* (already fitted): deltas as they come, whole calls, then exactly one `Finish`. Raises ProviderError.

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
    """What a channel can do, and so what stands in for what it cannot.

    `pulls`: readers fetch their replies from our own database, so that a recorded reply is a delivered one (web, console).
    `finds`: the channel can be asked whether it has a message already, which settles an unknown send without a repeat;
    `show_seconds`: at least so much time between two showings of a growing reply; 0 where only the final text is sent.
    `buttons`: choices can be pressed; elsewhere they are numbered, and written.
    `answers_strangers`: who is not known is told how to become so; elsewhere even that would be too much (backscatter of mail).
    """

    pulls: bool = False
    finds: bool = False
    show_seconds: float = 0.0
    buttons: bool = False
    answers_strangers: bool = True


class Adapter(Protocol):
    """A channel's dialect, spoken outward. Its errors are `AdapterError`s."""

    @property
    def channel(self) -> str:
        """The channel's name, as addresses carry it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this channel can do."""

    async def send(self, outgoing: Outgoing) -> Sent:
        """Say it: the messages it names become it by edits, what more it needs is added. Raises AdapterError."""

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """Which of this the channel has already; asked only where `finds`. Raises AdapterError: DeliveryUnknown where it cannot tell."""

    async def show(self, outgoing: Outgoing) -> Sent:
        """Let a growing reply be seen as it is so far; asked only where `show_seconds`. Raises AdapterError.

        `Sent` names the message that shows it; one that will vanish by itself has no name.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Something a person may look at and decide about, with its choices."""

    text: str
    buttons: tuple[Button, ...] = ()


Command = Callable[[Question, str], Awaitable[str | Card]]
"""Does what a slash command asks, given the words after its name; returns what to say, or nothing where nothing needs saying."""


class Reception(Protocol):
    """Where a channel brings what it hears."""

    async def receive(self, inbound: Inbound) -> None:
        """Keep it, once, however often it is repeated: when this returns, the channel may be told. Raises StorageUnavailable."""

    async def overview(self, sender: Sender) -> Sequence[Card]:
        """What somebody may know at a glance (today, health, what waits for their decision); nothing for a stranger."""

    async def manners(self, sender: Sender) -> Mapping[str, str]:
        """How Robbie is set for somebody in private, by the names of what they may set, and their `zone`; nothing for a stranger."""

    async def draft(self, sender: Sender, code: str) -> str | None:
        """The words that wait for this person's decision under *code*, for changing them; None where there are none."""


class Door(Adapter, Protocol):
    """A channel that Robbie listens on by himself."""

    @property
    def deaf_seconds(self) -> float:
        """Without a sign of life for so long, it is taken for deaf, and begun anew."""

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """What the web server serves for it."""

    async def listen(self, reception: Reception, told: Callable[[], None]) -> None:
        """Bring what is heard, until cancelled; *told* is called whenever the channel has shown that it is alive.

        Raises ChannelUnavailable where it fell, ChannelRefused where it will not have Robbie: whoever called tries again.
        """

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """Write the bytes of what came with a message to a file. Raises AdapterError."""

    async def close(self) -> None:
        """Let go of connections; may be called twice."""

    async def examine(self) -> Sequence[Finding]:
        """What is well and what is not, as the channel itself tells: tokens, scopes, addresses, folders. Changes nothing."""


class Round(Protocol):
    """Timed work that is looked after again and again while the hub runs, by every process: what it does it must do once by its rows."""

    @property
    def name(self) -> str:
        """What it is called in logs."""

    async def look(self, now: datetime) -> datetime | None:
        """Do what is due; when the next thing is known to be due, or None. Raises StorageUnavailable."""
