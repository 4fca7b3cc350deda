"""The dialects of channels that show lines: how each writes runs of text and the marks they stand in, and how it counts length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape, unescape
from itertools import pairwise, takewhile
from typing import ClassVar

from bot.adapters.lines import Line, Mark, Run, trimmed

WEB_ADDRESS = re.compile(r"https?://[^\s<>\"'\x00-\x1f]+[^\s<>\"'\x00-\x1f.,;:!?)\]}*_]")
_TAG = re.compile("<[^>]*>")


class Plain:
    """Text alone, every quoted line behind *quote*; what the other dialects change."""

    FENCED: ClassVar = False
    LINKS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, quote: str = "> ") -> None:
        self._signs: Mapping[str, tuple[str, str]] = {"blockquote": (quote, "")}

    def write(self, lines: Sequence[Line]) -> str:
        """*lines* in this dialect; every mark that begins in them ends in them."""
        pieces: list[str] = []
        opened: tuple[Mark, ...] = ()
        for run in (*self._joined([self._prepared(trimmed(line)) for line in lines]), Run(text="")):
            kept = len(_shared(opened, run.marks))
            pieces += [self._end(opened[depth], opened[:depth]) for depth in reversed(range(kept, len(opened)))]
            pieces += [*map(self._begin, run.marks[kept:]), self._text(run)]
            opened = run.marks
        return "\n".join(line.rstrip() for line in "".join(pieces).split("\n")).strip("\n")

    def length(self, written: str) -> int:
        """How long the channel holds *written* to be."""
        return len(written)

    def _joined(self, lines: Sequence[Line]) -> Iterator[Run]:
        """The runs of all lines; a line break stands in the marks around it that may span lines."""
        rows = [[replace(run, marks=self._shown(run)) for run in line.runs] or [Run(text="")] for line in lines]
        for row, following in pairwise([*rows, []]):
            yield from row
            if following:
                yield Run(text="\n", marks=tuple(takewhile(self._spans, _shared(row[-1].marks, following[0].marks))))

    def _shown(self, run: Run) -> tuple[Mark, ...]:
        """The marks of *run* that are written."""
        return tuple(mark for mark in run.marks if mark.name in self._signs)

    def _spans(self, mark: Mark) -> bool:
        return mark.name != "blockquote"

    def _prepared(self, line: Line) -> Line:
        return line

    def _begin(self, mark: Mark) -> str:
        return self._signs[mark.name][0]

    def _end(self, mark: Mark, _: tuple[Mark, ...]) -> str:
        return self._signs[mark.name][1]

    def _text(self, run: Run) -> str:
        return run.text


class Ansi(Plain):
    """A terminal's styles; ending one brings the enclosing ones back."""

    STYLES: ClassVar = {"strong": "1", "em": "3", "s": "9", "heading": "1", "code_inline": "36", "fence": "36", "addressed": "4"}

    def __init__(self, *, quote: str) -> None:
        self._signs = {"blockquote": (quote, "")} | {name: (f"\x1b[{style}m", "\x1b[0m") for name, style in self.STYLES.items()}

    def _end(self, mark: Mark, enclosing: tuple[Mark, ...]) -> str:
        if mark.name == "blockquote":
            return ""
        return "\x1b[0m" + "".join(self._begin(outer) for outer in enclosing if outer.name != "blockquote")


class Telegram(Plain):
    """Telegram's HTML. It has no mail links, no quotation in a quotation, and nothing else in code."""

    FENCED = True
    LINKS = ("http://", "https://")

    def __init__(self) -> None:
        tags = {
            "strong": "b", "heading": "b", "em": "i", "s": "s", "code_inline": "code", "fence": "pre", "link": "a",
            "blockquote": "blockquote",
        }  # fmt: skip
        self._signs = {name: (f"<{tag}>", f"</{tag}>") for name, tag in tags.items()}

    def length(self, written: str) -> int:
        """UTF-16 code units of what is seen."""
        return len(unescape(_TAG.sub("", written)).encode("utf-16-le")) // 2

    def _shown(self, run: Run) -> tuple[Mark, ...]:
        marks = _once(super()._shown(run), self._signs)
        is_code = any(mark.name == "code_inline" for mark in marks)
        return tuple(mark for mark in marks if mark.name in ("code_inline", "blockquote")) if is_code else marks

    def _spans(self, _: Mark) -> bool:
        return True

    def _begin(self, mark: Mark) -> str:
        if mark.name == "link":
            return f'<a href="{escape(mark.detail)}">'
        return f'<pre><code class="language-{mark.detail}">' if mark.name == "fence" and mark.detail else self._signs[mark.name][0]

    def _end(self, mark: Mark, _: tuple[Mark, ...]) -> str:
        return "</code></pre>" if mark.name == "fence" and mark.detail else self._signs[mark.name][1]

    def _text(self, run: Run) -> str:
        return escape(run.text, quote=False)


class Slack(Plain):
    """Slack's mrkdwn, for text that Slack is told to take at its word (`verbatim`; neither `parse` nor `link_names`).

    Its signs count only at a word's border, so one that touches a letter gets a zero-width space between; none spans lines but the fence.
    It has no way to escape them: a person's own * _ ~ ` that would pair up is shown by a character of the same look, in code only the `.
    A > that would begin a quotation gets a soft hyphen before it. A fence has no language.
    """

    FENCED = True
    LINKS = ("http://", "https://", "mailto:")
    LOOKS: ClassVar = str.maketrans("*_~`", "∗ˍ∼ˋ")
    # \0 stands before a sign that begins, \1 after one that ends, until it is known what it touches. No text has either.
    SIGNS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "strong": ("\0*", "*\1"), "heading": ("\0*", "*\1"), "em": ("\0_", "_\1"), "s": ("\0~", "~\1"), "code_inline": ("\0`", "`\1"),
        "fence": ("```\n", "\n```"), "link": ("<", ">"), "blockquote": ("> ", ""),
    }  # fmt: skip
    AT_BORDER: ClassVar = re.compile("(?:^|(?<=[\\s(|*_~`]))\0|\1(?=[\0\\s.,:;!?)>*_~`]|$)", re.MULTILINE)
    PAIRING: ClassVar = re.compile(r"(?<![^\W_])[*_~](?=\S)|(?<=\S)[*_~](?![^\W_])|`")

    def __init__(self) -> None:
        self._signs = self.SIGNS

    def write(self, lines: Sequence[Line]) -> str:
        """*lines* as mrkdwn."""
        return re.sub("[\0\1]", "\u200b", self.AT_BORDER.sub("", super().write(lines)))

    def _shown(self, run: Run) -> tuple[Mark, ...]:
        return _once(super()._shown(run), self._signs)

    def _spans(self, mark: Mark) -> bool:
        return mark.name == "fence"

    def _prepared(self, line: Line) -> Line:
        """*line* with nothing of a person's own that Slack would take for a sign."""
        used = line.text + "".join(self._signs[mark.name][0] for run in line.runs for mark in self._shown(run))
        pairs = {sign for sign in "*_~`" if used.count(sign) > 1}
        runs = [replace(run, text=self._disarmed(run, pairs)) for run in line.runs]
        if runs and runs[0].text.startswith((">", "＞")) and not _stands_in(runs[0], "fence"):
            runs[0] = replace(runs[0], text=f"\u00ad{runs[0].text}")
        return replace(line, runs=tuple(runs))

    def _disarmed(self, run: Run, pairs: set[str]) -> str:
        if _stands_in(run, "fence"):
            return run.text.replace("```", "ˋˋˋ")
        if _stands_in(run, "code_inline"):
            return run.text.replace("`", "ˋ")
        pieces = re.split(f"({WEB_ADDRESS.pattern})", run.text)
        pieces[::2] = [
            self.PAIRING.sub(lambda found: found[0].translate(self.LOOKS) if found[0] in pairs else found[0], piece)
            for piece in pieces[::2]
        ]
        return "".join(pieces)

    def _begin(self, mark: Mark) -> str:
        return f"<{self._address(mark.detail)}|" if mark.name == "link" else self._signs[mark.name][0]

    def _text(self, run: Run) -> str:
        if _stands_in(run, "fence", "code_inline", "link"):
            return escape(run.text, quote=False)
        pieces = re.split(f"({WEB_ADDRESS.pattern})", run.text)
        return "".join(f"<{self._address(piece)}>" if index % 2 else escape(piece, quote=False) for index, piece in enumerate(pieces))

    def _address(self, address: str) -> str:
        return escape(address.replace("|", "%7C").replace("`", "%60"), quote=False)


def _stands_in(run: Run, *names: str) -> bool:
    return any(mark.name in names for mark in run.marks)


def _shared(some: tuple[Mark, ...], others: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return tuple(one for one, _ in takewhile(lambda pair: pair[0] is pair[1], zip(some, others, strict=False)))


def _once(marks: tuple[Mark, ...], signs: Mapping[str, tuple[str, str]]) -> tuple[Mark, ...]:
    """*marks* without those whose sign is already given, and without code in a link."""
    given: dict[tuple[str, str], Mark] = {}
    is_link = any(mark.name == "link" for mark in marks)
    for mark in marks:
        if not (is_link and mark.name == "code_inline"):
            given.setdefault(signs[mark.name], mark)
    return tuple(given.values())
