"""The commands as every door lists them (a menu, a manifest, help), and what their buttons need to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from bot.domain.message import Button


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A command. `says` what it does, `hint` what may follow it; Slack keeps some words for itself (`on_slack`).

    `adjusts`: its buttons are pressed again and again, so that the answer takes the place of the message they stand under.
    """

    says: str
    hint: str = ""
    on_slack: bool = True
    adjusts: bool = False


WORDS = {
    "help": Word(says="what I can do", on_slack=False),
    "brief": Word(says="your brief, now", hint="morning | afternoon | evening"),
    "task": Word(says="put something on your list", hint="call Dana on Friday at 3"),
    "tasks": Word(says="what is on your list", hint="today | overdue | all"),
    "remind": Word(says="be reminded", hint="me at 3 to call Dana", on_slack=False),
    "note": Word(says="keep a note", hint="what to keep"),
    "notes": Word(says="your notes"),
    "who": Word(says="what I know of somebody", hint="Dana", on_slack=False),
    "contact": Word(says="keep somebody's details", hint="Dana, dana@example.com"),
    "deal": Word(says="keep a deal, or move it on", hint="Acme negotiation 40k"),
    "deals": Word(says="your deals by stage"),
    "follow": Word(says="draft a follow-up to somebody", hint="Dana"),
    "research": Word(says="have something looked into", hint="a question"),
    "council": Word(says="ask several models at once", hint="a question"),
    "why": Word(says="how the last answer came to be"),
    "report": Word(says="what I learned, and what that cost", hint="30"),
    "mood": Word(says="how I am set, and my mood", hint="playful until 6pm", adjusts=True),
    "gandhi": Word(says="from Gandhi (1) to Genghis (10)", hint="1-10", adjusts=True),
    "cocktail": Word(says="from Cocktail (1) to Lightning (10)", hint="1-10", adjusts=True),
    "flirty": Word(says="from Professional (1) to Flirty (10)", hint="1-10", adjusts=True),
    "mentor": Word(says="whose voice joins mine", hint="churchill | auto | off", adjusts=True),
    "quiet": Word(says="no briefs for a while", hint="until Monday | off"),
    "zone": Word(says="where you are", hint="Lisbon | home"),
    "autonomy": Word(says="what I do by myself", hint="assisted | semi | highly | fully"),
    "journal": Word(says="what was done, and why"),
    "undo": Word(says="take the last thing back"),
    "approve": Word(says="say yes to what waits", hint="CODE"),
    "edit": Word(says="change the words of what waits", hint="CODE new words"),
    "reject": Word(says="say no to what waits", hint="CODE"),
    "status": Word(says="how I am", on_slack=False),
    "rate": Word(says="say how good the last answer was", hint="up | down | 1-10"),
    "link": Word(says="join this account to another of yours", hint="CODE"),
    "pair": Word(says="let somebody in, or not", hint="approve CODE"),
}


def adjusts(command: str) -> bool:
    """Whether a button's command is one whose answer takes the place of what stood there."""
    name = command.split(maxsplit=1)[:1]
    return bool(name) and (word := WORDS.get(name[0].removeprefix("/"))) is not None and word.adjusts


def in_rows(buttons: Sequence[Button], width: int) -> list[tuple[Button, ...]]:
    """Buttons in rows of at most *width*: those that set one thing stand together, as do those about one thing, which the last word names;
    single ones beside each other share a row.
    """
    groups = [tuple(group) for _, group in groupby(buttons, key=_about)]
    together: list[tuple[Button, ...]] = []
    is_open = False
    for group in groups:
        is_single = len(group) == 1
        together[-1:] = [together[-1] + group] if is_open and is_single else [*together[-1:], group]
        is_open = is_single
    return [group[start : start + width] for group in together for start in range(0, len(group), width)]


def _about(button: Button) -> str:
    words = button.command.split() or [""]
    return words[0] if adjusts(button.command) else words[-1]
