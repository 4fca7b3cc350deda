"""Lays a Markdown tree out in lines of text, for channels that show lines; what a run of text stands in is kept beside it, as marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from markdown_it.token import Token

WITHIN = 1_000
"""The level of a line that begins neither a block nor a list item."""
NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mark:
    """What text stands in: strong, em, s, heading, code_inline, fence, blockquote, link, or addressed: a link which is told in brackets.

    `detail` is a link's address or a fence's language. A mark equals only itself, so that two fences in a row stay two.
    """

    name: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Text without a line break, and the marks it stands in, the outermost first."""

    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line; `level` tells how deep the block or list item lies that begins with it."""

    runs: tuple[Run, ...] = ()
    level: int = WITHIN

    @property
    def text(self) -> str:
        """What it says, without marks."""
        return "".join(run.text for run in self.runs)


def verbatim(text: str) -> list[Line]:
    """The lines of *text* as they are."""
    return [Line(runs=(Run(text=line),)) for line in text.split("\n")]


def trimmed(line: Line) -> Line:
    """*line* without blanks at its end; what is left empty stands in no mark but of a whole block."""
    runs = list(line.runs)
    for index, run in reversed([*enumerate(runs)]):
        text = run.text.rstrip()
        marks = run.marks if text else tuple(mark for mark in run.marks if mark.name in ("blockquote", "fence"))
        runs[index] = Run(text=text, marks=marks)
        if text or marks:
            break
    return replace(line, runs=tuple(runs))


class Layout:
    """Lists are indented, tables get aligned columns. Where the channel is `fenced` it sets off code and tables itself, at the left edge.

    `links` tells how an address begins that the channel makes a link of; others are told in brackets.
    """

    def __init__(self, *, fenced: bool, links: tuple[str, ...]) -> None:
        self._fenced = fenced
        self._links = links
        self._marks: tuple[Mark, ...] = ()

    def lines(self, tokens: Iterable[Token]) -> list[Line]:
        """The lines of *tokens*, an empty one between blocks."""
        return self._blocks(iter(tokens), gap=True)

    def _blocks(self, tokens: Iterator[Token], *, gap: bool) -> list[Line]:
        """The lines of all blocks up to the end of the one that encloses them."""
        lines: list[Line] = []
        for token in tokens:
            if token.nesting < 0:
                break
            block = self._block(token, tokens)
            if lines and gap and not token.hidden:
                lines.append(Line() if any(map(_is_fenced, (lines[-1], *block[:1]))) else self._line(""))
            lines += [replace(line, level=token.level) for line in block[:1]] + block[1:]
        return lines

    def _block(self, token: Token, tokens: Iterator[Token]) -> list[Line]:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                lines = self._list(token, tokens)
            case "table_open":
                lines = self._table(tokens)
            case "blockquote_open" | "heading_open":
                lines = self._inside(Mark(name=token.type.removesuffix("_open")), tokens)
            case "hr":
                lines = [self._line("─" * 24)]
            case "fence" | "code_block":
                lines = self._code(token)
            case "inline":
                lines = self._inline(token)
            case _:
                lines = self._blocks(tokens, gap=True)
        return lines

    def _inside(self, mark: Mark, tokens: Iterator[Token]) -> list[Line]:
        outer, self._marks = self._marks, (*self._marks, mark)
        lines = self._blocks(tokens, gap=True)
        self._marks = outer
        return lines

    def _line(self, text: str) -> Line:
        return Line(runs=(self._run(text),))

    def _run(self, text: str, *marks: Mark) -> Run:
        return Run(text=NOT_TEXT.sub("\ufffd", text), marks=(*self._marks, *marks))  # an entity such as &#27; is a control character by now

    def _list(self, opening: Token, tokens: Iterator[Token]) -> list[Line]:
        number = int(opening.attrs.get("start", 1)) if opening.type == "ordered_list_open" else None
        lines: list[Line] = []
        for token in tokens:
            if token.nesting < 0:
                break
            mark = "• " if number is None else f"{number}. "
            number = None if number is None else number + 1
            first, *more = self._hung(mark, self._blocks(tokens, gap=False) or [Line()])
            lines += [replace(first, level=token.level), *more]
        return lines

    def _hung(self, mark: str, item: list[Line]) -> list[Line]:
        """*item* behind its mark and indented, but for what the channel fences."""
        if _is_fenced(item[0]):
            item = [Line(), *item]
        margins = [mark, *[" " * len(mark)] * (len(item) - 1)]
        return [line if _is_fenced(line) else self._behind(margin, line) for margin, line in zip(margins, item, strict=True)]

    def _behind(self, margin: str, line: Line) -> Line:
        """*line* behind a margin, which stands in a quotation where the channel sets that off itself."""
        first = line.runs[0].marks if line.runs and self._fenced else self._marks
        quoted = tuple(takewhile(lambda mark: mark.name == "blockquote", first))
        return replace(line, runs=(Run(text=margin, marks=quoted), *line.runs))

    def _code(self, token: Token) -> list[Line]:
        language = _LANGUAGE.fullmatch("".join(token.info.split()[:1]))
        mark, texts = Mark(name="fence", detail=language.group() if language else ""), token.content.rstrip("\n").split("\n")
        if self._fenced:
            return self._fence(mark, texts)
        return [Line(runs=(self._run("    "), self._run(text, mark))) for text in texts]

    def _fence(self, mark: Mark, texts: Sequence[str]) -> list[Line]:
        return [Line(runs=(Run(text=NOT_TEXT.sub("\ufffd", text), marks=(mark,)),)) for text in texts]

    def _table(self, tokens: Iterator[Token]) -> list[Line]:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append("".join(run.text for run in self._runs(token, links=())).replace("\n", " "))
        widths = [max(len(row[column]) if column < len(row) else 0 for row in rows) for column in range(len(rows[0]))]
        texts = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows]
        texts.insert(1, "  ".join("─" * width for width in widths))
        return self._fence(Mark(name="fence"), texts) if self._fenced else [self._line(text) for text in texts]

    def _inline(self, inline: Token) -> list[Line]:
        lines: list[list[Run]] = [[]]
        for run in self._runs(inline, links=self._links):
            first, *more = run.text.split("\n")
            lines[-1].append(replace(run, text=first))
            lines += [[replace(run, text=text)] for text in more]
        return [Line(runs=tuple(run for run in runs if run.text) or (self._run(""),)) for runs in lines]

    def _runs(self, inline: Token, *, links: tuple[str, ...]) -> list[Run]:
        runs: list[Run] = []
        starts: list[int] = []
        for token in inline.children or ():
            name = token.type.removesuffix("_open").removesuffix("_close")
            if name == "image":
                runs.append(self._image(token, links))
            elif token.nesting > 0:
                self._marks += (_link(str(token.attrs["href"]), links) if name == "link" else Mark(name=name),)
                starts.append(len(runs))
            elif token.nesting < 0:
                mark, self._marks = self._marks[-1], self._marks[:-1]
                said = "".join(run.text for run in runs[starts.pop() :])
                if mark.name == "addressed" and mark.detail.removeprefix("mailto:") not in said:
                    runs.append(self._run(f" ({mark.detail})"))
            elif name == "code_inline":
                runs.append(self._run(token.content, Mark(name=name)))
            else:
                runs.append(self._run("\n" if name in ("softbreak", "hardbreak") else token.content))
        return runs

    def _image(self, token: Token, links: tuple[str, ...]) -> Run:
        mark = _link(str(token.attrs["src"]), links)
        if mark.name == "addressed":
            return self._run(f"{token.content or 'picture'} ({mark.detail})")
        return self._run(token.content or mark.detail, *([] if any(outer.name == "link" for outer in self._marks) else [mark]))


def _is_fenced(line: Line) -> bool:
    return any(mark.name == "fence" for run in line.runs[:1] for mark in run.marks)


def _link(address: str, links: tuple[str, ...]) -> Mark:
    return Mark(name="link" if address.lower().startswith(links) else "addressed", detail=address)
