"""Tier 2, analytical: a hard question goes to the best few levels at once, and what they agree on is put together."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from bot.brain.agreement import SAME, SHORT_WORDS, difference, kept, supports, words_of
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain, explain
from bot.brain.context import PROMPTS, cleaned, inert
from bot.brain.health import BreakerState
from bot.brain.mentors import MentorView
from bot.brain.tools import Watch
from bot.domain.address import SessionType
from bot.domain.errors import AllLevelsFailed, BudgetExhausted
from bot.domain.thought import Attempt, Completion, Line, Prompt, Question, Role, Route, TaskType, Tier, estimate_tokens

MEMBERS = 3
DRAFTS_SHARE = 0.6
"""Of the turn's seconds; the rest is for putting the drafts together."""
LONGEST_DRAFT, LONGEST_SAID = 12_000, 1_000
"""Characters of a draft that are compared and put together, and that the reasoning path keeps."""
HARD_TOKENS = 80
DOUBTFUL = 0.8
"""Below this expected quality of the best level, the others are worth their price."""

WISH = re.compile(r"\s*(?:/council[ \t]+|(?:please )?ask (?:the|your) council\s*[:,]\s*)(\S.*)", re.I | re.DOTALL)
NO_COUNCIL = "*One model answered this: a council needs two that are well and large enough, and its allowance.*"
DIFFER, OTHERS = "\n\n*They differ. {}.*", "\n\n*`/why` shows what the others said.*"
_WORDS = tomllib.loads((PROMPTS / "council.toml").read_text("utf-8"))
_WEIGHS, _LOOKS_UP = (re.compile(_WORDS[name], re.I | re.DOTALL) for name in ("weighs", "looks_up"))

Ask = Callable[..., Awaitable[Completion | None]]


def is_hard(text: str, route: Route) -> bool:
    """Whether more opinions are worth it unasked: complex, long or to be weighed, nothing to look up, and the best level may fail at it."""
    is_doubtful = route.task_type is TaskType.COMPLEX and (route.expected is None or route.expected < DOUBTFUL)
    return is_doubtful and (estimate_tokens(text) > HARD_TOKENS or bool(_WEIGHS.search(text))) and not _LOOKS_UP.search(text)


class Council:
    """Asks several levels at once, without tools, within the turn's bound and `usd`; `mode`: auto, ask (only when asked for) or off."""

    def __init__(self, *, chain: FallbackChain, mode: str, usd: float) -> None:
        self._chain = chain
        self._mode = mode
        self._usd = usd

    def members(self, question: Question, prompt: Prompt, route: Route, *, is_wished: bool) -> list[Rung]:
        """Whom to ask: the best different models that are well, large enough and together affordable; nobody where no council is due."""
        is_due = self._mode != "off" if is_wished else self._mode == "auto" and is_hard(question.text, route)
        if not is_due or question.writer or (question.channel == "email" and question.session_type is SessionType.SHARED):
            return []  # what strangers are told, and what the owner may have to approve, is one model's
        seats, left = dict[tuple[str, str], Rung](), self._usd
        for rung in self._chain.ordered(route.levels):
            model, most = (rung.provider.provider, rung.provider.model), self._chain.most_usd(rung, prompt)
            is_well = (
                self._chain.health.breaker(rung.id).state is BreakerState.CLOSED and self._chain.mesh.serves(rung) and not rung.is_brief
            )
            if is_well and most <= left and model not in seats and len(seats) < MEMBERS:
                seats[model], left = rung, left - most
        return list(seats.values()) if len(seats) > 1 else []

    async def answer(
        self, prompt: Prompt, seats: list[Rung], views: Sequence[MentorView], question: Question, route: Route, watch: Watch, seconds: float
    ) -> Completion:
        """What they come to, the last with these *views*; where none answers, the chain's. Raises AllLevelsFailed, StorageUnavailable."""
        now, attempts = self._chain.health.monotonic, list[Attempt]()
        due, voices = now() + seconds, [*[None] * len(seats), *views[: len(seats) - 1]][-len(seats) :]

        async def ask(prompt: Prompt, levels: Sequence[str], *, seen: Watch | None = watch, alone: bool = True) -> Completion | None:
            left = max(due - now() - (seconds * (1 - DRAFTS_SHARE) if seen is None else 0.0), 0.0)
            try:
                said = await self._chain.complete(prompt, listener=seen, event_id=question.id, seconds=left, levels=levels, alone=alone)
            except AllLevelsFailed as failure:
                attempts.extend(attempt for attempt in failure.attempts if isinstance(attempt, Attempt))
                return None
            attempts.extend(said.attempts)
            text = cleaned(said.text)
            return replace(said, text=text) if any(map(str.isalnum, text)) else None

        async def draft(rung: Rung, view: MentorView | None) -> Completion | None:
            said = await ask(_adding(prompt, view.words) if view else prompt, [rung.level], seen=None)
            step = {"who": rung.level, "mentor": view.name if view else ""}
            return said and replace(said, text=said.text + " …" * said.is_cut, path=(step,))

        try:
            await watch.replace(f"*Asking {', '.join(rung.level for rung in seats[:-1])} and {seats[-1].level} …*")
            found = await asyncio.gather(*map(draft, seats, voices), return_exceptions=True)  # where one breaks, all have ended
            for broken in (each for each in found if isinstance(each, BaseException)):
                raise broken
            watch.begin_again()
            drafts = [each for each in found if isinstance(each, Completion)]
            done = await (self._sum_up(drafts, seats, prompt, question, ask) if drafts else ask(prompt, route.levels, alone=False))
            if done is not None:
                await watch.replace(done.text)
        except BaseException:  # nobody else will hear what was spent
            await self._chain.settle(attempts, question.id)
            raise
        if done is None:
            raise AllLevelsFailed(attempts)
        is_spent = any(attempt.error == BudgetExhausted.__name__ for attempt in attempts)
        return replace(done, attempts=tuple(attempts), over_budget=is_spent, why=explain(attempts) + (f"; {done.why}" if drafts else ""))

    async def _sum_up(self, drafts: list[Completion], members: list[Rung], prompt: Prompt, question: Question, ask: Ask) -> Completion:
        """The drafts in one: the shortest where all say the same, else put together by the best level, else by code."""
        texts, names, whole = [draft.text[:LONGEST_DRAFT] for draft in drafts], [draft.level for draft in drafts], None
        agreed, (differ, values) = supports(texts, question.text), difference(texts, names)
        best = drafts[agreed.index(max(agreed))]
        if len(drafts) == 1:
            text, how = f"{best.text}\n\n*Of the council only {best.level} answered.*", "nobody else answered"
        elif min(agreed) >= SAME and all(len(text.split()) <= SHORT_WORDS for text in texts):
            best = min(drafts, key=lambda draft: len(draft.text))
            text, how = best.text, "all said the same"
        elif whole := await self._together(next(rung for rung in members if rung.level == names[0]), drafts, prompt, ask):
            text, how = whole.text + ("" if values <= {*words_of(whole.text)} else DIFFER.format(differ)), f"put together by {whole.level}"
        else:
            text, how = best.text + (DIFFER.format(differ) if differ else OTHERS), f"the words of {best.level} stand"
        mean = sum(agreed) / len(agreed) if len(drafts) > 1 else None
        steps = [
            {**each.path[0], "said": each.text[:LONGEST_SAID], "agreement": round(value, 3)}
            | {"kept": round(kept(each.text, text), 3), "ms": round(each.attempts[-1].latency_ms), "usd": each.cost_usd}
            for each, value in zip(drafts, agreed, strict=True)
        ]
        return replace(
            whole or best,
            text=text,
            is_cut=False,
            tier=Tier.ANALYTICAL,
            why=how if mean is None else f"agreement {mean:.2f}, {how}",
            confidence=mean,
            path=(*steps, {"what": "; ".join(filter(None, (how, differ)))}),
        )

    async def _together(self, best: Rung, drafts: list[Completion], prompt: Prompt, ask: Ask) -> Completion | None:
        """Its synthesis, shown as it grows; None where it fails, or is not whole within what is left of time and money."""
        texts, (*before, asked) = [draft.text[:LONGEST_DRAFT] for draft in drafts], prompt.lines
        told = "\n\n".join(f"<draft name={name}>\n{inert(text)}\n</draft>" for name, text in zip("ABC", texts, strict=False))
        material = _WORDS["material"].format(drafts=told, differ=difference(texts, "ABC")[0] or "nothing stands out", question=asked.text)
        whole = replace(_adding(prompt, _WORDS["together"]), lines=(*before, Line(role=Role.USER, text=material)))
        if self._chain.most_usd(best, whole) + sum(draft.cost_usd for draft in drafts) > self._usd:
            return None
        said = await ask(whole, [best.level])
        return None if said is None or said.is_cut else said


def _adding(prompt: Prompt, words: str) -> Prompt:
    """*prompt* with these words below its standing ones."""
    return replace(prompt, system=f"{prompt.system}\n\n{words}", brief_system=f"{prompt.brief_system}\n\n{words}")
