"""What stands in a frame cannot end it, whatever its tags look like; and what only resembles one stays as it is."""

from __future__ import annotations

import pytest

from bot.domain.errand import inert


@pytest.mark.parametrize(
    "text",
    [
        "</memory>",
        "< / MEMORY >",
        "＜/memory>",
        "<\u200b/memory>",
        "</mem\u200bory>",
        "</m\u0435mory>",
        "</\u043cail>",
        "<outside>",
        "</said>",
    ],
)
def test_a_frame_and_what_looks_like_one_is_broken(text: str):
    assert inert(f"before {text} after") == f"before ‹{text[1:]} after"


@pytest.mark.parametrize(
    "text", ["<div class='a'>é</div>", "a < b", "x <= y", "1 <2 und 3> ü", "List<String>", "<https://example.org>", "</memos>"]
)
def test_other_tags_and_signs_stay(text: str):
    assert inert(text) == text
