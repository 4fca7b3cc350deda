"""Cuts what is laid out in lines into pieces that a channel can hold, where a reader would pause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import dropwhile

from bot.adapters.dialects import Plain
from bot.adapters.lines import WITHIN, Line, Run, trimmed

SENTENCE, WORD = WITHIN + 1, WITHIN + 2
"""How good a border they are; where a block, an item or a line begins is better, by its level."""
ENOUGH = 4
"""One part in so many of what fits must stand before a good border; else the next best that lies further on is taken."""
_PAUSE = re.compile(r"(?P<sentence>(?<=[.!?…]\s)(?=\S)|(?<=[。！？]))|(?<=\s)(?=\S)")


def pieces(lines: list[Line], *, dialect: Plain, limit: int) -> Iterator[str]:
    """*lines* as written pieces of at most *limit* by the dialect's count, each whole in itself; blank ones are left out."""
    lines = [trimmed(line) for line in lines]
    while lines := [*dropwhile(lambda line: _is_bare(line) and not line.text, lines)]:
        window, rest = cut(lines, limit + 2)  # nothing is written shorter than it is, but for an empty line between blocks
        most = _most_that_fits(window, dialect, limit)
        if not most and lines[0].text and not _is_bare(lines[0]):  # its marks are longer than the limit: an address
            lines = [replace(lines[0], runs=tuple(Run(text=run.text) for run in lines[0].runs)), *lines[1:]]
            continue
        is_last = not rest and most == len(_text(window))
        head, lines = (lines, []) if is_last else cut(lines, _best_border(cut(lines, most + 2)[0], max(most, 1)))
        if _text(head).strip():
            yield dialect.write(head)


def cut(lines: list[Line], at: int) -> tuple[list[Line], list[Line]]:
    """The first *at* characters of *lines*, and the rest; a line break counts as one, and is in neither."""
    for index, line in enumerate(lines):
        length = len(line.text)
        if 0 < at < length:
            head, tail = _halves(line, at)
            return [*lines[:index], head], [tail, *lines[index + 1 :]]
        if at <= length:
            end = index + (at == length)
            return lines[:end], lines[end:]
        at -= length + 1
    return lines, []


def _halves(line: Line, at: int) -> tuple[Line, Line]:
    heads, tails = [], []
    for run in line.runs:
        heads.append(replace(run, text=run.text[: max(at, 0)]))
        tails.append(replace(run, text=run.text[max(at, 0) :]))
        at -= len(run.text)
    return replace(line, runs=tuple(run for run in heads if run.text)), Line(runs=tuple(run for run in tails if run.text))


def _most_that_fits(lines: list[Line], dialect: Plain, limit: int) -> int:
    """How many characters of *lines* can be written within *limit*."""
    fits, most = 0, len(_text(lines))
    at = most
    while fits < most:
        over = dialect.length(dialect.write(cut(lines, at)[0])) - limit
        fits, most = (fits, at - 1) if over > 0 else (at, most)
        at = at - over if fits < at - over <= most else (fits + most + 1) // 2
    return fits


def _best_border(lines: list[Line], most: int) -> int:
    """Where among the first *most* characters it is best to cut."""
    borders = [(at * ENOUGH < most, rank, -at) for at, rank in _borders(lines) if 0 < at <= most]
    return -min(borders)[2] if borders else most


def _borders(lines: list[Line]) -> Iterator[tuple[int, int]]:
    """Every place where one might cut, and how good it is: the lower the better. Links, and code in a sentence, stay whole."""
    start = 0
    for line in lines:
        yield start - 1, line.level
        wholes = [next((mark for mark in run.marks if mark.name in ("link", "code_inline")), None) for run in line.runs for _ in run.text]
        for found in _PAUSE.finditer(line.text, 1):
            at = found.start()
            if line.text[:at].strip() and at < len(wholes) and (wholes[at] is None or wholes[at] is not wholes[at - 1]):
                yield start + at, WORD if found["sentence"] is None else SENTENCE
        start += len(line.text) + 1


def _is_bare(line: Line) -> bool:
    return not any(run.marks for run in line.runs)


def _text(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)
