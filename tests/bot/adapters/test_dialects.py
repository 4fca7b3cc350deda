"""Markdown for Slack, for Telegram and for those who take text only: written as meant, and harmless whatever anybody says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.dialects import Slack, Telegram
from bot.adapters.markup import LONGEST, to_plain, write


def to_slack(text: str) -> str:
    return write(text, Slack())


def to_telegram(text: str) -> str:
    return write(text, Telegram())


HANGING_SECONDS = 60
GAP = "\u200b"

HOSTILE = st.text(alphabet=st.sampled_from("ab \n*_`~[]()<>!#-1.|&;:@\\/\"'\x00\x01\ud800\u202e\u200bhtps中😀"), max_size=200)
SOURCES = [
    "**", "*", "_", "~~", "`", "```", "\n```py\n", "\n", "\n\n", "> ", "- ", "1. ", "# ", "a", "b ", "&amp;", "&#27;", "&#0;",
    "&nbsp;", "<!channel>", "[x](https://e.example/?a&b)", "[x](javascript:x)", "<a@b.example>", "![p](https://e.example/p)",
    "https://e.example/a_b|c", "](", "\n|a|b|\n|-|-|\n|1|2|\n", "    ", "\u202e", "\ud800", "<b>",
]  # fmt: skip
ANY = HOSTILE | st.lists(st.sampled_from(SOURCES), max_size=30).map("".join)


class TelegramReader(HTMLParser):
    """Takes what Telegram takes: its tags, closed in order, no quotation within another, nothing else in or around code."""

    TAGS = ("b", "i", "s", "code", "pre", "a", "blockquote")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.TAGS
        assert tag not in self.open
        if self.open and self.open[-1] == "pre":
            assert (tag, [name for name, _ in attrs]) == ("code", ["class"])
            assert re.fullmatch(r"language-[\w+#.-]+", attrs[0][1] or "")
        else:
            assert "code" not in self.open
            assert [name for name, _ in attrs] == (["href"] if tag == "a" else [])
            assert tag not in ("code", "pre") or set(self.open) <= {"blockquote"}
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen += data


def read_telegram(html: str) -> TelegramReader:
    reader = TelegramReader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert all(re.match("https?://", link) for link in reader.links)
    assert re.fullmatch(r"(?:[^&]|&(?:lt|gt|amp|quot|#x27);)*", html, re.DOTALL)
    return reader


def assert_harmless_in_slack(mrkdwn: str) -> None:
    """What stands in angle brackets is a link; what else has a meaning to Slack is escaped."""
    assert "<" not in re.sub(r"<(?:https?://|mailto:)[^<>|\s]*(?:\|[^<>\n]+)?>", "", mrkdwn)
    assert re.search(r"&(?!(?:lt|gt|amp);)|[\x00-\x08\ud800-\udfff]|<[!@#]", mrkdwn) is None
    assert mrkdwn.count("```") % 2 == 0


@given(ANY)
def test_any_text_is_what_telegram_takes(text: str):
    read_telegram(to_telegram(text))


@given(ANY)
def test_any_text_is_harmless_in_slack(text: str):
    assert_harmless_in_slack(to_slack(text))


@given(ANY)
def test_any_text_can_be_plain(text: str):
    to_plain(text).encode()


@pytest.mark.parametrize(
    "text",
    ["<!channel>", "<!here|x>", "<@U1>", "<#C1>", "<!subteam^S1>", "`<!channel>`", "```\n<@U1>\n```", "[<!here>](https://e.example)"],
)
def test_nobody_is_summoned_in_slack(text: str):
    assert re.search(r"<[!@#]", to_slack(text)) is None


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "tg://user?id=1", "slack://x", "file:///etc/passwd", "#x"])
def test_unsafe_addresses_are_no_links(address: str):
    for text in (f"[x]({address})", f"<{address}>", f"![x]({address})"):
        assert read_telegram(to_telegram(text)).links == []
        assert "<" not in to_slack(text)


@pytest.mark.parametrize(
    ("text", "slack", "telegram", "plain"),
    [
        ("**a** *b* ~~c~~ `d`", "*a* _b_ ~c~ `d`", "<b>a</b> <i>b</i> <s>c</s> <code>d</code>", "a b c d"),
        ("# A **b**", "*A b*", "<b>A b</b>", "A b"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d", "a &lt; b &amp; c &gt; d", "a < b & c > d"),
        (
            "[x](https://e.example/?a&b)",
            "<https://e.example/?a&amp;b|x>",
            '<a href="https://e.example/?a&amp;b">x</a>',
            "x (https://e.example/?a&b)",
        ),
        ("**[x](https://e.example)**", "*<https://e.example|x>*", '<b><a href="https://e.example">x</a></b>', "x (https://e.example)"),
        ("[m](mailto:a@b.example)", "<mailto:a@b.example|m>", "m (mailto:a@b.example)", "m (mailto:a@b.example)"),
        ("![p](https://e.example/p)", "<https://e.example/p|p>", '<a href="https://e.example/p">p</a>', "p (https://e.example/p)"),
        ("```py\nx < 1\n```", "```\nx &lt; 1\n```", '<pre><code class="language-py">x &lt; 1</code></pre>', "    x < 1"),
        ("    code", "```\ncode\n```", "<pre>code</pre>", "    code"),
        ('```"><b>\nx\n```', "```\nx\n```", "<pre>x</pre>", "    x"),
        ("- a\n- b\n  1. c", "• a\n• b\n  1. c", "• a\n• b\n  1. c", "• a\n• b\n  1. c"),
        ("> a\n> b\n\nc", "> a\n> b\n\nc", "<blockquote>a\nb</blockquote>\n\nc", "> a\n> b\n\nc"),
        ("> a\n> > b", "> a\n>\n> b", "<blockquote>a\n\nb</blockquote>", "> a\n>\n> > b"),
        ("- > a", "> • a", "<blockquote>• a</blockquote>", "• > a"),
        ("| a | b |\n|---|---|\n| cc | d |", "```\na   b\n──  ─\ncc  d\n```", "<pre>a   b\n──  ─\ncc  d</pre>", "a   b\n──  ─\ncc  d"),
        ("**a\nb**", "*a*\n*b*", "<b>a\nb</b>", "a\nb"),
        ("**`a`** and **b `c` d**", "*`a`* and *b `c` d*", "<code>a</code> and <b>b </b><code>c</code><b> d</b>", "a and b c d"),
        ("[`a`](https://e.example)", "<https://e.example|a>", '<a href="https://e.example">a</a>', "a (https://e.example)"),
        ("a\x00\x1b\ud800&#27;", "a\ufffd\ufffd\ufffd\ufffd", "a\ufffd\ufffd\ufffd\ufffd", "a\ufffd\ufffd\ufffd\ufffd"),
        ("[x](javascript:a)", "[x](javascript:a)", "[x](javascript:a)", "[x](javascript:a)"),
        ("", "", "", ""),
    ],
)
def test_every_channel_has_its_own_way_to_say_it(text: str, slack: str, telegram: str, plain: str):
    assert (to_slack(text), to_telegram(text), to_plain(text)) == (slack, telegram, plain)


@pytest.mark.parametrize(
    ("text", "slack"),
    [
        ("a**b**c", f"a{GAP}*b*{GAP}c"),
        ("**a**_b_", "*a* _b_".replace(" ", GAP)),
        ("中文**粗**体", f"中文{GAP}*粗*{GAP}体"),
        ("(**a**), **b**: **c**.", "(*a*), *b*: *c*."),
        ("***a***", "_*a*_"),
        ("[**a**](https://e.example)", "<https://e.example|*a*>"),
    ],
)
def test_a_sign_of_slack_is_parted_from_letters_but_not_from_what_it_bears(text: str, slack: str):
    assert to_slack(text) == slack


@pytest.mark.parametrize(
    ("text", "slack"),
    [
        (r"\*a\*", "∗a∗"),
        (r"\_\_init\_\_ \~a\~ \`b\`", "ˍˍinitˍˍ ∼a∼ ˋbˋ"),
        (r"**a** b\*", "*a* b∗"),
        ("``a`b``", "`aˋb`"),
        ("````\n```\n````", "```\nˋˋˋ\n```"),
        ("snake_case_name 2 * 3 * 4 ~/.config", "snake_case_name 2 * 3 * 4 ~/.config"),
        (r"see https://e.example/\_a\_/\*b\*c", "see <https://e.example/_a_/*b*c>"),
        (r"\> a", "\u00ad&gt; a"),
    ],
)
def test_signs_of_a_persons_own_do_not_format_in_slack(text: str, slack: str):
    assert to_slack(text) == slack


def test_code_in_a_list_stands_at_the_left_in_one_fence():
    text = "1. a\n   ```\n   if x:\n\n       y\n   ```\n2. ```\n   z\n   ```"
    assert to_slack(text) == "1. a\n```\nif x:\n\n    y\n```\n2.\n```\nz\n```"
    assert to_telegram(text) == "1. a\n<pre>if x:\n\n    y</pre>\n2.\n<pre>z</pre>"


def test_two_fences_in_a_row_stay_two():
    text = "- ```\n  a\n  ```\n  ```\n  b\n  ```"
    assert to_slack(text).count("```") == 4
    assert to_telegram(text).count("<pre>") == 2


def test_addresses_in_a_table_are_told():
    text = "| a |\n|---|\n| [x](https://e.example) |"
    assert "x (https://e.example)" in to_slack(text)
    assert "x (https://e.example)" in read_telegram(to_telegram(text)).seen


@pytest.mark.parametrize("text", ["*a* <b> & <!channel>\n" * LONGEST, ">" * 10_000 + "<b> <!channel>"])
def test_what_cannot_be_read_is_shown_as_it_is(text: str):
    assert_harmless_in_slack(to_slack(text))
    assert read_telegram(to_telegram(text)).seen == to_plain(text) == text.strip()


@pytest.mark.parametrize("piece", ["[", "*a", "![", "> ", "- ", "[a](", "<", "`x ", "|a", "*_", "**a** ", "a\n"])
@pytest.mark.parametrize("write", [to_slack, to_telegram])
def test_tangled_text_does_not_hang(piece: str, write: Callable[[str], str]):
    """Not a timing: what is quadratic here would take hours."""
    began = time.process_time()
    write((piece * LONGEST)[:LONGEST])
    assert time.process_time() - began < HANGING_SECONDS
