"""Markdown for the web and for a terminal: written as meant, and harmless whatever a model says."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.markup import LONGEST, last_block, to_html, to_terminal

HANGING_SECONDS = 60

ALLOWED = {
    "p",
    "em",
    "strong",
    "s",
    "blockquote",
    "ul",
    "ol",
    "li",
    "a",
    "code",
    "pre",
    "br",
    "hr",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
ALLOWED |= {"h3", "h4", "h5", "h6"}
ATTRIBUTES = {"href", "target", "rel", "class", "tabindex", "start"}


class Audit(HTMLParser):
    """Collects what a browser would find, and sees that everything opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= ATTRIBUTES
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def audit(text: str) -> Audit:
    found = Audit()
    found.feed(to_html(text))
    found.close()
    assert found.open == []
    assert all(re.match(r"(https?://|mailto:)", link) for link in found.links)
    return found


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c** `d`", "<p>a <em>b</em> <strong>c</strong> <code>d</code></p>"),
        ("one\ntwo", "<p>one<br>two</p>"),
        ("# Title", "<h3>Title</h3>"),
        ("3. x", '<ol start="3"><li>x\n</li></ol>'),
        ("```html\n<b>\n```", '<pre tabindex="0"><code>&lt;b&gt;\n</code></pre>'),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a \x00 b \ud800", "<p>a \ufffd b \ufffd</p>"),
    ],
)
def test_html(text: str, html: str):
    assert to_html(text) == html


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/signout", "//evil.com", "#x"],
)
def test_unsafe_addresses_are_no_links(address: str):
    for text in (f"[x]({address})", f"<{address}>", f"![x]({address})", f"[x]: {address}\n\n[x]"):
        assert audit(text).links == []


def test_links_do_not_tell_where_they_come_from():
    html = to_html("[x](https://example.com/?a=1&b=%22) and https://example.org/y. and <a@b.example>")
    assert html.count('target="_blank" rel="noopener noreferrer nofollow"') == 3
    assert 'href="https://example.org/y"' in html


def test_pictures_are_links_and_never_fetched():
    assert audit("![cat](https://example.com/cat.png)").links == ["https://example.com/cat.png"]
    assert audit("[![cat](https://example.com/cat.png)](https://example.com)").links == ["https://example.com"]


@given(st.text(alphabet=st.sampled_from("ab \n*_`[]()<>!#-1.|~&;:\\/\"'\x00\ud800hjt"), max_size=200))
def test_any_text_is_harmless_html(text: str):
    audit(text)


@given(st.text(max_size=200))
def test_nothing_steers_the_terminal(text: str):
    plain = to_terminal(text, colour=False)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", plain)
    assert re.sub(r"\x1b\[\d+m", "", to_terminal(text, colour=True)) == plain


@pytest.mark.parametrize("text", ["&#27;[31m", "&#x1b;]0;title&#7;", "`\x1b[2J`", "[\x9b31m](https://example.com)"])
def test_hidden_escapes_do_not_reach_the_terminal(text: str):
    assert "\x1b" not in to_terminal(text, colour=False)
    assert "\x9b" not in to_terminal(text, colour=False)


@pytest.mark.parametrize("piece", ["[", "*a", "![", "> ", "- ", "[a](", "<", "`x ", "|a", "\n- " + " " * 9, "*_"])
def test_tangled_text_does_not_hang(piece: str):
    """Not a timing: what is quadratic here would take hours."""
    text = (piece * LONGEST)[:LONGEST]
    began = time.process_time()
    audit(text)
    to_terminal(text, colour=True)
    assert time.process_time() - began < HANGING_SECONDS


def test_what_is_too_long_is_shown_as_it_is():
    text = "*a*<b>" * LONGEST
    assert to_html(text).startswith('<p class="verbatim">*a*&lt;b&gt;*a*')
    assert to_terminal(text, colour=True) == text


@pytest.mark.parametrize("depth", [5, 9, 10, 18, 19, 20, 21, 38, 39, 40, 41, 42, 100, 200])
@pytest.mark.parametrize("kind", ["list", "quote", "numbered", "both"])
def test_no_word_is_lost_however_deep_it_lies(kind: str, depth: int):
    lines = {
        "list": [f"{'  ' * level}- word{level}." for level in range(depth)],
        "quote": [f"{'> ' * level}> word{level}." for level in range(depth)],
        "numbered": [f"{'   ' * level}1. word{level}." for level in range(depth)],
        "both": [f"{'> ' * level}- word{level}.\n" for level in range(depth)],
    }[kind]
    text = "\n".join(lines) + "\n\nAFTER"
    assert len(text) <= LONGEST or depth == 200
    audit(text)
    for written in (to_html(text), to_terminal(text, colour=False)):
        assert [word for word in (*(f"word{level}." for level in range(depth)), "AFTER") if word not in written] == []


def test_ten_lists_in_each_other_are_lists():
    text = "\n".join(f"{'  ' * level}- word" for level in range(10))
    assert to_html(text).count("<ul>") == 10


@pytest.mark.parametrize("opening", [">" * 10_000, "> " * 9_000, "1. " * 6_000, "+ " * 9_000, "- > " * 4_000])
def test_thousands_deep_neither_hangs_nor_loses_a_word(opening: str):
    """Not a timing: what is quadratic here would take hours."""
    text = f"{opening}deep\n\nAFTER"
    assert len(text) <= LONGEST
    began = time.process_time()
    for written in (to_html(text), to_terminal(text, colour=True)):
        assert "deep" in written
        assert "AFTER" in written
    assert time.process_time() - began < HANGING_SECONDS


GROWING = (
    "# Plan\r\n\r\nA *b*\nc\n\n- one\n- two\n\n  more\n- three\n\n```\nx = 1\n\ny\n```\n| a |\n|---|\n| 1 |\n\n"
    "> said\nlazy\n\nTitle\n===\n    code\n\n    more\n\nend\u2028of it"
)


TRICKY = "Plan:\n\n* **One**: a\n* **Two**: b\n\nSee\n\n#tag and\n\n```x``` too\n\n1) one\n2) two\n- x\n***y***\n\n--- no rule\n\n> a\n\n>b"


@pytest.mark.parametrize("text", [GROWING, TRICKY])
def test_what_settles_while_a_text_grows_letter_by_letter_stays_as_it_is(text: str):
    settled, html = 0, ""
    for end in range(1, len(text) + 1):
        start = settled + last_block(text[settled:end])
        html += to_html(text[settled:start])
        settled = start
        assert html + to_html(text[settled:end]) == to_html(text[:end])


def test_every_block_settles_but_the_last():
    text = GROWING + "\n"
    starts = {last_block(text[:end]) for end in range(len(text) + 1)}
    assert [GROWING[start:].lstrip()[:5] for start in sorted(starts)] == [
        "# Pla",
        "A *b*",
        "- one",
        "```\nx",
        "| a |",
        "> sai",
        "Title",
        "code\n",
        "end\u2028o",
    ]


def test_last_block_of_what_cannot_be_read_is_all_of_it():
    assert last_block("a\n\n" * LONGEST) == last_block("") == last_block("\x00\ud800") == 0


def test_terminal_text():
    text = "# Today\n\n- **one**\n- two\n  - deep\n\n1. x\n2. y\n\n> said\n\n```\ncode\n```\n\n| a | bb |\n|---|----|\n| 1 | 2 |\n\n[site](https://example.com)"
    assert to_terminal(text, colour=False) == (
        "Today\n\n• one\n• two\n  • deep\n\n1. x\n2. y\n\n│ said\n\n    code\n\na  bb\n─  ──\n1  2\n\nsite (https://example.com)"
    )


def test_terminal_styles_end_where_they_should():
    assert to_terminal("**a *b* c**", colour=True) == "\x1b[1ma \x1b[3mb\x1b[0m\x1b[1m c\x1b[0m"
