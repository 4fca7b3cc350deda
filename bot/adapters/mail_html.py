"""A mail's HTML as lines of plain text: quotations marked by ">", links with where they lead, and nothing that a reader would not see."""

from __future__ import annotations

import re
from html.parser import HTMLParser

LONGEST = 300_000
"""Characters that are read; what a person wrote stands at the top."""
DEEPEST = 100
"""Tags within tags that are told apart."""

_BLOCK = re.compile(r"address|article|blockquote|body|center|d[dlt]|div|footer|form|h[1-6]|header|li|ol|p|pre|section|table|tr|ul")
_UNSEEN = re.compile(r"head|noscript|script|select|style|svg|template|textarea|title")
_EMPTY = re.compile(r"area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr")
_HIDING = re.compile(r"display:none|visibility:hidden|(?:font-size|opacity|max-height):0(?:\.0+)?(?:[a-z%]+)?(?:;|!|$)")

_COMMENT = re.compile(r"<!--(?:.*?-->|.*)", re.DOTALL)
_LONE = re.compile(r"<(?=[^<>]*(?:<|\Z))")
"""Begins no tag; for each of these, Python's parser reads all that follows (minutes, for a mail that is made so)."""


def html_to_text(html: str) -> str:
    """*html*, however broken, as plain text."""
    reader = _Reader()
    reader.feed(_LONE.sub("&lt;", _COMMENT.sub("", html[:LONGEST])))
    reader.close()
    return re.sub(r"\n(?:>* ?\n){3,}", "\n\n", "\n".join(line.rstrip() for line in reader.lines)).strip("\n")


class _Tag:
    """A tag that is open: whether what is in it is hidden, how deep in quotations it is, and where a link leads."""

    def __init__(self, name: str, said: dict[str, str], around: _Tag | None) -> None:
        style = "".join(said.get("style", "").lower().split())
        is_unseen = "hidden" in said or _UNSEEN.fullmatch(name) or _HIDING.search(style)
        self.name = name
        self.is_hidden: bool = bool(is_unseen) or (around is not None and around.is_hidden)
        self.is_verbatim: bool = name == "pre" or (around is not None and around.is_verbatim)
        self.quotes: int = (around.quotes if around else 0) + (name == "blockquote")
        self.link = said.get("href", "")[:300] if name == "a" else ""


class _Reader(HTMLParser):
    """Writes lines while it reads tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines = [""]
        self._open: list[_Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens; a paragraph ends the one before it."""
        if tag == "p" and self._open and self._open[-1].name == "p":
            self._open.pop()
        if not _EMPTY.fullmatch(tag) and len(self._open) < DEEPEST:
            said = {name: value or "" for name, value in attrs}
            self._open.append(_Tag(tag, said, self._open[-1] if self._open else None))
        if tag == "br":
            self._begin_line()
        elif _BLOCK.fullmatch(tag):
            self._begin_block(space=tag in {"p", "blockquote"})
        if tag == "li":
            self._say("- ")

    def handle_endtag(self, tag: str) -> None:
        """A tag closes, with all that was left open in it."""
        depth = max((number for number, each in enumerate(self._open) if each.name == tag), default=None)
        if depth is not None:
            if (link := self._open[depth].link).startswith(("http://", "https://")) and not self.lines[-1].endswith(link):
                self._say(f" <{link}>")
            del self._open[depth:]
        if _BLOCK.fullmatch(tag):
            self._begin_block(space=tag in {"p", "blockquote"})
        elif tag in {"td", "th"}:
            self._say(" ")

    def handle_data(self, data: str) -> None:
        """Text, whose spaces count only where it is verbatim."""
        first, *more = data.split("\n") if self._open and self._open[-1].is_verbatim else [re.sub(r"\s+", " ", data)]
        self._say(first)
        for line in more:
            self._begin_line()
            self._say(line)

    def _say(self, text: str) -> None:
        if self._open and self._open[-1].is_hidden:
            return
        is_new = self.lines[-1] == self._margin()
        self.lines[-1] += text.lstrip(" ") if is_new and not (self._open and self._open[-1].is_verbatim) else text

    def _begin_line(self) -> None:
        if not (self._open and self._open[-1].is_hidden):
            self.lines.append(self._margin())

    def _begin_block(self, *, space: bool) -> None:
        if self.lines[-1].strip("> "):
            self._begin_line()
            if space:
                self._begin_line()
        else:
            self.lines[-1] = self._margin()

    def _margin(self) -> str:
        quotes = self._open[-1].quotes if self._open else 0
        return ">" * quotes + " " * bool(quotes)
