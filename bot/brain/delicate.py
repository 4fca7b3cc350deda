"""Tells which questions are no time to try things out: what is urgent, late or private, or may be."""

from __future__ import annotations

import re

from bot.brain.personality import is_intimate_tone
from bot.domain.thought import Prompt, Question, Role

LONGEST = 4_000
_URGENT = re.compile(r"\b(urgent(ly)?|asap|now|immediately|emergency|quick(ly)?|hurry|at once|deadline|today|tonight)\b|!!", re.I)
_LIGHTNING = re.compile(r"\d+/([89]|10)/")
_OWN = re.compile(r"\b(i|me|my|mine|myself|we|us|our|ours|robbie|confidential|private|secret|passwords?)\b|@|\d{5}", re.I)
_TROUBLES = r"salary|payroll|diagnos\w*|doctor|medical|cancer|pregnan\w*|divorce|wife|husband|lawyers?|layoffs?|employees?|boss|colleagues?"
_GRAVE = re.compile(rf"\b({_TROUBLES}|customers?|bank|invoices?|clients?|deals?|contracts?|meetings?)\b", re.I)
ENGLISH = re.compile(r"\b(the|what|how|why|who|which|write|explain|does|list)\b", re.I)


def is_delicate(prompt: Prompt, question: Question) -> bool:
    """Whether a question is, or may be, urgent or private; a cheap rule that errs towards yes.

    Urgent: it says so, is late, or its person's pace is 8 or more. Private: files, quotations or somebody else's words in it, a personal
    tone, the first person, a word of business or health, an address or long number; or a language in which that cannot be told. What
    was asked just before counts as well: this may go on about it.
    """
    text, told = question.text, prompt.personality
    has_more = question.attachments or question.quoted or question.writer or prompt.is_untrusted or len(text) > LONGEST
    if has_more or question.is_late or _LIGHTNING.match(told) or is_intimate_tone(told or None) or not ENGLISH.search(text):
        return True
    before = "\n".join(line.text[:LONGEST] for line in prompt.lines[-3:-1] if line.role is Role.USER)
    return any(pattern.search(f"{before}\n{text}") for pattern in (_URGENT, _OWN, _GRAVE))
