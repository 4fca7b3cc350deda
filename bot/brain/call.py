"""One rung being asked: a task of its own reads the stream to its end, whoever else is asked meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import structlog

from bot.brain.health import Permit
from bot.brain.tool_text import ToolTalk
from bot.domain.errors import ContextTooLong, ProviderError, ProviderUnavailable, RequestRejected, StreamBroken
from bot.domain.ports import Provider
from bot.domain.thought import Attempt, AttemptOutcome, Delta, Finish, Prompt, ToolCall, Usage, estimate_tokens

log = structlog.get_logger(__name__)

Piece = Delta | ToolCall | Finish | ProviderError

_WHOLE = ("stop", "end_turn", "stop_sequence", "eos", "eos_token", "stop_token", "complete", "completed", "tool_calls", "tool_use")
"""What vendors call the end of an answer that is whole; they have as many words for one that failed in the middle."""
_REFUSALS = ("content_filter", "refusal")
_WINDOW_FULL = "model_context_window_exceeded"


@runtime_checkable
class OneAtATime(Protocol):
    """A provider that does one thing at a time, for which a call may have to wait: load its model, or answer somebody else."""

    @property
    def is_busy(self) -> bool:
        """Whether it is at such a thing, as far as can be heard."""

    @property
    def is_occupied(self) -> bool:
        """Whether a question that came now would have to wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One place to ask: a level of the config, on one of its nodes where it has several; `account` is a fingerprint of key and address.

    `tools`: whether it is told of them natively, in text, or not at all ("none").
    """

    level: str
    provider: Provider
    context: int
    max_output_tokens: int
    is_brief: bool = False
    node: str = ""
    account: str = ""
    tools: str = "native"

    @property
    def id(self) -> str:
        """What its health is kept under; another model, key or address behind the same name starts anew."""
        model = f"{self.level}/{self.provider.provider}/{self.provider.model}"
        return model + (f"@{self.node}" if self.node else "") + (f"#{self.account}" if self.account else "")

    @property
    def who(self) -> dict[str, Any]:
        """Its level, provider and model, as the allowance and what became of a call name them."""
        return {"level": self.level, "provider": self.provider.provider, "model": self.provider.model}

    def fitted(self, prompt: Prompt) -> Prompt:
        """*prompt* as this rung is asked it."""
        return prompt.fitted(context=self.context, output=self.max_output_tokens, brief=self.is_brief, tools=self.tools != "none")


@dataclass(kw_only=True, eq=False)
class Call:
    """A question on its way to a rung. `first` is the first thing that came back: a word, a call of a tool, or an error.

    `permit` is the leave to ask, `reservation` the allowance that was set aside; `news` is set whenever something came.
    """

    rung: Rung
    prompt: Prompt
    permit: Permit
    reservation: UUID | None
    news: asyncio.Event
    monotonic: Callable[[], float]
    talk: ToolTalk

    def __post_init__(self) -> None:
        self.first: Delta | ToolCall | ProviderError | None = None
        self.text = ""
        self.calls: list[ToolCall] = []
        self.is_cut = False
        self._has_waited = isinstance(self.rung.provider, OneAtATime) and self.rung.provider.is_occupied
        self._told: Usage | None = None
        self._has_ended = False
        self._began = self.monotonic()
        self._first_token_ms: float | None = None
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self.task = asyncio.create_task(self._read(), name=f"ask {self.rung.id}")

    @property
    def age_seconds(self) -> float:
        """Seconds since the rung was asked."""
        return self.monotonic() - self._began

    @property
    def is_waiting(self) -> bool:
        """Whether it is silent since its model is still being loaded, or answers somebody else, which goes on behind the turn's back.

        Such silence is no failure and no measure of its pace: it must neither open the breaker of a level that is about to be ready,
        nor lengthen the patience with it. A load that fails is an error like any other, told to whoever waits for it, or asks next.
        """
        return self.first is None and isinstance(self.rung.provider, OneAtATime) and self.rung.provider.is_busy

    @property
    def first_token_ms(self) -> float | None:
        """How long its first word took; None before it, and where it had to wait its turn: that is no measure of its pace."""
        return None if self._has_waited else self._first_token_ms

    async def next(self, stall_seconds: float) -> Delta | ToolCall | Finish:
        """The next piece, already in `text` or `calls`. Raises ProviderError: the stream's own, or StreamBroken where it stalls."""
        try:
            async with asyncio.timeout(stall_seconds):
                piece = await self._pieces.get()
        except TimeoutError as error:
            raise StreamBroken("the stream stalled") from error
        if isinstance(piece, ProviderError):
            raise piece
        if isinstance(piece, Delta):
            self.text += piece.text
        elif isinstance(piece, ToolCall):
            self.calls.append(piece)
        return piece

    def hang_up(self) -> None:
        """Stop reading; what comes after is heard by nobody."""
        self.task.cancel()

    @property
    def is_counted(self) -> bool:
        """Whether it is known what the call used: its vendor told, or refused it, or said all it had to say, which can be estimated.

        A model may have thought, and that is paid for, while nothing came: what was cut or hung up on is not known.
        """
        return self._told is not None or self._is_refused or (self._has_ended and bool(self.text or self.calls))

    @property
    def usage(self) -> Usage:
        """Tokens, as the vendor counted them; else a refused call used none, and any other its prompt and what was heard of it."""
        if self._told is not None:
            return self._told
        if self._is_refused:
            return Usage()
        said = self.text + "".join(call.name + call.arguments for call in self.calls)
        return Usage(input_tokens=self.prompt.tokens(), output_tokens=estimate_tokens(said) if said else 0)

    def attempt(self, outcome: AttemptOutcome, *, cost_usd: float, error: str = "", detail: str = "") -> Attempt:
        """The record of this call, which ended now."""
        return Attempt(
            **self.rung.who,
            outcome=outcome,
            detail=detail,
            error=error,
            first_token_ms=self.first_token_ms,
            latency_ms=self.age_seconds * 1000,
            usage=self.usage,
            cost_usd=cost_usd,
            reservation=self.reservation,
        )

    @property
    def _is_refused(self) -> bool:
        is_broken = isinstance(self.first, StreamBroken) or self._has_ended
        return isinstance(self.first, ProviderError) and not is_broken and not self.first.has_begun

    async def _read(self) -> None:
        try:
            rung = self.rung
            talking = self.talk.stream(rung.provider, self.prompt, rung=rung.id, is_native=rung.tools == "native")
            async with aclosing(talking) as stream:
                async for piece in stream:
                    self._tell(piece)
                    if isinstance(piece, Finish):
                        return
            self._tell(StreamBroken("the stream ended without its end marker"))
        except ProviderError as error:
            self._tell(error)
        except asyncio.CancelledError:
            self._tell(ProviderUnavailable("called off"))  # heard only if it was not us who hung up
            raise
        except Exception as error:  # one level's bug is not the person's: the next level answers
            log.exception("level.bug", level=self.rung.level)
            self._tell(StreamBroken(f"unexpected {type(error).__name__}"))

    def _tell(self, piece: Piece) -> None:
        """Pass a piece on; blanks before the first word are no answer yet, and an end may be none."""
        if isinstance(piece, Delta):
            if self.first is None:
                piece = Delta(text=piece.text.lstrip())
            if not piece.text:
                return
        if isinstance(piece, Delta | ToolCall):
            if self._first_token_ms is None:
                self._first_token_ms = self.age_seconds * 1000
        elif isinstance(piece, Finish):
            self._told, self.is_cut, self._has_ended = piece.usage, piece.is_cut, True  # owed, whatever the answer is worth
            piece = _verdict(piece, has_spoken=self.first is not None)
        if self.first is None and not isinstance(piece, Finish):
            self.first = piece
        self._pieces.put_nowait(piece)
        self.news.set()


def _verdict(end: Finish, *, has_spoken: bool) -> Finish | ProviderError:
    """The end of an answer, or the error that it stands for: a refusal, or nothing said at all."""
    if end.reason in _REFUSALS:
        return RequestRejected(f"refused to answer this ({end.reason})")
    if has_spoken and (end.is_cut or end.reason.casefold() in _WHOLE):
        return end
    if has_spoken:
        return StreamBroken(f"broke off (ended by {end.reason})")
    if end.reason == _WINDOW_FULL:
        return ContextTooLong("the prompt fills the model's window")
    if end.is_cut:
        return StreamBroken(f"said nothing (ended by {end.reason}); raise max_output_tokens of this level: thinking counts towards it")
    return StreamBroken(f"said nothing (ended by {end.reason})")
