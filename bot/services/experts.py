"""A crew of experts: one plans, researches over tools, drafts, another criticises; each step is kept, so that a death loses none."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bot.brain.brain import recalled
from bot.brain.budget import settle
from bot.brain.confidence import PRIOR
from bot.brain.context import PROMPTS, printable, spoken_date
from bot.brain.reactive import IN_PRIVATE, one_line, reactive_turn
from bot.domain.clock import Clock, new_id
from bot.domain.errors import AllLevelsFailed, Conflict
from bot.domain.message import OutgoingKind
from bot.domain.ports import Listener
from bot.domain.thought import Attempt, Completion, Line, Prompt, Question, Role, TaskType, Tier, Turn
from storage.database import Database
from storage.models.housekeeping import JobRun

JOB = "research"
QUESTIONS = 4
"""Smaller questions that a plan may have."""
NOT_FOUND = "NOT FOUND:"
ASKS_WHAT = "What shall the crew look into? `/research what do we know about Acme, and what should I offer them?`"
_ASKED = re.compile(r"\s*/research(?:\s+(.*))?\s*", re.I | re.DOTALL)
_NUMBERING = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")


class Thinker(Protocol):
    """What the crew needs of the brain."""

    async def step(self, prompt: Prompt, *, question: Question, uses_tools: bool, seconds: float) -> Completion:
        """One step of longer work, with tools that only look where it may use some. Raises AllLevelsFailed, StorageUnavailable."""

    async def answer(self, question: Question, listener: Listener | None = None) -> Turn:
        """What becomes of a question that no crew can work on. Raises StorageUnavailable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one piece of work may take in all: steps (calls of a model), seconds, US dollars."""

    steps: int
    seconds: float
    usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step that is done: whose (plan, research, draft, critique, revise), about what, what came of it, what it took."""

    role: str
    about: str
    text: str
    level: str = ""
    usd: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Next:
    """The step that is to be done; None of it is known to whoever decides what comes after."""

    role: str
    about: str = ""


def next_step(done: Sequence[Step], limits: Limits) -> Next | None:
    """What the crew does next, from the steps that are done; None when the answer stands, or a limit ends the work.

    Two steps are kept in reserve for the draft and its review: research ends before it has used up everything.
    """
    roles = [step.role for step in done]
    is_late = sum(step.seconds for step in done) >= limits.seconds * 0.7 or sum(step.usd for step in done) >= limits.usd * 0.7
    if "plan" not in roles:
        return Next(role="plan")
    if "draft" not in roles:
        open_questions = plan_of(done)[roles.count("research") :]
        is_full = len(done) >= limits.steps - 2 or (is_late and "research" in roles)
        return Next(role="research", about=open_questions[0]) if open_questions and not is_full else Next(role="draft")
    if is_spent(done, limits) or "revise" in roles:
        return None
    if "critique" not in roles:
        return Next(role="critique")
    return None if is_content(done[-1].text) else Next(role="revise")


def is_spent(done: Sequence[Step], limits: Limits) -> bool:
    """Whether one of the limits is reached."""
    return len(done) >= limits.steps or sum(step.seconds for step in done) >= limits.seconds or sum(step.usd for step in done) >= limits.usd


def is_content(review: str) -> bool:
    """Whether a review found nothing to mend."""
    return review.strip().strip(".!*`\"'").casefold() in ("ok", "okay", "no faults", "none")


def plan_of(done: Sequence[Step]) -> list[str]:
    """The questions of the plan, without their numbering; each once."""
    plan = next(step for step in done if step.role == "plan")
    lines = (_NUMBERING.sub("", line).strip() for line in plan.text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))[:QUESTIONS] or [plan.about]


def not_found(done: Sequence[Step]) -> list[str]:
    """What the researchers could not find out, and what nobody came to look for, as they are told at the answer's end."""
    said = [
        line.split(NOT_FOUND, 1)[1].strip().rstrip("*")
        for step in done
        if step.role == "research"
        for line in step.text.splitlines()
        if NOT_FOUND in line
    ]
    looked_at = {step.about for step in done if step.role == "research"}
    return [
        *dict.fromkeys(each for each in said if each),
        *(f"{each} (I did not get to it)" for each in plan_of(done) if each not in looked_at),
    ]


def answer_of(done: Sequence[Step], limits: Limits) -> str:
    """The answer as the person reads it: the last draft, what could not be found, and which limit ended the work, if one did."""
    worded = [step.text for step in done if step.role in ("draft", "revise")]
    found = [f"**{step.about}**\n\n{_without_misses(step.text)}" for step in done if step.role == "research"]
    parts = [worded[-1] if worded else "I could not put it into one answer; this is what I found.\n\n" + "\n\n".join(found)]
    if missing := not_found(done):
        parts.append("**What I could not find**\n\n" + "\n".join(f"- {each}" for each in missing))
    if is_spent(done, limits):
        parts.append(
            f"*I stopped at the limit of {limits.steps} steps, {limits.seconds:g} seconds or ${limits.usd:.2f} for one piece of work.*"
        )
    return "\n\n".join(parts)


def progress_of(done: Sequence[Step], coming: Next) -> str:
    """How far the work is, for whoever watches."""
    questions = plan_of(done) if done else []
    looked_at = [step.about for step in done if step.role == "research"]
    lines = [f"- {'✓' if each in looked_at else '…' if each == coming.about else '·'} {one_line(each, 100)}" for each in questions]
    doing = {
        "plan": "Planning what to look for",
        "research": f"Looking into it ({len(looked_at) + 1} of {len(questions)})",
        "draft": "Writing it up",
        "critique": "Having it reviewed",
        "revise": "Mending what the review found",
    }[coming.role]
    return "\n".join([f"*{doing} …*", "", *lines])


class Experts:
    """Answers `/research …`. One that was interrupted goes on after the last step that was kept, and pays for none twice."""

    def __init__(self, *, brain: Thinker, database: Database, owner: str, limits: Limits, clock: Clock) -> None:
        self._brain = brain
        self._database = database
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._words = tomllib.loads((PROMPTS / "crew.toml").read_text("utf-8"))

    async def answer(self, question: Question, listener: Listener | None = None) -> Turn | None:
        """The crew's answer; None where it is not asked for. Where no model goes beyond a plan, the last rung answers.

        Raises StorageUnavailable.
        """
        found = None if question.writer else _ASKED.fullmatch(question.text)
        if found is None:
            return None
        if not question.is_private:
            return reactive_turn(IN_PRIVATE, why="research reads what is private")
        if not found.group(1):
            return reactive_turn(ASKS_WHAT, why="the command /research")
        run = await self._claim(question)
        done = await self._work(run, question, found.group(1).strip(), listener) if run is not None else []
        has_found = any(step.role == "research" for step in done)
        return self._turn(done, question) if has_found else await self._brain.answer(question, listener)

    async def _claim(self, question: Question) -> JobRun | None:
        """This question's work, new or as it was left: whoever holds the question's claim may take it over, and nobody else comes here."""
        now = self._clock.now()
        lapsed = now - timedelta(seconds=1)
        async with self._database.unit_of_work() as work:
            return await work.job_runs.claim(JOB, str(question.id), owner=str(new_id()), now=now, until=lapsed)

    async def _work(self, run: JobRun, question: Question, asked: str, listener: Listener | None) -> list[Step]:
        """Step after step, each kept before the next begins."""
        done = [Step(**step) for step in run.details.get("steps", [])]
        while (coming := next_step(done, self._limits)) is not None:
            if listener is not None:
                await listener.replace(progress_of(done, coming))
            began = time.monotonic()
            seconds = max(self._limits.seconds - sum(step.seconds for step in done), 5.0)
            try:
                completion = await self._brain.step(
                    self._prompt(coming, question, asked, done), question=question, uses_tools=coming.role == "research", seconds=seconds
                )
            except AllLevelsFailed as failure:
                await self._keep(run, done, tuple(each for each in failure.attempts if isinstance(each, Attempt)), question)
                break
            taken = {"usd": completion.cost_usd, "seconds": round(time.monotonic() - began, 2)}
            done.append(Step(role=coming.role, about=coming.about or asked, text=completion.text.strip(), level=completion.level, **taken))
            await self._keep(run, done, completion.attempts, question)
        return done

    async def _keep(self, run: JobRun, done: Sequence[Step], attempts: Sequence[Attempt], question: Question) -> None:
        """The step and what it cost, in one commit. Raises Conflict where somebody else has taken the work over."""
        async with self._database.unit_of_work() as work:
            await settle(work, attempts, event_id=question.id, now=self._clock.now())
            if not await work.job_runs.keep(run, details={"steps": [asdict(step) for step in done]}):
                raise Conflict(f"research {run.slot} was taken over")

    def _prompt(self, coming: Next, question: Question, asked: str, done: Sequence[Step]) -> Prompt:
        today = spoken_date(self._clock.now().astimezone(ZoneInfo(question.person.timezone)))
        filled = {"owner": self._owner, "person": question.person.name, "date": today, "questions": QUESTIONS, "words": 350}
        system = printable(self._words[coming.role]["system"].format(**filled))
        return Prompt(system=system, brief_system=system, lines=(Line(role=Role.USER, text=printable(_material(coming, asked, done))),))

    def _turn(self, done: Sequence[Step], question: Question) -> Turn:
        last, told = done[-1], answer_of(done, self._limits)
        levels = ", ".join(dict.fromkeys(step.level for step in done))
        return Turn(
            text=f"{recalled(question)} Here is what I owed you:\n\n{told}" if question.is_late else told,
            kind=OutgoingKind.LATE if question.is_late else OutgoingKind.ANSWER,
            tier=Tier.ANALYTICAL,
            level=last.level,
            provider="",
            model="",
            task_type=TaskType.COMPLEX,
            why=f"a crew took {len(done)} steps ({', '.join(step.role for step in done)}) with {levels}",
            latency_ms=0.0,
            confidence=PRIOR[Tier.ANALYTICAL],
            cost_usd=sum(step.usd for step in done),
            is_untrusted=True,  # its steps may have read anything
        )


def _material(coming: Next, asked: str, done: Sequence[Step]) -> str:
    """What an expert gets to read for a step."""
    findings = "\n\n".join(f"{step.about}\n{step.text}" for step in done if step.role == "research") or "(none)"
    drafts = [step.text for step in done if step.role in ("draft", "revise")]
    seen = [f"The question: {asked}", f"<findings>\n{findings}\n</findings>", f"<draft>\n{drafts[-1] if drafts else ''}\n</draft>"]
    parts = {
        "plan": [asked],
        "research": [f"The whole question, for context: {asked}", f"Your question: {coming.about}"],
        "draft": seen[:2],
        "critique": seen,
        "revise": [*seen, f"<review>\n{done[-1].text if done else ''}\n</review>"],
    }
    return "\n\n".join(parts[coming.role])


def _without_misses(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if NOT_FOUND not in line).strip() or "(nothing)"
