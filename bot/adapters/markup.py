"""Reads a reply as Markdown, once, and writes it in a channel's own dialect: HTML for the web and for email, lines for all others.

What models say is untrusted: no HTML of theirs is ever passed on, only web and mail addresses become links, pictures become links to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.adapters.dialects import WEB_ADDRESS, Ansi, Plain
from bot.adapters.lines import NOT_TEXT, Layout, Line, verbatim
from bot.adapters.split import pieces

MOST_NESTED = 40
"""Blocks within blocks, of which a list in a list takes two; the reader drops what is deeper, and all that follows it."""
LONGEST = 20_000
"""Characters; the worst text of this length takes a third of a second to read as Markdown, and time grows with the square."""

LONGEST_RIDDLE = 200
"""Characters of a line before it is clear what it begins: as yet "* **" is a rule and no list, "#" a heading, "```" a fence."""

_LINE_END = re.compile(r"\r\n?|\n")
_SAFE_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s<>\"']+", re.IGNORECASE)
_NOT_WEB = re.compile("[\x00\ud800-\udfff]")


def to_html(text: str) -> str:
    """*text* as harmless HTML for the web page; what is too long or too tangled to be read as Markdown is shown as it is."""
    text = _NOT_WEB.sub("\ufffd", text)
    tokens = _read(text)
    if tokens is None:
        return f'<p class="verbatim">{escape(text)}</p>'
    return _Html().write(tokens)


def to_terminal(text: str, *, colour: bool) -> str:
    """*text* for a terminal, with ANSI styles where *colour* is wanted; nothing in it can steer the terminal."""
    return write(text, Ansi(quote="│ ") if colour else Plain(quote="│ "))


def write(text: str, dialect: Plain) -> str:
    """*text* in a *dialect*, in one piece."""
    return dialect.write(_lines(text, dialect))


def to_plain(text: str) -> str:
    """*text* without any signs of a channel's, for one that refused them and for the plain part of an email."""
    return write(text, Plain())


def split(text: str, dialect: Plain, *, limit: int) -> list[str]:
    """*text* in pieces of at most *limit* by the *dialect*'s own count, which may not be tiny; none where there is nothing to show.

    A piece ends where a block does, else an item, a line, a sentence, a word; what had to be cut is marked as what it is in both pieces.
    """
    return list(pieces(_lines(text, dialect), dialect=dialect, limit=limit))


def last_block(text: str) -> int:
    """Where in *text* begins what more text may turn into something else: its last block, and the one before a line that may go on.

    What stands before stays as it is, but for links whose addresses are told further down.
    """
    begun = sorted({token.map[0] for token in _read(_NOT_WEB.sub("\ufffd", text)) or () if token.map and not token.level})
    starts = [0, *(end.end() for end in _LINE_END.finditer(text))]
    if len(begun) > 1 and begun[-1] == len(starts) - 1 and len(text) - starts[-1] < LONGEST_RIDDLE:
        begun.pop()
    return starts[begun[-1]] if begun else 0


def _lines(text: str, dialect: Plain) -> list[Line]:
    """*text* laid out for *dialect*; as it is, where it is too long or too tangled to be read."""
    text = NOT_TEXT.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    tokens = _read(text)
    return verbatim(text) if tokens is None else Layout(fenced=dialect.FENCED, links=dialect.LINKS).lines(tokens)


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
    BREAKS: ClassVar = {"softbreak": "<br>", "hardbreak": "<br>", "hr": "<hr>"}

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
        return writer(token) if writer else self.BREAKS.get(name) or escape(token.content)

    def _text(self, token: Token) -> str:
        if self._links:
            return escape(token.content)
        pieces = re.split(f"({WEB_ADDRESS.pattern})", token.content)
        return "".join(f"{self._anchor(each)}{escape(each)}</a>" if odd % 2 else escape(each) for odd, each in enumerate(pieces))

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
        side = str(token.attrs.get("style", "")).removeprefix("text-align:")
        return f"</{token.tag}>" if token.nesting < 0 else f'<{token.tag} class="{side}">' if side else f"<{token.tag}>"

    _td = _th

    def _code_inline(self, token: Token) -> str:
        return f"<code>{escape(token.content)}</code>"

    def _code_block(self, token: Token) -> str:
        return f'<pre tabindex="0"><code>{escape(token.content)}</code></pre>'

    _fence = _code_block
