"""Says what sort of work a question is, and whom to ask first."""

from __future__ import annotations

import re

from bot.domain.thought import Prompt, Question, Route, TaskType, estimate_tokens

LONG_CONTEXT_TOKENS = 16_000
COMPLEX_TOKENS = 120
LOOKED_AT = 4_000
"""Characters, at each end of a question, in which its sort is looked for: a megabyte must not hold up everyone else."""
_CODE = re.compile(r"```|\b(?:def|class|import|function|const|SELECT .{1,80} FROM|Traceback|#include)\b.{0,80}[(:;{]", re.DOTALL)
_CREATIVE = re.compile(
    r"\b(write|compose|invent|imagine)\b.{0,40}\b(poem|story|song|lyrics|haiku|slogan|limerick|tale|sonnet)\b", re.I | re.DOTALL
)
_REASONING = re.compile(r"\b(why|explain|compare|prove|analy[sz]e|plan|strategy|trade-?offs?|step by step|pros and cons)\b", re.I)


class Router:
    """Chooses the order in which the levels are asked."""

    async def route(self, prompt: Prompt, question: Question) -> Route:
        """Whom this is for. Raises StorageUnavailable."""
        return Route(task_type=classify(prompt), levels=())


def classify(prompt: Prompt) -> TaskType:
    """The task type of a prompt's last line: plain rules that err towards quick, until a trained classifier earns their place."""
    text = prompt.lines[-1].text
    seen = text if len(text) <= 2 * LOOKED_AT else f"{text[:LOOKED_AT]}\n{text[-LOOKED_AT:]}"
    if prompt.tokens() > LONG_CONTEXT_TOKENS:
        return TaskType.LONG_CONTEXT
    if _CODE.search(seen):
        return TaskType.CODE
    if _CREATIVE.search(seen):
        return TaskType.CREATIVE
    if estimate_tokens(text) > COMPLEX_TOKENS or _REASONING.search(seen):
        return TaskType.COMPLEX
    return TaskType.QUICK
