"""The opening of a brief: by code in any case, by a model where its words hold nothing that is not in the brief. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bot.brain.personality import Personality
from bot.domain.brief import Section, Slot

LONGEST_OPENING = 60
"""Words."""
PRESSING, OVERDUE, NICE = 50.0, 100.0, 10.0
"""Weights of sections: from so much on it needs the person, or is late; up to so much it is only nice to know."""

_WORD = re.compile(r"\w+(?:[.,:'’]\w+)*")
_ODD = re.compile(r"[\[\]<>`#|*_@/\\]|--|[^\W\d]\.[^\W\d]{2}")
"""Signs of Markdown, of commands, addresses and links."""
_TOLD = {name: _WORD.findall(words) for name, words in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()}
_FREE, _BOUND = frozenset(_TOLD["free"]), frozenset(_TOLD["bound"])
_NUMBERS = {word: str(number) for number, word in enumerate(_TOLD["small"])}
_GREETINGS = ("Good {}.", "Good {}, and good to see you.", "Good {}, you. I saved the best for you.")
"""Professional, warm, flirty."""


def tone_of(personality: Personality) -> str:
    """The tone in words, for a model."""
    return f"a {('professional', 'warm', 'playful and lightly flirtatious')[(personality.flirty - 1) // 4]}, {personality.mood}"


def plain_opening(slot: Slot, sections: Sequence[Section], personality: Personality) -> str:
    """What a brief begins with when no model words it: how much needs the person, and how much of that is late."""
    greeting = _GREETINGS[(personality.flirty - 1) // 4].format(slot)
    need = _count(section for section in sections if section.weight >= PRESSING)
    late = _count(section for section in sections if section.weight >= OVERDUE)
    if not need:
        return f"{greeting} Nothing needs you just now."
    needs = f"{need} things need you today" if need > 1 else "1 thing needs you today"
    overdue = f", {late} {'is' if late == 1 else 'are'} overdue" if late else ""
    return f"{greeting} {needs}{overdue}."


def is_borne_out(opening: str, brief: str) -> bool:
    """Whether a model's *opening* is fit to stand above the brief: short, bare of signs, and without a number, date or name of its own."""
    words = _WORD.findall(opening)
    if not 0 < len(words) <= LONGEST_OPENING or not opening.isprintable() or _ODD.search(opening):
        return False
    held = {word.casefold().replace("’", "'").removesuffix("'s") for word in _WORD.findall(brief)}
    return all(_is_known(word, held) for word in words)


def _is_known(word: str, held: Collection[str]) -> bool:
    """Whether a word may be said: it is the brief's, or no number, date or name."""
    bare = word.casefold().replace("’", "'")
    if bare.removesuffix("'s") in held or _NUMBERS.get(bare) in held or bare in _FREE:
        return True
    is_bound = bare in _NUMBERS or bare in _BOUND or bare.removesuffix("s") in _BOUND or any(sign.isnumeric() for sign in word)
    return word.isascii() and word.islower() and not is_bound


def _count(sections: Iterable[Section]) -> int:
    return sum(len(section.items) + section.more for section in sections)
