"""Text and moments on their way into a database and back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from storage.types import AnyText, UTCDateTime, escape_text, unescape_text

ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from("\x00\ud800\udfff\ufdd00dabcdef"))


@given(ANY_TEXT)
def test_every_text_survives_its_escape(text: str):
    assert unescape_text(escape_text(text)) == text


@given(ANY_TEXT)
def test_an_escaped_text_is_one_that_both_databases_take(text: str):
    escaped = escape_text(text)
    assert "\x00" not in escaped
    assert json.loads(json.dumps(escaped.encode("utf-8").decode("utf-8"))) == escaped


def test_ordinary_text_is_stored_as_it_is():
    assert escape_text("Zażółć 👩‍👩‍👧‍👦 \u2028\ufeff\uffff\t\n") == "Zażółć 👩‍👩‍👧‍👦 \u2028\ufeff\uffff\t\n"


def test_two_texts_never_look_alike_in_the_database():
    looks_escaped = escape_text("\x00")
    assert escape_text(looks_escaped) != looks_escaped
    assert unescape_text(escape_text(looks_escaped)) == looks_escaped


def test_a_migration_can_be_written_from_the_types():
    assert (repr(AnyText()), repr(UTCDateTime())) == ("AnyText()", "UTCDateTime()")
