"""Puts into words how Robbie is set: for a model that is to speak so, and for a person who wants to hear the difference."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bot.brain.personality import Personality
from bot.domain.address import SessionType
from bot.domain.thought import Question

WORDS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "prompts" / "manner.toml").read_text("utf-8"))


def context_of(channel: str, session_type: SessionType) -> str:
    """The context of `CONTEXTS` that a conversation is."""
    return "email" if channel == "email" else "private" if session_type is SessionType.PRIVATE else "channel"


def is_intimate(question: Question) -> bool:
    """Whether it is asked in the owner's private chat: nowhere else is a personal word said, nor what was said in one told again."""
    return question.person.is_owner and not question.writer and context_of(question.channel, question.session_type) == "private"


def standing_words(personality: Personality, earlier: Iterable[str | None] = ()) -> str:
    """What a model is told, in a few lines; also that it spoke otherwise before, where one of the *earlier* personalities differs."""
    bands = [_band("tone", personality.flirty)[2], _band("pace", personality.cocktail)[2], _band("push", personality.gandhi)[2]]
    lines = [*bands, WORDS["mood"][personality.mood]]
    if any(each not in (None, str(personality)) for each in earlier):
        lines.append(WORDS["changed"])
    return "\n".join(f"- {line}" for line in lines).format(words=personality.answer_words)


def brief_words(personality: Personality) -> str:
    """The same for a small model, in a sentence."""
    return str(WORDS["brief"].format(tone=_band("tone", personality.flirty)[1], mood=personality.mood, words=personality.answer_words))


def sample(personality: Personality) -> str:
    """How Robbie would tell that somebody has not answered."""
    tone, pace, push = _place("tone", personality.flirty), _place("pace", personality.cocktail), _place("push", personality.gandhi)
    told = WORDS["sample"]
    sentences = (told["late"][tone][pace], told["push"][push].format(days=personality.follow_up_days), told["mood"][personality.mood])
    return " ".join(filter(None, sentences))


def _place(kind: str, step: int) -> int:
    return sum(int(begins) <= step for begins, *_ in WORDS[kind]) - 1


def _band(kind: str, step: int) -> list[str]:
    band: list[str] = WORDS[kind][_place(kind, step)]
    return band
