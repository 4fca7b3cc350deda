"""What stands on the screen: no word broken at its edge, however its letters come in, and nothing that steers it."""

from __future__ import annotations

import pytest

from bot.adapters.screen import LONGEST_HELD, WordWrap, to_printable


def shown(*pieces: str, columns: int = 10) -> str:
    out: list[str] = []
    wrap = WordWrap(out.append, columns=lambda: columns)
    for piece in pieces:
        wrap.write(piece)
    return "".join(out)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four\n", ["one two", "three four", ""]),
        ("one two ten\n", ["one two", "ten", ""]),
        ("12345 7890 1\n", ["12345 7890", "1", ""]),
        ("12345678901234567890 1\n", ["12345678901234567890", "1", ""]),
        ("12345 78901\n", ["12345", "78901", ""]),
        ("    code that goes on\n", ["    code", "that goes", "on", ""]),
        ("a\n\n  b\n", ["a", "", "  b", ""]),
        ("\x1b[1mone two\x1b[0m ten\n", ["\x1b[1mone two\x1b[0m", "ten", ""]),
        ("a verylongwordthatfitsnowhere b\n", ["a verylongwordthatfitsnowhere", "b", ""]),
        ("\U0001f600 ab \U0001f600 abcd\n", ["\U0001f600 ab \U0001f600", "abcd", ""]),
    ],
)
def test_lines_end_between_words_whatever_pieces_the_text_comes_in(text: str, lines: list[str]):
    assert shown(text).split("\n") == lines
    assert shown(*text).split("\n") == lines
    assert shown(text[:7], text[7:]).split("\n") == lines


def test_word_is_shown_when_it_is_whole():
    assert shown("one tw") == "one"
    assert shown("one tw", "o ") == "one two"
    assert shown("one tw", "o\n") == "one two\n"


def test_long_word_grows_on_the_screen_and_is_not_broken_by_us():
    word = "https://example.com/" + "x" * LONGEST_HELD
    assert shown("see ", word, columns=40) == f"see {word}"
    assert shown("see ", "x" * 38, columns=40) == f"see\n{'x' * 38}"
    assert shown("see ", word, word, " it\n", columns=60) == f"see {word}{word} it\n"


def test_writing_without_blanks_is_not_waited_for():
    assert shown("你好", "世界", columns=6) == "你好世界"


def test_wide_character_that_does_not_fit_is_counted_on_the_next_line():
    """The terminal itself begins a line at the third."""
    assert shown("你好吗 abc\n", columns=5) == "你好吗\nabc\n"
    assert shown("你好吗 ab\n", columns=5) == "你好吗 ab\n"


def test_screen_that_changes_its_width_is_followed():
    out: list[str] = []
    widths = [20, 20, 5, 5]
    wrap = WordWrap(out.append, columns=lambda: widths.pop(0))
    wrap.write("one two three four\n")
    assert "".join(out) == "one two\nthree\nfour\n"


def test_nothing_steers_the_terminal():
    assert to_printable("a\x1b[2Jb\x07\r\nc\td") == "a\ufffd[2Jb\ufffd\ufffd\nc\td"
