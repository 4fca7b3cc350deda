"""What the terminal shows: lines that end between words, and nothing that would steer it; what is typed meanwhile is kept out of it."""

from __future__ import annotations

import re
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prompt_toolkit.utils import get_cwidth

Write = Callable[[str], None]

LONGEST_HELD = 30
"""Columns of a word that are waited with, until it is seen whether it still fits into its line."""
_PIECE = re.compile(r"\n|[^\S\n]+|\S+")
_STYLE = re.compile(r"\x1b\[[\d;]*m")


def to_screen(text: str) -> None:
    """Write to the terminal, above the prompt where one is open."""
    sys.stdout.write(text)
    sys.stdout.flush()


def to_printable(text: str) -> str:
    """*text* without what would steer a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}" for character in text)


class WordWrap:
    """Writes text that comes in pieces, and begins a line wherever the terminal would break a word in two."""

    def __init__(self, write: Write, *, columns: Callable[[], int]) -> None:
        self._write = write
        self._columns = columns
        self._column = 0
        self._blank = ""  # not written yet: it is left out where the line ends
        self._word = ""  # not written yet: it may go on
        self._is_within = False  # a word too long to be waited with: its beginning is written

    def write(self, text: str) -> None:
        """Write *text*, but for a last word that may go on: a line's end brings it."""
        *whole, last = _PIECE.findall(self._word + text) or [""]
        self._word = ""
        out = "".join(self._place(piece) for piece in whole)
        if last.isspace() or _width(last) > min(len(last), LONGEST_HELD):  # wide characters are broken anywhere
            out += self._place(last)
            self._is_within = not last.isspace()
        else:
            self._word = last
        if out:
            self._write(out)

    def _place(self, piece: str) -> str:
        """What is to be written for this piece, which is a line's end, blanks or a word."""
        if piece == "\n":
            self._column, self._blank, self._is_within = 0, "", False
            return "\n"
        if not piece or piece.isspace():
            self._blank, self._is_within = self._blank + piece.replace("\t", "    "), False
            return ""
        blank, width, columns = self._blank, _width(piece), self._columns()
        fits = self._is_within or self._column == 0 or self._column + len(blank) + width <= columns or width > columns
        self._blank, self._is_within = "", False
        self._column = _column_after(blank + piece, self._column, columns) if fits else width
        return blank + piece if fits else "\n" + piece


def _column_after(text: str, column: int, columns: int) -> int:
    """Where the terminal stands when it has written this from a column on; a wide character never crosses its edge."""
    for character in _STYLE.sub("", text):
        width = get_cwidth(character)
        column = width if column + width > columns else column + width
    return column


def _width(text: str) -> int:
    return get_cwidth(_STYLE.sub("", text))


@contextmanager
def quiet_keys(terminal: int) -> Iterator[None]:
    """Keys that are pressed while nothing asks for them are not echoed, and are there for the next prompt; Ctrl-C interrupts as ever."""
    try:
        before, quiet = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    except termios.error:  # a pipe
        yield
        return
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
