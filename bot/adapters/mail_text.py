"""The words of a mail: which of them are new, and which it quotes. Mail programs differ in how they quote; nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
