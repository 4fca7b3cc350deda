"""Tier 2, analytical: a hard question goes to the best few levels at once, and what they agree on is put together."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from bot.brain.agreement import SAME, are_same, difference, kept, supports, words_of
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain, explain
from bot.brain.confidence import PRIOR
from bot.brain.context import PROMPTS, cleaned
from bot.brain.health import BreakerState
from bot.brain.mentors import MentorView
from bot.brain.tools import Watch
from bot.domain.errand import inert
from bot.domain.errors import AllLevelsFailed, BudgetExhausted
from bot.domain.thought import Attempt, Completion, Line, Prompt, Question, Role, Route, TaskType, Tier, estimate_tokens

MEMBERS = 3
DRAFTS_SHARE = 0.6
"""Of the turn's seconds; the rest is for putting the drafts together."""
LEAST_SECONDS = 5  # for whoever is late once two have answered, where these were quick
LONGEST_DRAFT, LONGEST_SAID = 12_000, 1_000
"""Characters of a draft that are compared and put together, and that the reasoning path keeps."""
HARD_TOKENS = 80
DOUBTFUL = 0.8
"""Below this expected quality of the best level, the others are worth their price."""

WISH = re.compile(r"\s*(?:/council(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)|(?:please )?ask (?:the|your) council\s*[:,]\s*)(\S.*)", re.I | re.DOTALL)
NO_COUNCIL = "*One model answered this: a council must be switched on and paid for, and needs two that are well and large enough.*"
DIFFER, OTHERS = "\n\n*They differ. {}.*", "\n\n*`/why` shows what the others said.*"
_WORDS = tomllib.loads((PROMPTS / "council.toml").read_text("utf-8"))
_WEIGHS, _LOOKS_UP = (re.compile(_WORDS[name], re.I | re.DOTALL) for name in ("weighs", "looks_up"))


def is_hard(text: str, route: Route) -> bool:
    """Whether more opinions are worth it unasked: complex, long or to be weighed, nothing to look up, and the best level may fail at it."""
    is_doubtful = route.task_type is TaskType.COMPLEX and (route.expected is None or route.expected < DOUBTFUL)
    return is_doubtful and (estimate_tokens(text) > HARD_TOKENS or bool(_WEIGHS.search(text))) and not _LOOKS_UP.search(text)


def read_wish(question: Question) -> tuple[Question, bool]:
    """The question itself, and whether it is put to the council by name."""
    wish = None if _is_barred(question) else WISH.fullmatch(question.text)
    return (replace(question, text=wish[1]), True) if wish else (question, False)


def _is_barred(question: Question) -> bool:
    """What strangers are told, and what the owner may have to approve, is one model's."""
    return bool(question.writer) or (question.channel == "email" and not question.is_private)


class Council:
    """Asks several levels at once, without tools, within the turn's bound and `usd`; `mode`: auto, ask (only when asked for) or off."""

    def __init__(self, *, chain: FallbackChain, mode: str, usd: float) -> None:
        self._chain, self._mode, self._usd = chain, mode, usd

    def members(self, question: Question, prompt: Prompt, route: Route, *, is_wished: bool) -> list[Rung]:
        """Whom to ask: the best different models that are well, large enough and together affordable; nobody where no council is due."""
        is_due = self._mode != "off" if is_wished else self._mode == "auto" and is_hard(question.text, route)
        if not is_due or _is_barred(question):
            return []
        seats, left = dict[tuple[str, str], Rung](), self._usd
        for rung in self._chain.ordered(route.levels[route.is_exploring :]):  # nothing is learned of a level here
            model, most = (rung.provider.provider, rung.provider.model), self._chain.most_usd(rung, prompt)
            is_well = self._chain.health.breaker(rung.id).state is BreakerState.CLOSED and self._chain.mesh.serves(rung)
            if is_well and not rung.is_brief and most <= left and model not in seats and len(seats) < MEMBERS:
                seats[model], left = rung, left - most
        return list(seats.values()) if len(seats) > 1 else []

    async def answer(
        self, prompt: Prompt, seats: list[Rung], views: Sequence[MentorView], question: Question, route: Route, watch: Watch, seconds: float
    ) -> Completion:
        """What they come to, the last with these *views*; where none answers, the chain's. Raises AllLevelsFailed, StorageUnavailable."""
        sitting = _Sitting(self._chain, prompt, seats, question, watch, usd=self._usd, seconds=seconds)
        others = [rung.level for rung in self._chain.ordered(route.levels) if rung.level not in sitting.names]
        try:
            await watch.replace(f"*Asking {', '.join(sitting.names[:-1])} and {sitting.names[-1]} …*")
            drafts = await sitting.drafts(views)
            watch.begin_again()
            done = await (sitting.sum_up(drafts) if drafts else sitting.ask(prompt, [*others, *sitting.names], is_alone=False))
            if done is not None:
                await watch.replace(done.text)
        except BaseException:  # nobody else will hear what was spent
            await self._chain.settle(sitting.attempts, question.id)
            raise
        if done is None:
            raise AllLevelsFailed(sitting.attempts)
        is_spent = any(attempt.error == BudgetExhausted.__name__ for attempt in sitting.attempts)
        why = explain(sitting.attempts) + (f"; {done.why}" if drafts else "")
        return replace(done, attempts=tuple(sitting.attempts), over_budget=is_spent, why=why)


class _Sitting:
    """One question before one council: who is asked, until when, and all that was tried so far."""

    def __init__(
        self, chain: FallbackChain, prompt: Prompt, seats: list[Rung], question: Question, watch: Watch, *, usd: float, seconds: float
    ) -> None:
        self.attempts, self.names = list[Attempt](), [rung.level for rung in seats]
        self._chain, self._prompt, self._seats, self._question, self._watch = chain, prompt, seats, question, watch
        self._usd, self._seconds, self._now = usd, seconds, asyncio.get_running_loop().time
        self._began, self._answered, self._waiting = self._now(), 0, list[asyncio.Timeout]()  # for drafts

    async def ask(
        self, prompt: Prompt, levels: Sequence[str], *, is_alone: bool = True, bound: asyncio.Timeout | None = None
    ) -> Completion | None:
        """What one says, shown as it grows unless it has a *bound* of its own; None where nobody answers in time, or without a word."""
        watch = self._watch if bound is None else None
        left = max(self._began + self._seconds - self._now(), 0.0)
        try:
            said = await self._chain.complete(
                prompt, listener=watch, event_id=self._question.id, seconds=left, bound=bound, levels=levels, alone=is_alone
            )
        except AllLevelsFailed as failure:
            self.attempts.extend(attempt for attempt in failure.attempts if isinstance(attempt, Attempt))
            return None
        self.attempts.extend(said.attempts)
        text = cleaned(said.text)
        return replace(said, text=text) if any(map(str.isalnum, text)) else None

    async def drafts(self, views: Sequence[MentorView]) -> list[Completion]:
        """What the members say, in their order, each for itself; the last of them for these *views*, the first always for none."""
        voices = [*[None] * len(self._seats), *views[: len(self._seats) - 1]][-len(self._seats) :]
        found = await asyncio.gather(*map(self._draft, self._seats, voices), return_exceptions=True)
        if broken := [each for each in found if isinstance(each, BaseException)]:  # all have ended by now
            raise broken[0]
        return [each for each in found if isinstance(each, Completion)]

    async def _draft(self, rung: Rung, view: MentorView | None) -> Completion | None:
        """What a member says; where it is the second who answers, the others have as long again."""
        bound = asyncio.timeout(self._seconds * DRAFTS_SHARE)
        self._waiting.append(bound)
        try:
            said = await self.ask(_adding(self._prompt, view.words) if view else self._prompt, [rung.level], bound=bound)
        finally:
            self._waiting.remove(bound)
        self._answered += said is not None
        if said and self._answered == 2:
            end = self._now() + max(self._now() - self._began, LEAST_SECONDS)
            for other in self._waiting:
                with suppress(RuntimeError):  # it ends by itself at this moment
                    other.reschedule(min(end, other.when() or end))
        step = {"who": rung.level, "mentor": view.name if view else ""}
        return said and replace(said, text=said.text + " …" * said.is_cut, path=(step,))

    async def sum_up(self, drafts: list[Completion]) -> Completion:
        """The drafts in one: the shortest where all say the same, else put together by the best level, else by code."""
        texts, names, whole = [draft.text[:LONGEST_DRAFT] for draft in drafts], [draft.level for draft in drafts], None
        agreed, (differ, values) = supports(texts, self._question.text[:LONGEST_DRAFT]), difference(texts, names)
        best, mean = drafts[agreed.index(max(agreed))], sum(agreed) / len(agreed)
        if len(drafts) == 1:
            text, how = f"{best.text}\n\n*Of the council only {best.level} answered.*", "nobody else answered"
        elif min(agreed) >= SAME and are_same(texts):
            best = min(drafts, key=lambda draft: len(draft.text))
            text, how = best.text, "all said the same"
        elif whole := await self._together(drafts):
            text, how = whole.text + ("" if values <= {*words_of(whole.text)} else DIFFER.format(differ)), f"put together by {whole.level}"
        else:
            text, how = best.text + (DIFFER.format(differ) if differ else OTHERS), f"the words of {best.level} stand"
        steps = [
            {**each.path[0], "said": each.text[:LONGEST_SAID], "agreement": round(value, 3)}
            | {"kept": round(kept(each.text, text), 3), "ms": round(each.attempts[-1].latency_ms), "usd": each.cost_usd}
            for each, value in zip(drafts, agreed, strict=True)
        ]
        tried = {name: explain([each for each in self.attempts if each.level == name]) for name in self.names if name not in names}
        steps += [{"who": name, "what": f"no draft: {what}"} for name, what in tried.items()]
        return replace(
            whole or best,
            text=text,
            is_cut=False,
            tier=Tier.ANALYTICAL,
            why=how if len(drafts) == 1 else f"agreement {mean:.2f}, {how}",
            confidence=None if len(drafts) == 1 else (mean + PRIOR[Tier.ANALYTICAL]) / 2,  # agreement tells half of it
            path=(*steps, {"what": "; ".join(filter(None, (how, differ)))}),
            recalled=tuple(dict.fromkeys(each for draft in drafts for each in draft.recalled)),
        )

    async def _together(self, drafts: list[Completion]) -> Completion | None:
        """Its synthesis by the best who answered; None where that fails, or is not whole within what is left of time and money."""
        texts, (*before, asked) = [draft.text[:LONGEST_DRAFT] for draft in drafts], self._prompt.lines
        told = "\n\n".join(f"<draft name={name}>\n{inert(text)}\n</draft>" for name, text in zip("ABC", texts, strict=False))
        material = _WORDS["material"].format(drafts=told, differ=difference(texts, "ABC")[0] or "nothing stands out", question=asked.text)
        lines = (*before, Line(role=Role.USER, text=material))
        whole = replace(_adding(self._prompt, _WORDS["together"]), lines=lines, recalled=())  # the drafts were made of it
        best = self._seats[self.names.index(drafts[0].level)]
        if self._chain.most_usd(best, whole) + sum(attempt.cost_usd for attempt in self.attempts) > self._usd:
            return None
        said = await self.ask(whole, [best.level])
        return None if said is None or said.is_cut else said


def _adding(prompt: Prompt, words: str) -> Prompt:
    """*prompt* with these words below its standing ones."""
    return replace(prompt, system=f"{prompt.system}\n\n{words}", brief_system=f"{prompt.brief_system}\n\n{words}")
