"""The fallback chain: levels in order, the next one hedging a silent one, every failure passed over, one bound on the whole turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog

from bot.brain.budget import Budget
from bot.brain.call import Call, Rung
from bot.brain.health import BreakerState, HealthBoard, Permit
from bot.brain.mesh import Mesh
from bot.brain.poison import PoisonRegister
from bot.brain.tool_text import ToolTalk
from bot.config import MeshConfig
from bot.domain.errors import (
    AllLevelsFailed,
    BudgetExhausted,
    ProviderError,
    ProviderUnavailable,
    StorageError,
)
from bot.domain.ports import Listener
from bot.domain.thought import Attempt, AttemptOutcome, Completion, Delta, Finish, Prompt, ToolCall

log = structlog.get_logger(__name__)

HANG_UP_SECONDS = 0.3
"""How long a turn waits for the calls that it ended to let go of their connections; the slower ones do so behind its back."""
WORTH_KEEPING = 60
"""Characters of an answer that the turn's bound cuts; with fewer, an honest line and the whole answer later serve better."""


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
        mesh: Mesh | None = None,
    ) -> None:
        self.rungs = tuple(rungs)
        self.health = health
        self.turn_seconds = turn_seconds
        self.stall_seconds = stall_seconds
        self.mesh = mesh or Mesh(config=MeshConfig(), rungs=(), health=health)
        self._budget = budget
        self._hedge_seconds = hedge_seconds
        self._reluctant: set[asyncio.Task[None]] = set()
        self.poison = PoisonRegister(clock=health.clock)
        self.talk = ToolTalk()

    async def complete(
        self,
        prompt: Prompt,
        *,
        listener: Listener | None = None,
        event_id: UUID | None = None,
        seconds: float | None = None,
        bound: asyncio.Timeout | None = None,
        levels: Sequence[str] = (),
        alone: bool = False,
    ) -> Completion:
        """The first whole answer. Raises AllLevelsFailed when no level gave one within *seconds* (by default the turn's bound), or a
        *bound* that may yet be moved.

        They are asked in the order of *levels*; those that it does not name come after them, as config has them, or *alone* not at all.

        Also raises what *listener* raises, and StorageUnavailable where the allowance cannot be read.
        """
        rungs = [rung for rung in self.ordered(levels) if not alone or rung.level in levels]
        run = _Run(chain=self, prompt=prompt, rungs=rungs, listener=listener, event_id=event_id)
        bound = bound if bound is not None else asyncio.timeout(self.turn_seconds if seconds is None else seconds)
        try:
            async with bound:
                return await run.answer()
        except AllLevelsFailed:
            raise
        except BaseException as error:
            if isinstance(error, TimeoutError) and bound.expired():
                if (told := run.out_of_time()) is not None:
                    return told
                raise AllLevelsFailed(run.attempts) from None
            run.call_off()  # from outside, or by whoever listens: nobody else will hear what was spent
            await self.settle(run.attempts, event_id)
            raise
        finally:
            await self._see_off(run.tasks)
            await self._save_health()

    def ordered(self, levels: Sequence[str]) -> list[Rung]:
        """The rungs, those of these levels first, but for nodes that are known to be dead."""
        places = {level: place for place, level in enumerate(levels)}
        return self.mesh.arrange(sorted(self.rungs, key=lambda rung: places.get(rung.level, len(places))))

    def risk(self, level: str) -> float:
        """How likely a level is to fail soon; on several nodes, the safest that may be asked."""
        risks = [self.health.risk(rung.id) for rung in self.rungs if rung.level == level and self.mesh.serves(rung)]
        return min((risk for risk in risks if risk is not None), default=0.0)

    def rehearsing(self, rungs: Sequence[Rung]) -> FallbackChain:
        """The same chain over other rungs, with a copy of what is known of their health: what breaks in a drill stays in the drill.

        A rung that stands in for one of this chain's is asked even if that one rests, and nothing is paid for it.
        """
        pretended = [rung for rung in rungs if rung not in self.rungs]
        return FallbackChain(
            rungs=rungs,
            health=self.health.copy(rested={rung.id for rung in pretended}),
            budget=self._budget and self._budget.rehearsing({rung.level for rung in pretended}),
            turn_seconds=self.turn_seconds,
            hedge_seconds=self._hedge_seconds,
            stall_seconds=self.stall_seconds,
            mesh=self.mesh,
        )

    @property
    def hedges(self) -> bool:
        """Whether a silent level is asked alongside the next one, rather than given up."""
        return self._hedge_seconds > 0

    def patience_seconds(self, rung: Rung, follower: Rung | None = None) -> float:
        """Seconds of silence after which the next level is asked as well; where nobody hedges, instead. Another node is asked sooner."""
        if not self.hedges:
            return self.stall_seconds
        learned = self.health.first_token_p95_ms(rung.id) or 0.0
        usual = max(self._hedge_seconds, min(learned / 1000, self.turn_seconds / 3))
        is_well = follower is not None and self.health.breaker(follower.id).state is BreakerState.CLOSED
        return min(usual, self.mesh.patience_seconds(rung, follower)) if follower and is_well else usual

    async def reserve(self, rung: Rung, prompt: Prompt, event_id: UUID | None) -> UUID | None:
        """Set aside what the call can cost. Raises BudgetExhausted, StorageUnavailable."""
        if self._budget is None:
            return None
        return await self._budget.reserve(**rung.who, prompt=prompt, event_id=event_id)

    def most_usd(self, rung: Rung, prompt: Prompt) -> float:
        """The most that asking this rung can cost, in dollars."""
        return self._budget.most_usd(**rung.who, prompt=rung.fitted(prompt)) if self._budget else 0.0

    def cost_usd(self, call: Call) -> float:
        """Dollars for a call that ended. Where its vendor could not tell any more what was used, that is all that was set aside."""
        if self._budget is None:
            return 0.0
        who = call.rung.who
        return self._budget.cost_usd(**who, usage=call.usage) if call.is_counted else self._budget.most_usd(**who, prompt=call.prompt)

    async def settle(self, attempts: Sequence[Attempt], event_id: UUID | None) -> None:
        """Have what was spent written down, for a turn that was called off."""
        if self._budget is not None:
            try:
                await self._budget.settle(attempts, event_id=event_id)
            except StorageError as error:  # what was set aside stays spent, which is the safe side
                log.warning("allowance.not_settled", error=str(error))

    async def _see_off(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait a moment for these tasks to end; whoever does not is told to, and kept in sight."""
        running = {task for task in tasks if not task.done()}
        if running:
            _, late = await asyncio.wait(running, timeout=HANG_UP_SECONDS)
            for task in late:
                task.cancel()
                self._reluctant.add(task)
                task.add_done_callback(self._reluctant.discard)

    async def _save_health(self) -> None:
        try:
            await self.health.save_changes()
        except StorageError as error:  # an answer is worth more than a note about its author
            log.warning("health.not_saved", error=str(error))


class _Run:
    """One turn's walk along the chain."""

    def __init__(
        self, *, chain: FallbackChain, prompt: Prompt, rungs: Sequence[Rung], listener: Listener | None, event_id: UUID | None
    ) -> None:
        self.attempts: list[Attempt] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._chain = chain
        self._health = chain.health
        self._prompt = prompt
        self._listener = listener
        self._event_id = event_id
        self._ahead = deque(rungs)  # to be asked, in order
        self._resting: deque[Rung] = deque()  # passed over after failures
        self._is_last_resort = False
        self._active: list[Call] = []  # being asked, in order
        self._news = asyncio.Event()
        self._shown = False
        self._ruled_out = False

    async def answer(self) -> Completion:
        """Race, then follow the winner; a winner that breaks off is replaced by the next. Raises AllLevelsFailed."""
        while True:
            call = await self._race()
            if await self._follow(call):
                return self._completion(call, is_cut=call.is_cut)

    def _completion(self, call: Call, *, is_cut: bool) -> Completion:
        return Completion(
            text=call.text,
            **call.rung.who,
            why=explain(self.attempts),
            attempts=tuple(self.attempts),
            is_cut=is_cut,
            calls=tuple(call.calls),
            over_budget=self._ruled_out and call.reservation is None,
            recalled=call.prompt.recalled,
        )

    def out_of_time(self) -> Completion | None:
        """The turn's bound struck. What a level has said by now is kept, cut; whoever is silent has failed, but for one hardly asked."""
        for call in tuple(self._active):
            if len(call.text) >= WORTH_KEEPING and not call.calls:
                call.hang_up()
                self._succeed(call, "cut at the turn's bound")
                return self._completion(call, is_cut=True)
            if call.first is None and call.age_seconds < self._chain.patience_seconds(call.rung):
                call.permit.let_off()
            self._fail(call, ProviderUnavailable("no answer before the turn's bound"))
        return None

    def call_off(self) -> None:
        """End every call that is still open, without judging it."""
        for call in tuple(self._active):
            self._let_off(call, "the turn was called off")

    async def _race(self) -> Call:
        """Ask, and ask the next one too while there is silence; the first that speaks. Raises AllLevelsFailed."""
        while self._active or await self._ask_anyone():
            newest = self._active[-1]
            if await self._is_silent_for_too_long(newest):
                await self._hedge(newest)
            self._news.clear()
            for call in tuple(self._active):
                if isinstance(call.first, Delta | ToolCall):
                    self._win(call)
                    return call
                if call.first is not None:
                    self._fail(call, call.first)
        raise AllLevelsFailed(self.attempts)

    async def _is_silent_for_too_long(self, newest: Call) -> bool:
        """Wait for any call to speak; True if the time to ask someone else as well came first."""
        try:
            async with asyncio.timeout(self._patience_seconds(newest)):
                await self._news.wait()
        except TimeoutError:
            return True
        return False

    def _patience_seconds(self, newest: Call) -> float | None:
        """How much longer silence is borne; None where nobody else could be asked. Those that rest are not disturbed for mere slowness."""
        if self._ahead:
            return max(self._chain.patience_seconds(newest.rung, self._ahead[0]) - newest.age_seconds, 0.0)
        return max(self._chain.stall_seconds - newest.age_seconds, 0.0) if self._resting else None

    async def _hedge(self, newest: Call) -> None:
        """Time is up for the newest call: ask someone else alongside, or instead where nobody hedges."""
        if not self._chain.hedges:
            self._fail(newest, ProviderUnavailable(SILENT))
        elif self._ahead:
            await self._ask_next()
        else:
            await self._ask_anyone()

    async def _ask_anyone(self) -> bool:
        """Ask the next rung; where none is left, one that rests after failures, before its time. False where nobody may be asked."""
        if await self._ask_next():
            return True
        self._is_last_resort = True
        self._ahead, self._resting = self._resting, deque()
        return await self._ask_next()

    async def _ask_next(self) -> bool:
        """Ask the next rung that may be asked; False where there is none. Nodes may have fallen since the last one was asked."""
        self._ahead = deque(self._chain.mesh.arrange(self._ahead))
        while self._ahead:
            rung = self._ahead.popleft()
            if (spared := self._chain.poison.verdict(rung.id, self._event_id)) is not None:
                self._note_skipped(rung, detail="failed at this question before", error=spared.__name__)
                continue
            breaker = self._health.breaker(rung.id)
            permit = breaker.permit_as_last_resort() if self._is_last_resort else breaker.permit()
            if permit is not None and await self._ask(rung, permit):
                return True
            if permit is None and not self._is_last_resort:
                self._resting.append(rung)
                self._note_skipped(rung, detail="resting after failures")
        return False

    async def _ask(self, rung: Rung, permit: Permit) -> bool:
        """Ask this rung, if the allowance covers it."""
        prompt = rung.fitted(self._prompt)
        try:
            reservation = await self._chain.reserve(rung, prompt, self._event_id)
        except BaseException as error:  # a probe that never took place must not keep the next one out
            permit.let_off()
            if not isinstance(error, BudgetExhausted):
                raise
            self._ruled_out = True
            self._note_skipped(rung, detail=str(error), error=BudgetExhausted.__name__)
            return False
        health, talk = self._health, self._chain.talk
        call = Call(
            rung=rung, prompt=prompt, permit=permit, reservation=reservation, news=self._news, monotonic=health.monotonic, talk=talk
        )
        self._chain.mesh.asked(rung)
        self._active.append(call)
        self.tasks.append(call.task)
        return True

    def _win(self, call: Call) -> None:
        """*call* spoke first: whoever was asked before it and kept silent has failed. If it breaks off, the others may be asked again."""
        place = self._active.index(call)
        if call.first_token_ms is not None:
            self._health.note_first_token(call.rung.id, call.first_token_ms)
        for other in self._active[:place]:
            error = ""
            if not other.is_waiting:
                self._health.note_first_token(other.rung.id, other.age_seconds * 1000)
                if other.age_seconds >= self._chain.patience_seconds(other.rung):  # else it was only slower than another node
                    other.permit.failed(ProviderUnavailable(SILENT))
                    error = ProviderUnavailable.__name__
            self._resting.append(other.rung)
            self._let_off(other, "silent until another level spoke", error)
        for other in reversed(self._active[1:]):
            if isinstance(other.first, ProviderError):
                self._fail(other, other.first)
            else:
                self._ahead.appendleft(other.rung)
                self._let_off(other, "an earlier level spoke first")

    async def _follow(self, call: Call) -> bool:
        """Take the winner's text to its end; False if it broke off."""
        try:
            while not isinstance(piece := await call.next(self._chain.stall_seconds), Finish):
                if isinstance(piece, Delta):
                    await self._show(call, piece.text)
        except ProviderError as error:
            self._fail(call, error)
            return False
        self._succeed(call)
        return True

    def _succeed(self, call: Call, detail: str = "") -> None:
        call.permit.succeeded()
        self._chain.poison.note_answer(call.rung.id)
        self._end(call, AttemptOutcome.ANSWERED, detail=detail)

    async def _show(self, call: Call, text: str) -> None:
        """Pass text on; the first words of a level that takes over replace what the broken one said."""
        if self._listener is None:
            return
        if self._shown and call.text == text:
            await self._listener.replace(text)
        else:
            await self._listener.token(text)
        self._shown = True

    def _fail(self, call: Call, error: ProviderError) -> None:
        if not self._chain.poison.note_failure(call.rung.id, self._event_id, error) or call.is_waiting:
            call.permit.let_off()
        call.permit.failed(error)
        call.hang_up()
        self._end(call, AttemptOutcome.FAILED, error=type(error).__name__, detail=str(error))

    def _let_off(self, call: Call, why: str, error: str = "") -> None:
        call.permit.let_off()
        call.hang_up()
        self._end(call, AttemptOutcome.OVERTAKEN, detail=why, error=error)

    def _end(self, call: Call, outcome: AttemptOutcome, *, error: str = "", detail: str = "") -> None:
        self._active.remove(call)
        self.attempts.append(call.attempt(outcome, error=error, detail=detail, cost_usd=self._chain.cost_usd(call)))
        self._chain.mesh.ended(call.rung, self.attempts[-1])

    def _note_skipped(self, rung: Rung, *, detail: str, error: str = "") -> None:
        self.attempts.append(Attempt(**rung.who, outcome=AttemptOutcome.SKIPPED, detail=detail, error=error))


def explain(attempts: Sequence[Attempt]) -> str:
    """One line on who answered and what became of those before it."""
    answered = [f"{attempt.level} answered" for attempt in attempts if attempt.outcome is AttemptOutcome.ANSWERED]
    asked = {attempt.level for attempt in attempts if attempt.outcome is not AttemptOutcome.SKIPPED}
    others = [
        f"{attempt.level} {_in_words(attempt)}"
        for attempt in attempts
        if attempt.outcome is not AttemptOutcome.ANSWERED and (attempt.level not in asked or attempt.outcome is not AttemptOutcome.SKIPPED)
    ]
    return ", ".join(dict.fromkeys(answered + others)) or "nobody could be asked"


SILENT = "silent"
_TROUBLE = {
    "BudgetExhausted": "would have passed today's allowance",
    "RateLimited": "had too much to do",
    "CredentialsRejected": "did not take its key",
    "ModelNotServed": "is no longer served",
    "StreamBroken": "broke off",
    "ContextTooLong": "found it too long",
    "RequestRejected": "would not answer it",
}


def _in_words(attempt: Attempt) -> str:
    match attempt.outcome:
        case AttemptOutcome.SKIPPED:
            return _TROUBLE.get(attempt.error, "was passed over")
        case AttemptOutcome.OVERTAKEN:
            return "was slower"
        case _:
            return _TROUBLE.get(attempt.error, "said nothing" if attempt.detail == SILENT else "could not be reached")
