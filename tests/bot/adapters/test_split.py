"""Pieces for a channel's limit: cut where a reader would pause, each whole in itself, no word lost."""

from __future__ import annotations

import re
import time
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.dialects import Plain, Slack, Telegram
from bot.adapters.markup import split, to_plain, write


def to_slack(text: str) -> str:
    return write(text, Slack())


def to_telegram(text: str) -> str:
    return write(text, Telegram())


HANGING_SECONDS = 60

SOURCES = [
    "**", "*", "_", "~~", "`", "\n```py\n", "\n```\n", "\n", "\n\n", "\n> ", "\n- ", "\n  - ", "\n1. ", "\n# ", "word", "Done. ",
    "[some words](https://e.example/?a&b)", "&", "<", "😀", "中。", "\n|a|b|\n|-|-|\n|1|2|\n", "    ", " ", "https://e.example/a ",
    "x" * 90,
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SOURCES), max_size=60).map("".join)
LIMITS = st.integers(60, 200)


def bones(text: str) -> str:
    """*text* without blanks, and without what is said again in every piece: marks of quotations and fences."""
    return re.sub(r"\s|[>`]", "", text)


def slack_bones(mrkdwn: str) -> str:
    """The letters that Slack shows."""
    return re.sub(r"[\W_∗ˍ∼ˋ]", "", unescape(re.sub(r"<([^|<>]*)\|([^<>]*)>", r"\2", mrkdwn)))


def seen(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", html))


@given(TEXTS, LIMITS)
def test_no_word_is_lost_or_said_twice(text: str, limit: int):
    assert bones("".join(split(text, Plain(), limit=limit))) == bones(to_plain(text))
    assert bones(seen("".join(split(text, Telegram(), limit=limit)))) == bones(seen(to_telegram(text)))
    assert "".join(map(slack_bones, split(text, Slack(), limit=limit))) == slack_bones(to_slack(text))


@given(TEXTS, LIMITS)
def test_no_piece_is_blank_or_too_long(text: str, limit: int):
    for dialect in (Plain(), Slack(), Telegram()):
        for piece in split(text, dialect, limit=limit):
            assert 0 < dialect.length(piece) <= limit


@given(TEXTS, LIMITS)
def test_every_piece_is_whole_in_itself(text: str, limit: int):
    """No tag, entity, link or fence is cut."""
    for piece in split(text, Telegram(), limit=limit):
        opened: list[str] = []
        for closing, tag in re.findall(r"<(/?)(\w+)[^<>]*>", piece):
            assert not closing or opened.pop() == tag
            opened += [] if closing else [tag]
        assert opened == []
        assert re.search(r"&(?!(?:lt|gt|amp|quot|#x27);)", piece) is None
    for piece in split(text, Slack(), limit=limit):
        assert piece.count("```") % 2 == 0
        assert re.search(r"&(?!(?:lt|gt|amp);)", piece) is None
        assert re.sub(r"<https://[^<>\s]*(?:\|[^<>\n]*)?>", "", piece).count("<") == 0


@given(TEXTS)
def test_what_fits_is_one_piece(text: str):
    whole = to_slack(text)
    assert split(text, Slack(), limit=max(len(whole), 1)) == ([whole] if seen(to_telegram(text)).strip() else [])


def test_nothing_to_show_is_no_piece():
    for text in ("", " \n\n", "[a]: https://e.example", "```\n```"):
        assert split(text, Telegram(), limit=100) == []


def test_pieces_end_where_blocks_do():
    first, second, third = "one " * 9, "two " * 9, "- three\n- four"
    assert split(f"{first}\n\n{second}\n\n{third}", Plain(), limit=60) == [first.strip(), f"{second.strip()}\n\n• three\n• four"]


def test_a_block_that_just_fits_is_not_cut():
    assert split("a" * 60 + "\n\n" + "b" * 60, Plain(), limit=60) == ["a" * 60, "b" * 60]


def test_a_long_list_is_cut_between_items():
    items = [f"- {name} " + "word " * 6 + "\n  - deeper" for name in "abcd"]
    pieces = split("\n".join(items), Plain(), limit=100)
    assert [piece[:3] for piece in pieces] == ["• a", "• c"]


def test_a_long_paragraph_is_cut_between_lines_then_sentences_then_words():
    assert split("one one\ntwo. two " + "x " * 10, Plain(), limit=20)[0] == "one one"
    assert split("One is here. Two is not. Three", Plain(), limit=26)[0] == "One is here. Two is not."
    assert split("one two three", Plain(), limit=10) == ["one two", "three"]
    assert split("一二三。四五六。七八九", Plain(), limit=9)[0] == "一二三。四五六。"


def test_a_small_beginning_does_not_stand_alone():
    assert split("Hi.\n\n" + "word " * 30, Plain(), limit=100)[0].startswith("Hi.\n\nword")


def test_a_long_word_is_cut_hard():
    assert [len(piece) for piece in split("x" * 10_000, Slack(), limit=3_000)] == [3_000, 3_000, 3_000, 1_000]


def test_a_long_fence_becomes_several_with_its_language():
    text = "```py\n" + "if x:\n    y()\n\n" * 20 + "```"
    pieces = split(text, Telegram(), limit=100)
    assert all(piece.startswith('<pre><code class="language-py">') and piece.endswith("</code></pre>") for piece in pieces)
    assert all(piece.startswith("```\n") and piece.endswith("\n```") for piece in split(text, Slack(), limit=100))


def test_bold_and_quotations_go_on_in_the_next_piece():
    pieces = split("> **" + "word " * 40 + "end**", Slack(), limit=100)
    assert len(pieces) > 1
    assert all(re.fullmatch(r"> \*word.*\w\*", piece) for piece in pieces)


def test_links_and_code_stay_whole_where_they_can():
    link = "[a few words](https://e.example/long/address)"
    for piece in split(f"word {link} word `some code` " * 10, Slack(), limit=100):
        assert piece.count("<https://e.example/long/address|a few words>") == piece.count("<")
        assert piece.count("`some code`") * 2 == piece.count("`")


def test_telegram_counts_what_is_seen_in_utf_16():
    assert Telegram().length('<a href="https://e.example">a</a> &amp; <b>😀</b>') == 6
    assert len(split("😀" * 2_049, Telegram(), limit=4_096)) == 2
    assert len(split("&" * 4_096, Telegram(), limit=4_096)) == 1
    assert len(split("&" * 601, Slack(), limit=3_000)) == 2


def test_an_address_longer_than_a_piece_is_no_link():
    assert split("a [word](https://e.example/" + "x" * 4_000 + ")", Slack(), limit=3_000) == ["a", "word"]


@pytest.mark.parametrize("text", ["*a* <b> & https://e.example/\n\n" * 1_000, "x" * 500_000, "\n" * 100_000 + "x", "> " * 9_000 + "deep"])
def test_what_cannot_be_read_is_split_as_it_is(text: str):
    """Not a timing: what is quadratic here would take hours."""
    began = time.process_time()
    for dialect, limit in ((Slack(), 3_000), (Telegram(), 4_096)):
        pieces = split(text, dialect, limit=limit)
        assert max(map(dialect.length, pieces)) <= limit
    assert re.sub(r"\s", "", unescape("".join(pieces))) == re.sub(r"\s", "", text)
    assert time.process_time() - began < HANGING_SECONDS
