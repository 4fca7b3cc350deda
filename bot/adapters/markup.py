"""Reads a reply as Markdown, once, and writes it in a channel's own dialect: HTML for the web, plain or coloured text for a terminal.

What models say is untrusted: no HTML of theirs is ever passed on, only web and mail addresses become links, pictures become links to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token

MOST_NESTED = 40
"""Blocks within blocks, of which a list in a list takes two; the reader drops what is deeper, and all that follows it."""
LONGEST = 20_000
"""Characters; the worst text of this length takes a third of a second to read as Markdown, and time grows with the square."""

LONGEST_RIDDLE = 200
"""Characters of a line before it is clear what it begins: as yet "* **" is a rule and no list, "#" a heading, "```" a fence."""

_LINE_END = re.compile(r"\r\n?|\n")
_SAFE_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s<>\"']+", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://[^\s<>\"'\x00-\x1f]+[^\s<>\"'\x00-\x1f.,;:!?)\]}*_]")
_NOT_WEB = re.compile("[\x00\ud800-\udfff]")
_NOT_TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def to_html(text: str) -> str:
    """*text* as harmless HTML for the web page; what is too long or too tangled to be read as Markdown is shown as it is."""
    text = _NOT_WEB.sub("\ufffd", text)
    tokens = _read(text)
    if tokens is None:
        return f'<p class="verbatim">{escape(text)}</p>'
    return _Html().write(tokens)


def to_terminal(text: str, *, colour: bool) -> str:
    """*text* for a terminal, with ANSI styles where *colour* is wanted; nothing in it can steer the terminal."""
    text = _NOT_TERMINAL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    tokens = _read(text)
    return text if tokens is None else _Terminal(colour=colour).write(tokens)


def last_block(text: str) -> int:
    """Where in *text* begins what more text may turn into something else: its last block, and the one before a line that may go on.

    What stands before stays as it is, but for links whose addresses are told further down.
    """
    begun = sorted({token.map[0] for token in _read(_NOT_WEB.sub("\ufffd", text)) or () if token.map and not token.level})
    starts = [0, *(end.end() for end in _LINE_END.finditer(text))]
    if len(begun) > 1 and begun[-1] == len(starts) - 1 and len(text) - starts[-1] < LONGEST_RIDDLE:
        begun.pop()
    return starts[begun[-1]] if begun else 0


def _read(text: str) -> list[Token] | None:
    """The tree of *text*, flat, in reading order; None where that would take too long, or would lose what lies too deep."""
    if len(text) > LONGEST:
        return None
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MOST_NESTED}).enable(["table", "strikethrough"])
    reader.validateLink = lambda url: _SAFE_ADDRESS.fullmatch(url) is not None  # type: ignore[method-assign]
    try:
        tokens = reader.parse(text)
    except RecursionError:
        return None
    return None if any(token.level >= MOST_NESTED - 1 for token in tokens) else tokens


class _Html:
    """Writes a tree as HTML. Headings begin at the third level: the page has its own."""

    TAGS: ClassVar = {"paragraph": "p", "bullet_list": "ul", "list_item": "li"} | {
        tag: tag for tag in ("em", "strong", "s", "blockquote", "thead", "tbody", "tr")
    }

    def __init__(self) -> None:
        self._links = 0

    def write(self, tokens: Sequence[Token]) -> str:
        """The HTML of *tokens*."""
        return "".join(self._one(token) for token in tokens)

    def _one(self, token: Token) -> str:
        if token.type == "inline":
            return self.write(token.children or ())
        if token.hidden:  # the paragraphs of a tight list
            return "" if token.nesting >= 0 else "\n"
        name = token.type.removesuffix("_open").removesuffix("_close")
        if name in self.TAGS:
            return f"<{self.TAGS[name]}>" if token.nesting > 0 else f"</{self.TAGS[name]}>"
        writer: Callable[[Token], str] | None = getattr(self, f"_{name}", None)
        return writer(token) if writer else escape(token.content)

    def _text(self, token: Token) -> str:
        if self._links:
            return escape(token.content)
        pieces, end = [], 0
        for found in _WEB_ADDRESS.finditer(token.content):
            pieces += [escape(token.content[end : found.start()]), self._anchor(found.group()), escape(found.group()), "</a>"]
            end = found.end()
        return "".join([*pieces, escape(token.content[end:])])

    def _anchor(self, address: str) -> str:
        return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'

    def _link(self, token: Token) -> str:
        self._links += token.nesting
        return self._anchor(str(token.attrs["href"])) if token.nesting > 0 else "</a>"

    def _image(self, token: Token) -> str:
        address, name = str(token.attrs["src"]), escape(token.content or str(token.attrs["src"]))
        return name if self._links else f"{self._anchor(address)}{name}</a>"

    def _heading(self, token: Token) -> str:
        level = min(int(token.tag[1]) + 2, 6)
        return f"<h{level}>" if token.nesting > 0 else f"</h{level}>"

    def _ordered_list(self, token: Token) -> str:
        start = int(token.attrs.get("start", 1)) if token.nesting > 0 else 1
        return "</ol>" if token.nesting < 0 else "<ol>" if start == 1 else f'<ol start="{start}">'

    def _table(self, token: Token) -> str:
        return '<div class="table" tabindex="0"><table>' if token.nesting > 0 else "</table></div>"

    def _th(self, token: Token) -> str:
        return self._cell(token)

    def _td(self, token: Token) -> str:
        return self._cell(token)

    def _cell(self, token: Token) -> str:
        side = str(token.attrs.get("style", "")).removeprefix("text-align:")
        return f"</{token.tag}>" if token.nesting < 0 else f'<{token.tag} class="{side}">' if side else f"<{token.tag}>"

    def _code_inline(self, token: Token) -> str:
        return f"<code>{escape(token.content)}</code>"

    def _code_block(self, token: Token) -> str:
        return f'<pre tabindex="0"><code>{escape(token.content)}</code></pre>'

    def _fence(self, token: Token) -> str:
        return self._code_block(token)

    def _softbreak(self, _: Token) -> str:
        return "<br>"

    def _hardbreak(self, _: Token) -> str:
        return "<br>"

    def _hr(self, _: Token) -> str:
        return "<hr>"


class _Terminal:
    """Writes a tree as lines of text; lists and quotations are indented, tables get aligned columns."""

    STYLES: ClassVar = {
        "strong": "1", "em": "3", "s": "9", "heading": "1", "code_inline": "36", "code_block": "36", "fence": "36", "link": "4",
    }  # fmt: skip

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._styles: list[str] = []

    def write(self, tokens: Sequence[Token]) -> str:
        """The text of *tokens*, without a line break at its end."""
        return "\n".join(line.rstrip() for line in self._blocks(iter(tokens), gap=True)).strip("\n")

    def _blocks(self, tokens: Iterator[Token], *, gap: bool) -> list[str]:
        """The lines of all blocks up to the end of the one that encloses them."""
        lines: list[str] = []
        for token in tokens:
            if token.nesting < 0:
                break
            block = self._block(token, tokens)
            lines += ["", *block] if lines and gap and not token.hidden else block
        return lines

    def _block(self, token: Token, tokens: Iterator[Token]) -> list[str]:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                lines = self._list(token, tokens)
            case "table_open":
                lines = self._table(tokens)
            case "blockquote_open":
                lines = [f"│ {line}" for line in self._blocks(tokens, gap=True)]
            case "hr":
                lines = ["─" * 24]
            case "fence" | "code_block":
                lines = [f"    {self._styled(line, token.type)}" for line in token.content.rstrip("\n").split("\n")]
            case "inline":
                lines = self._inline(token).split("\n")
            case "heading_open":
                lines = [self._styled(line, "heading") for line in self._blocks(tokens, gap=True)]
            case _:
                lines = self._blocks(tokens, gap=True)
        return lines

    def _list(self, opening: Token, tokens: Iterator[Token]) -> list[str]:
        number = int(opening.attrs.get("start", 1)) if opening.type == "ordered_list_open" else None
        lines: list[str] = []
        for token in tokens:
            if token.nesting < 0:
                break
            mark = "• " if number is None else f"{number}. "
            number = None if number is None else number + 1
            item = self._blocks(tokens, gap=False) or [""]
            lines += [mark + item[0], *(" " * len(mark) + line for line in item[1:])]
        return lines

    def _table(self, tokens: Iterator[Token]) -> list[str]:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_Terminal(colour=False)._inline(token).replace("\n", " "))  # noqa: SLF001
        widths = [max(len(row[column]) if column < len(row) else 0 for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows]
        return [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]

    def _inline(self, inline: Token) -> str:
        pieces: list[str] = []
        targets: list[tuple[str, int]] = []
        for token in inline.children or ():
            name = token.type.removesuffix("_open").removesuffix("_close")
            if name in ("softbreak", "hardbreak"):
                pieces.append("\n")
            elif name == "image":
                pieces.append(f"{token.content or 'picture'} ({token.attrs['src']})")
            elif token.nesting == 0:
                pieces.append(self._styled(token.content, name))
            else:
                pieces.append(self._switch(name, on=token.nesting > 0))
                if name == "link":
                    pieces.append(self._target(token, targets, pieces))
        return "".join(pieces)

    def _target(self, token: Token, targets: list[tuple[str, int]], pieces: list[str]) -> str:
        """The address behind a link's words, unless they are the address."""
        if token.nesting > 0:
            targets.append((str(token.attrs["href"]), len(pieces)))
            return ""
        address, start = targets.pop()
        said = "".join(pieces[start:])
        return "" if address.removeprefix("mailto:") in said else f" ({address})"

    def _styled(self, text: str, name: str) -> str:
        text = _NOT_TERMINAL.sub("\ufffd", text)  # an entity such as &#27; has become a control character by now
        return self._switch(name, on=True) + text + self._switch(name, on=False) if text else ""

    def _switch(self, name: str, *, on: bool) -> str:
        """The escape sequence that begins or ends a style; ending one brings the enclosing styles back."""
        style = self.STYLES.get(name)
        if style is None or not self._colour:
            return ""
        if on:
            self._styles.append(style)
            return f"\x1b[{style}m"
        self._styles.pop()
        return "\x1b[0m" + "".join(f"\x1b[{enclosing}m" for enclosing in self._styles)
