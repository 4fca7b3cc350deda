"""The words of thinking: what a model is asked, what it says, and what became of a turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from bot.domain.address import Person, SessionType
from bot.domain.message import OutgoingKind

CHARACTERS_PER_TOKEN = 3.5
"""A cautious rule of thumb (English runs nearer 4), used only where no tokenizer of the model is at hand."""


BRIEF_LINES_TOKENS = 600
"""Conversation shown to a small model on a processor: at about 10 ms a token, what it reads is what the person waits for."""


class Tier(StrEnum):
    """How hard a turn was thought about: no model, one model from the chain, several models."""

    REACTIVE = "reactive"
    DIRECT = "direct"
    ANALYTICAL = "analytical"


class TaskType(StrEnum):
    """What sort of work a question is."""

    QUICK = "quick"
    COMPLEX = "complex"
    LONG_CONTEXT = "long_context"
    CODE = "code"
    CREATIVE = "creative"


class Role(StrEnum):
    """Who says a line of a prompt."""

    USER = "user"
    ASSISTANT = "assistant"


def estimate_tokens(text: str) -> int:
    """About how many tokens *text* is, rounded up; see CHARACTERS_PER_TOKEN."""
    return int(len(text) / CHARACTERS_PER_TOKEN) + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A stored message that wants an answer; `id` is the message's. `is_late` if the offline rung has answered it already."""

    id: UUID
    conversation_id: UUID
    person: Person
    text: str
    asked_at: datetime
    session_type: SessionType = SessionType.PRIVATE
    is_late: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of the conversation as a model sees it."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What a model is asked: standing words first and unchanging, so that a prefix cache holds; the question last.

    `brief_system` says the same in fewer words, for a small model for which every token of prompt is a wait.
    """

    system: str
    brief_system: str
    lines: tuple[Line, ...]
    max_output_tokens: int = 0

    def tokens(self) -> int:
        """About how many input tokens this is, at four tokens of framing a line."""
        return estimate_tokens(self.system) + sum(estimate_tokens(line.text) + 4 for line in self.lines)

    def fitted(self, *, context: int, output: int, brief: bool = False) -> Prompt:
        """This prompt for a window of *context* tokens, of which *output* are left to the answer.

        The oldest lines go first; an overlong question is cut in its middle.
        """
        system = self.brief_system if brief else self.system
        output = min(output, context // 2)
        room = max(context - output - estimate_tokens(system) - 16, 64)
        room = min(room, BRIEF_LINES_TOKENS) if brief else room
        kept: list[Line] = []
        for line in reversed(self.lines):
            cost = estimate_tokens(line.text) + 4
            if cost > room and kept:
                break
            kept.append(line if cost <= room else replace(line, text=_cut_middle(line.text, room)))
            room -= cost
        lines = list(reversed(kept))
        while len(lines) > 1 and lines[0].role is Role.ASSISTANT:  # every vendor wants a conversation to begin with the person
            lines.pop(0)
        return replace(self, system=system, lines=tuple(lines), max_output_tokens=output)


def _cut_middle(text: str, tokens: int) -> str:
    """The beginning and the end of *text*, which hold most of what is asked, in about *tokens* tokens."""
    half = max(int((tokens - 12) * CHARACTERS_PER_TOKEN / 2), 8)
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens that a call used, as the vendor counted them, or as estimated where it did not."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """A piece of text that a model just said."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The end marker of a stream; a stream without one is broken. `usage` is None where the vendor did not count."""

    usage: Usage | None = None
    reason: str = "stop"


class AttemptOutcome(StrEnum):
    """How asking one level ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    OVERTAKEN = "overtaken"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What happened when one level was asked (or why it was not).

    Milliseconds count from the start of this call; `error` is the class of what went wrong, `detail` its words for the operator;
    `reservation` is the row of the allowance that waits to be settled.
    """

    level: str
    provider: str
    model: str
    outcome: AttemptOutcome
    detail: str = ""
    first_token_ms: float | None = None
    latency_ms: float = 0.0
    usage: Usage = Usage()
    cost_usd: float = 0.0
    error: str = ""
    reservation: UUID | None = None

    def __str__(self) -> str:
        return f"{self.level} {self.outcome}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A whole answer of one level, and what was tried on the way to it (`attempts`, in order)."""

    text: str
    level: str
    provider: str
    model: str
    why: str
    attempts: tuple[Attempt, ...]
    over_budget: bool = False

    @property
    def cost_usd(self) -> float:
        """What all attempts of this turn cost together."""
        return sum(attempt.cost_usd for attempt in self.attempts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One answered message. `queued` asks the hub to answer again, for real, when a level is back.

    `over_budget` says that the day's allowance ruled out a level which would have been asked.
    """

    text: str
    kind: OutgoingKind
    tier: Tier
    level: str
    provider: str
    model: str
    task_type: TaskType
    why: str
    latency_ms: float
    confidence: float | None = None
    cost_usd: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    queued: bool = False
    over_budget: bool = False

    @property
    def offline(self) -> bool:
        """Whether no model could be reached for this answer."""
        return self.kind is OutgoingKind.OFFLINE
