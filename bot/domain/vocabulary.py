"""The commands as every door lists them (a menu, a manifest, help), and what their buttons need to know of them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

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


WORDS = {name: Word(**told) for name, told in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()}


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
