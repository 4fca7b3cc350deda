"""The fallback chain: levels in order, the next one hedging a silent one, every failure passed over, one bound on the whole turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

import structlog

from bot.brain.budget import Budget
from bot.brain.health import BreakerState, HealthBoard, cools
from bot.domain.errors import AllLevelsFailed, BudgetExhausted, ProviderError, ProviderUnavailable, StorageError, StreamBroken
from bot.domain.ports import Listener, Provider
from bot.domain.thought import Attempt, AttemptOutcome, Completion, Delta, Finish, Prompt, Usage, estimate_tokens

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One place to ask: a level of the config, on one of its nodes where it has several."""

    level: str
    provider: Provider
    context: int
    max_output_tokens: int
    is_brief: bool = False
    node: str = ""

    @property
    def id(self) -> str:
        """What its health is kept under; another model behind the same name starts anew."""
        return f"{self.level}/{self.provider.provider}/{self.provider.model}" + (f"@{self.node}" if self.node else "")


class FallbackChain:
    """The owner's levels. It answers, or raises AllLevelsFailed, within the turn's bound."""

    def __init__(
        self,
        *,
        rungs: Sequence[Rung],
        health: HealthBoard,
        budget: Budget | None,
        turn_seconds: float,
        hedge_seconds: float,
        stall_seconds: float,
    ) -> None:
        self.rungs = tuple(rungs)
        self.health = health
        self.turn_seconds = turn_seconds
        self._budget = budget
        self._hedge_seconds = hedge_seconds
        self._stall_seconds = stall_seconds

    async def complete(
        self, prompt: Prompt, *, listener: Listener | None = None, event_id: UUID | None = None, seconds: float | None = None
    ) -> Completion:
        """The first whole answer. Raises AllLevelsFailed when no level gave one within *seconds* (by default the turn's bound)."""
        run = _Run(chain=self, prompt=prompt, listener=listener, event_id=event_id)
        try:
            async with asyncio.timeout(seconds or self.turn_seconds):
                return await run.answer()
        except TimeoutError:
            run.out_of_time()
            raise AllLevelsFailed(run.attempts) from None
        finally:
            await run.hang_up()
            await self._save_health()

    async def _save_health(self) -> None:
        try:
            await self.health.save_changes()
        except StorageError as error:  # an answer is worth more than a note about its author
            log.warning("health.not_saved", error=str(error))

    def with_rungs(self, rungs: Sequence[Rung]) -> FallbackChain:
        """The same chain over other rungs, with a health board of its own: what a drill breaks stays in the drill."""
        board = HealthBoard(database=None, clock=self.health.clock)
        return FallbackChain(
            rungs=rungs,
            health=board,
            budget=self._budget,
            turn_seconds=self.turn_seconds,
            hedge_seconds=self._hedge_seconds,
            stall_seconds=self._stall_seconds,
        )

    def hedge_after(self, rung: Rung) -> float:
        """Seconds of silence after which the next level is asked as well."""
        if not self._hedge_seconds:
            return self._stall_seconds
        learned = self.health.first_token_p95_ms(rung.id)
        return min(max(self._hedge_seconds, (learned or 0.0) / 1000), self.turn_seconds / 3)

    @property
    def hedges(self) -> bool:
        """Whether a silent level is asked alongside the next one, rather than given up."""
        return self._hedge_seconds > 0

    @property
    def stall_seconds(self) -> float:
        """A started stream that is silent for this long is broken."""
        return self._stall_seconds

    async def reserve(self, rung: Rung, prompt: Prompt, event_id: UUID | None) -> UUID | None:
        """Set aside what the call can cost. Raises BudgetExhausted."""
        if self._budget is None:
            return None
        return await self._budget.reserve(
            level=rung.level, provider=rung.provider.provider, model=rung.provider.model, prompt=prompt, event_id=event_id
        )

    def cost_usd(self, rung: Rung, usage: Usage) -> float:
        """Dollars for this usage."""
        return 0.0 if self._budget is None else self._budget.cost_usd(rung.provider.provider, rung.provider.model, usage)


Piece = Delta | Finish | ProviderError


class _Call:
    """One rung being asked: a task of its own reads the stream to its end, whoever is listening."""

    def __init__(self, rung: Rung, prompt: Prompt, *, reservation: UUID | None, is_probe: bool, began: float) -> None:
        self.rung = rung
        self.prompt = prompt
        self.reservation = reservation
        self.is_probe = is_probe
        self.began = began
        self.first_token_at: float | None = None
        self.text = ""
        self.usage: Usage | None = None
        self.pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self.first: Piece | None = None
        self.spoke = asyncio.Event()
        self.task = asyncio.create_task(self._read(), name=f"ask {rung.id}")

    async def _read(self) -> None:
        try:
            async with aclosing(self.rung.provider.stream(self.prompt)) as stream:
                async for piece in stream:
                    self._tell(piece)
                    if isinstance(piece, Finish):
                        return
            self._tell(StreamBroken("the stream ended without its end marker"))
        except ProviderError as error:
            self._tell(error)
        except Exception as error:  # one level's bug is not the person's: the next level answers
            log.exception("level.bug", level=self.rung.level)
            self._tell(StreamBroken(f"unexpected {type(error).__name__}"))

    def _tell(self, piece: Piece) -> None:
        if isinstance(piece, Delta) and not piece.text:
            return
        if self.first is None:
            self.first = piece
        self.pieces.put_nowait(piece)
        self.spoke.set()

    async def hang_up(self) -> None:
        """Stop reading; returns when the connection is let go, or after a second."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=1.0)


class _Run:
    """One turn's walk along the chain."""

    def __init__(self, *, chain: FallbackChain, prompt: Prompt, listener: Listener | None, event_id: UUID | None) -> None:
        self.attempts: list[Attempt] = []
        self._chain = chain
        self._prompt = prompt
        self._listener = listener
        self._event_id = event_id
        self._health = chain.health
        self._active: list[_Call] = []
        self._closing: list[_Call] = []
        self._may_hedge = True
        self._shown = False
        self._over_budget = False
        self._candidates = self._permitted()

    async def answer(self) -> Completion:
        """Race, then follow the winner; a winner that breaks off is replaced by the next. Raises AllLevelsFailed."""
        while True:
            call = await self._race()
            if await self._follow(call):
                return Completion(
                    text=call.text,
                    level=call.rung.level,
                    provider=call.rung.provider.provider,
                    model=call.rung.provider.model,
                    why=explain(self.attempts),
                    attempts=tuple(self.attempts),
                    over_budget=self._over_budget,
                )

    def out_of_time(self) -> None:
        """The turn's bound struck: whoever was being waited for has failed."""
        for call in tuple(self._active):
            self._fail(call, ProviderUnavailable("no answer before the turn's bound"))

    async def hang_up(self) -> None:
        """Let go of every call that is still open, without judging it."""
        for call in tuple(self._active):
            self._let_off(call)
        await asyncio.gather(*(call.hang_up() for call in self._closing))

    async def _race(self) -> _Call:
        """Ask, and ask the next one too when there is silence; the first that speaks."""
        while True:
            if not self._active and not await self._ask_next():
                raise AllLevelsFailed(self.attempts)
            newest = self._active[-1]
            if await self._silent_until_hedge(newest):
                await self._hedge(newest)
                continue
            for call in [call for call in self._active if call.spoke.is_set()]:
                if isinstance(call.first, Delta):
                    self._win(call)
                    return call
                self._fail(call, call.first if isinstance(call.first, ProviderError) else StreamBroken("an answer without a word"))
                if call is newest:
                    await self._ask_next()

    async def _silent_until_hedge(self, newest: _Call) -> bool:
        """Wait for any call to speak; True if the newest one's time to hedge came first."""
        waits = [asyncio.ensure_future(call.spoke.wait()) for call in self._active]
        seconds = max(newest.began + self._chain.hedge_after(newest.rung) - self._health.monotonic(), 0.0)
        try:
            done, _ = await asyncio.wait(waits, timeout=seconds if self._may_hedge else None, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not done

    async def _hedge(self, newest: _Call) -> None:
        if not self._chain.hedges:
            self._fail(newest, ProviderUnavailable("silent"))
        elif not await self._ask_next():
            self._may_hedge = False

    async def _ask_next(self) -> bool:
        """Ask the next rung that may be asked; False where there is none."""
        for rung, is_probe in self._candidates:
            prompt = self._prompt.fitted(context=rung.context, output=rung.max_output_tokens, brief=rung.is_brief)
            try:
                reservation = await self._chain.reserve(rung, prompt, self._event_id)
            except BudgetExhausted as error:
                self._over_budget = True
                self._health.breaker(rung.id).let_off(is_probe)
                self._note(rung, AttemptOutcome.SKIPPED, detail=str(error), error="BudgetExhausted")
                continue
            self._active.append(_Call(rung, prompt, reservation=reservation, is_probe=is_probe, began=self._health.monotonic()))
            return True
        return False

    def _permitted(self) -> Iterator[tuple[Rung, bool]]:
        """The rungs that may be asked, in order, each with whether this is its probe; where none may, those of last resort."""
        skipped = []
        for rung in self._chain.rungs:
            breaker = self._health.breaker(rung.id)
            if breaker.permit():
                yield rung, breaker.state is BreakerState.HALF_OPEN
            else:
                skipped.append(rung)
                self._note(rung, AttemptOutcome.SKIPPED, detail="resting after failures")
        if len(skipped) == len(self._chain.rungs):
            for rung in skipped:
                if self._health.breaker(rung.id).permit_as_last_resort():
                    yield rung, True

    def _win(self, call: _Call) -> None:
        """*call* spoke first: whoever was asked before it and kept silent has failed, whoever was asked after it is let off."""
        now = self._health.monotonic()
        call.first_token_at = now
        self._health.note_first_token(call.rung.id, (now - call.began) * 1000)
        for other in [other for other in self._active if other is not call]:
            if other.began < call.began:
                self._health.note_first_token(other.rung.id, (now - other.began) * 1000)
                self._health.breaker(other.rung.id).failed(ProviderUnavailable("silent"))
                self._close(other)
            else:
                self._let_off(other)
            self._note_call(other, AttemptOutcome.OVERTAKEN, detail="silent until another level spoke")

    async def _follow(self, call: _Call) -> bool:
        """Take the winner's text to its end; False if it broke off."""
        try:
            while not isinstance(piece := await self._next_piece(call), Finish):
                call.text += piece.text
                await self._show(call, piece.text)
        except ProviderError as error:
            self._fail(call, error)
            return False
        call.usage = piece.usage
        self._active.remove(call)
        self._health.breaker(call.rung.id).succeeded()
        self._note_call(call, AttemptOutcome.ANSWERED)
        return True

    async def _next_piece(self, call: _Call) -> Delta | Finish:
        try:
            async with asyncio.timeout(self._chain.stall_seconds):
                piece = await call.pieces.get()
        except TimeoutError as error:
            raise StreamBroken("the stream stalled") from error
        if isinstance(piece, ProviderError):
            raise piece
        return piece

    async def _show(self, call: _Call, text: str) -> None:
        """Pass text on; the first words of a level that takes over replace what the broken one said."""
        if self._listener is None:
            return
        is_first = call.text == text
        if is_first and self._shown:
            await self._listener.replace(text)
        else:
            await self._listener.token(text)
        self._shown = True

    def _fail(self, call: _Call, error: ProviderError) -> None:
        if cools(error):
            self._health.breaker(call.rung.id).failed(error)
            self._close(call)
        else:
            self._let_off(call)
        self._note_call(call, AttemptOutcome.FAILED, detail=str(error), error=type(error).__name__)

    def _let_off(self, call: _Call) -> None:
        """Hang up without judging."""
        self._health.breaker(call.rung.id).let_off(call.is_probe)
        self._close(call)

    def _close(self, call: _Call) -> None:
        self._active.remove(call)
        self._closing.append(call)
        call.task.cancel()

    def _note_call(self, call: _Call, outcome: AttemptOutcome, *, detail: str = "", error: str = "") -> None:
        usage = call.usage or _guess_usage(call, outcome)
        first = call.first_token_at
        self.attempts.append(
            Attempt(
                level=call.rung.level,
                provider=call.rung.provider.provider,
                model=call.rung.provider.model,
                outcome=outcome,
                detail=detail,
                error=error,
                first_token_ms=None if first is None else (first - call.began) * 1000,
                latency_ms=(self._health.monotonic() - call.began) * 1000,
                usage=usage,
                cost_usd=self._chain.cost_usd(call.rung, usage),
                reservation=call.reservation,
            )
        )

    def _note(self, rung: Rung, outcome: AttemptOutcome, *, detail: str, error: str = "") -> None:
        self.attempts.append(
            Attempt(
                level=rung.level,
                provider=rung.provider.provider,
                model=rung.provider.model,
                outcome=outcome,
                detail=detail,
                error=error,
            )
        )


def _guess_usage(call: _Call, outcome: AttemptOutcome) -> Usage:
    """Tokens where the vendor did not count: a refused call used none; one that was broken or called off was charged for its prompt."""
    if outcome is AttemptOutcome.FAILED and call.first_token_at is None:
        return Usage()
    return Usage(input_tokens=call.prompt.tokens(), output_tokens=estimate_tokens(call.text) if call.text else 0)


def explain(attempts: Sequence[Attempt]) -> str:
    """One line on who answered and what became of those before it."""
    answered = [attempt.level for attempt in attempts if attempt.outcome is AttemptOutcome.ANSWERED]
    others = [f"{attempt.level} {_in_words(attempt)}" for attempt in attempts if attempt.outcome is not AttemptOutcome.ANSWERED]
    return ", ".join([f"{level} answered" for level in answered] + others) or "nobody could be asked"


def _in_words(attempt: Attempt) -> str:
    words = {
        AttemptOutcome.SKIPPED: "was passed over" if not attempt.error else "would have passed today's allowance",
        AttemptOutcome.OVERTAKEN: "was silent",
    }
    return words.get(attempt.outcome, f"failed ({attempt.error})")
