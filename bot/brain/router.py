"""Says what sort of work a question is, by what can be seen without a model."""

from __future__ import annotations

import re

from bot.domain.thought import Prompt, TaskType, estimate_tokens

LONG_CONTEXT_TOKENS = 16_000
COMPLEX_TOKENS = 120
_CODE = re.compile(r"```|\b(def|class|import|function|const|SELECT .+ FROM|Traceback|#include)\b.*[(:;{]", re.DOTALL)
_CREATIVE = re.compile(
    r"\b(write|compose|invent|imagine)\b.{0,40}\b(poem|story|song|lyrics|haiku|slogan|limerick|tale|sonnet)\b", re.I | re.DOTALL
)
_REASONING = re.compile(r"\b(why|explain|compare|prove|analy[sz]e|plan|strategy|trade-?offs?|step by step|pros and cons)\b", re.I)


def classify(prompt: Prompt) -> TaskType:
    """The task type of a prompt's last line: plain rules that err towards quick, until a trained classifier earns their place."""
    text = prompt.lines[-1].text
    if prompt.tokens() > LONG_CONTEXT_TOKENS:
        return TaskType.LONG_CONTEXT
    if _CODE.search(text):
        return TaskType.CODE
    if _CREATIVE.search(text):
        return TaskType.CREATIVE
    if estimate_tokens(text) > COMPLEX_TOKENS or _REASONING.search(text):
        return TaskType.COMPLEX
    return TaskType.QUICK
