"""The words of a mail: which are new, and which it quotes (mail programs differ; nothing is lost); and HTML as lines of plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import compress
from typing import Self

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "da", "sv", "cs", "ja", "ko", "zh")
"""Those of mail-parser-reply but for Polish, which takes any line that begins with "Data:" or "Do:" for the head of an older mail."""
LONGEST_LINE = 200
"""Characters of a line that are searched: the time that the patterns take grows with the square of it."""
MOST_LINES = 500

_SIGNATURE = re.compile(r"--\s?")
_NOTHING = re.compile(r"[\s_-]*")
_MARKED = re.compile(r"\s*>")
_ANNOUNCES = re.compile(r"(?=.*[\d@]).*[:：]|[-_]{5}.*")
"""In languages that are not known: a line with a date or an address, and a colon at its end; in all, what looks like a rule."""

LONGEST_HTML = 300_000
"""Characters that are read; what a person wrote stands at the top."""
DEEPEST = 100
"""Tags within tags that are told apart."""

_BLOCK = re.compile(r"address|article|blockquote|body|center|d[dlt]|div|footer|form|h[1-6]|header|li|ol|p|pre|section|table|tr|ul")
_UNSEEN = re.compile(r"head|noscript|script|select|style|svg|template|textarea|title")
_EMPTY = re.compile(r"area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr")
_HIDING = re.compile(r"display:none|visibility:hidden|(?:font-size|opacity|max-height):0(?!\.?[1-9])")
_COMMENT = re.compile(r"<!--(?:.*?-->|.*)", re.DOTALL)
_LONE = re.compile(r"<(?=[^<>]*(?:<|\Z))")
"""Begins no tag; for each of these, Python's parser reads all that follows (minutes, for a mail that is made so)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quoting:
    """How mail programs announce an older mail, and what a phone writes under each of its own, in all languages."""

    heads: re.Pattern[str]
    phones: re.Pattern[str]

    @classmethod
    def load(cls) -> Self:
        """As mail-parser-reply knows them."""
        from mailparser_reply.constants import MAIL_LANGUAGES  # type: ignore[import-untyped]
        from mailparser_reply.parser import EmailMessage  # type: ignore[import-untyped]

        phones = "|".join(filter(None, (MAIL_LANGUAGES[language].get("sent_from") for language in LANGUAGES)))
        return cls(
            heads=EmailMessage(text="", languages=list(LANGUAGES)).HEADER_REGEX,
            phones=re.compile(rf"(?:{phones})\b.{{0,60}}", re.IGNORECASE),
        )

    def part(self, text: str) -> tuple[str, str]:
        """What the writer of *text* says now, and what is quoted: lines marked by ">", or all that follows the head of an older mail.

        A line that announces a quotation belongs to it; a signature ("-- ", "Sent from my phone") belongs to neither.
        """
        lines = [line.rstrip() for line in re.split(r"\r\n|\r|\n", text)]
        old = [_MARKED.match(line) is not None for line in lines]
        for start, end in self._heads(lines[:MOST_LINES]):
            is_marked = next((old[number] for number in range(end, len(lines)) if lines[number]), False)
            for number in range(start, end if is_marked else len(lines)):
                old[number] = True
        for number in range(1, len(lines)):
            if old[number] and not old[number - 1] and _ANNOUNCES.fullmatch(lines[number - 1][-LONGEST_LINE:]):
                old[number - 1] = True
        new = self._without_signature(list(compress(lines, (not each for each in old))))
        return "\n".join(new).strip("\n"), "\n".join(compress(lines, old)).strip("\n")

    def _heads(self, lines: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Where older mails are announced: the numbers of the first line, and of the one after the last."""
        clipped = "\n".join(line.strip()[:LONGEST_LINE] for line in lines)
        for found in self.heads.finditer(clipped):
            head = found.group().strip()
            # "From: Berlin, To: Rome, Date: Friday" are a traveller's wishes, and no mail's head
            if head.endswith((":", "：", "-")) or "@" in head or head.count(":") > 3:
                start = clipped.count("\n", 0, clipped.index(head, found.start()))
                yield start, start + head.count("\n") + 1

    def _without_signature(self, lines: list[str]) -> list[str]:
        end = next((number for number, line in enumerate(lines) if number and _SIGNATURE.fullmatch(line)), len(lines))
        while end and (_NOTHING.fullmatch(lines[end - 1]) or self.phones.match(lines[end - 1][:LONGEST_LINE])):
            end -= 1
        return lines[:end]


def html_to_text(html: str) -> str:
    """*html*, however broken, as text: quotations marked by ">", links with where they lead, and nothing that a reader would not see."""
    reader = _Reader()
    reader.feed(_LONE.sub("&lt;", _COMMENT.sub("", html[:LONGEST_HTML])))
    reader.close()
    return re.sub(r"\n(?:>* ?\n){3,}", "\n\n", "\n".join(line.rstrip() for line in reader.lines)).strip("\n")


class _Reader(HTMLParser):
    """Writes lines while it reads tags. Of each that is open: its name, whether what is in it is hidden, how deep in quotations it is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines, self._link = [""], ""
        self._open = [("", False, 0)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens; a paragraph ends the one before it."""
        if tag == "p" == self._open[-1][0]:
            self._open.pop()
        said, (_, is_hidden, quotes) = {name: value or "" for name, value in attrs}, self._open[-1]
        if not _EMPTY.fullmatch(tag) and len(self._open) < DEEPEST:
            is_unseen = "hidden" in said or _UNSEEN.fullmatch(tag) or _HIDING.search("".join(said.get("style", "").lower().split()))
            self._open.append((tag, is_hidden or bool(is_unseen), quotes + (tag == "blockquote")))
        self._break(tag)
        if tag == "li":
            self.handle_data("- ")
        if tag == "a":
            self._link = said.get("href", "")[:300]

    def handle_endtag(self, tag: str) -> None:
        """A tag closes, with all that was left open in it."""
        if tag == "a" and self._link.startswith(("http://", "https://")) and not self.lines[-1].endswith(self._link):
            self.handle_data(f" <{self._link}>")
        if depth := max(number for number, (name, *_) in enumerate(self._open) if number == 0 or name == tag):
            del self._open[depth:]
        self._break(tag)
        if tag in {"td", "th"}:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        """Text, whose spaces do not count."""
        if not self._open[-1][1]:
            said = re.sub(r"\s+", " ", data)
            self.lines[-1] += said.lstrip(" ") if self.lines[-1] == self._margin() else said

    def _break(self, tag: str) -> None:
        """Begin a line, and leave one empty, where *tag* asks for it."""
        is_begun = bool(self.lines[-1].strip("> "))
        if tag == "br" or (is_begun and _BLOCK.fullmatch(tag)):
            self._begin_line()
        if is_begun and tag in {"p", "blockquote"}:
            self._begin_line()
        if not is_begun and _BLOCK.fullmatch(tag):
            self.lines[-1] = self._margin()

    def _begin_line(self) -> None:
        if not self._open[-1][1]:
            self.lines.append(self._margin())

    def _margin(self) -> str:
        quotes = self._open[-1][2]
        return ">" * quotes + " " * bool(quotes)
