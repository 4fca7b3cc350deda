"""The front door of thinking: a question goes in, a turn comes out, always."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from bot.brain.analytical import NO_COUNCIL, WISH, Council, read_wish
from bot.brain.chain import FallbackChain, explain
from bot.brain.confidence import Confidence, guess
from bot.brain.context import ContextBuilder, spoken_date
from bot.brain.mentors import heard_in
from bot.brain.providers.offline import Makeshift, OfflineRung
from bot.brain.reactive import Reactive, one_line, reactive_turn
from bot.brain.router import Router
from bot.brain.task_type import classify
from bot.brain.tools import Kit, Toolbox, Watch, answer_with
from bot.domain.errors import AllLevelsFailed, BudgetExhausted, ContextTooLong, RequestRejected
from bot.domain.message import OutgoingKind
from bot.domain.ports import Listener
from bot.domain.thought import Attempt, Completion, Prompt, Question, Route, TaskType, Tier, Turn

LATE_PATIENCE = 4
"""Nobody waits in front of a late answer, so that a slow model may take this many times a turn's bound."""


REFUSED = "This is one that I cannot answer as it stands: it was turned down wherever I asked. In other, or fewer, words I may be able to."
ACTED = "My models fell silent before I could answer. This is what came of it so far:\n\n{done}\n\nAsk me again about the rest."
CUT_MARK = " …"
"""Ends an answer that its level's `max_output_tokens` ended, so that nobody takes it for whole."""


@dataclass(kw_only=True, eq=False)
class Brain:
    """Tier 1 first; else one prompt, before the council or down the chain with tools; else the honest last rung."""

    reactive: Reactive
    context: ContextBuilder
    chain: FallbackChain
    offline: OfflineRung
    router: Router | None = None
    toolbox: Toolbox | None = None
    council: Council | None = None
    confidence: Confidence | None = None
    monotonic: Callable[[], float] = time.monotonic

    async def answer(self, question: Question, listener: Listener | None = None) -> Turn:
        """Answer *question*; text is told to *listener* while it grows. Raises StorageUnavailable, nothing of the models'."""
        began = self.monotonic()
        self.chain.mesh.wake()
        is_plain = not (question.writer or question.quoted or question.attachments or WISH.fullmatch(question.text))
        turn = await self.reactive.answer(question) if is_plain else None
        turn = turn or await self._think(question, listener)
        turn = await self.confidence.weighed(turn) if self.confidence else turn
        return replace(turn, latency_ms=(self.monotonic() - began) * 1000)

    async def step(self, prompt: Prompt, *, question: Question, uses_tools: bool, seconds: float) -> Completion:
        """One step of longer work, with tools that only look where it may use some. Raises AllLevelsFailed, StorageUnavailable."""
        kit = await self.toolbox.open(question, only_looks=True) if self.toolbox and uses_tools else Kit(question=question)
        bound = min(seconds, self.chain.turn_seconds * LATE_PATIENCE)
        return await answer_with(kit, prompt, chain=self.chain, watch=None, question=question, seconds=bound)

    async def _think(self, question: Question, listener: Listener | None) -> Turn:
        """The answer of the council where one is due, else of the chain with tools; where neither has one, what is made do with."""
        question, is_wished = read_wish(question)
        prompt = await self.context.build(question)
        route = await self.router.route(prompt, question) if self.router else Route(task_type=classify(prompt)[0], levels=())
        seats = self.council.members(question, prompt, route, is_wished=is_wished) if self.council else []
        kit = await self.toolbox.open(question) if self.toolbox and not seats else Kit(question=question)
        watch = Watch(listener)
        seconds = self.chain.turn_seconds * (LATE_PATIENCE if question.is_late else 1)
        try:
            if self.council and seats:
                views = await self.context.views(question)
                said = await self.council.answer(prompt, seats, views, question, route, watch, seconds)
            else:
                said = await answer_with(
                    kit, prompt, chain=self.chain, watch=watch, question=question, seconds=seconds, levels=route.levels
                )
        except AllLevelsFailed as failure:
            return await self._make_do(question, failure, route.task_type, watch, kit.deeds)
        turn = _turn_of(said, question, route, prompt, note=NO_COUNCIL if is_wished and not seats else "")
        return replace(turn, is_untrusted=kit.has_read, tools=tuple(kit.used))

    async def _make_do(self, question: Question, failure: AllLevelsFailed, task_type: TaskType, watch: Watch, deeds: Sequence[str]) -> Turn:
        """The last rung; what a broken stream showed is replaced by it. What was acted upon already is told, and not tried once more."""
        attempts = tuple(attempt for attempt in failure.attempts if isinstance(attempt, Attempt))
        is_spent = any(attempt.error == BudgetExhausted.__name__ for attempt in attempts)
        about, why = f"{recalled(question)} " if question.is_late else "", explain(attempts)
        if is_refusal := _is_refused(attempts) and not deeds:
            makeshift = Makeshift(text=about + REFUSED, why=why)
        elif deeds:
            text = about + ACTED.format(done="\n".join(f"- {deed}" for deed in deeds))
            makeshift = Makeshift(text=text, why=f"its tools had acted by then ({why})")
        else:
            makeshift = await self.offline.answer(question, is_spent=is_spent)
            makeshift = replace(makeshift, why=f"{makeshift.why} ({why})")
        await watch.correct(makeshift.text)
        kind, cost_usd = OutgoingKind.NOTICE if is_refusal else OutgoingKind.OFFLINE, sum(attempt.cost_usd for attempt in attempts)
        turn = replace(reactive_turn(makeshift.text, why=makeshift.why, kind=kind), attempts=attempts, cost_usd=cost_usd)
        if is_refusal:
            return turn
        turn = replace(turn, level="offline", provider="offline", tier=Tier.DIRECT, task_type=task_type)
        return replace(turn, queued=not deeds, over_budget=is_spent)


def _turn_of(completion: Completion, question: Question, route: Route, prompt: Prompt, *, note: str) -> Turn:
    confidence, doubt = guess(completion, route, question, is_doubted=prompt.is_doubted)
    text = completion.text.strip() + CUT_MARK * completion.is_cut + f"\n\n{note}" * bool(note)
    return Turn(
        text=f"{recalled(question)} Here is the answer I owed you:\n\n{text}" if question.is_late and not question.writer else text,
        kind=OutgoingKind.LATE if question.is_late else OutgoingKind.ANSWER,
        tier=completion.tier,
        level=completion.level,
        provider=completion.provider,
        model=completion.model,
        task_type=route.task_type,
        why="; ".join(filter(None, (route.why, completion.why))),
        latency_ms=0.0,
        confidence=confidence,
        doubt=doubt,
        cost_usd=completion.cost_usd,
        attempts=completion.attempts,
        over_budget=completion.over_budget,
        personality=prompt.personality,
        mentor=heard_in(completion.text, (*prompt.mentors, *(step.get("mentor", "") for step in completion.path))),
        path=completion.path,
        recalled=completion.recalled,
    )


def recalled(question: Question) -> str:
    """What a late word says first: which question it belongs to."""
    asked = question.asked_at.astimezone(ZoneInfo(question.person.timezone))
    return f"On {spoken_date(asked)} at {asked:%H:%M} you asked: “{one_line(question.text)}”."


def _is_refused(attempts: Sequence[Attempt]) -> bool:
    """Whether every level was there and would not answer this one question: asking again would change nothing."""
    levels = {attempt.level for attempt in attempts}
    refusing = {attempt.level for attempt in attempts if attempt.error in (RequestRejected.__name__, ContextTooLong.__name__)}
    return bool(levels) and refusing == levels
