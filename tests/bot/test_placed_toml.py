"""Lines are found for every way TOML has of writing a key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.placed_toml import Table, read_toml

EVERY_WAY = '''\
top = 1
# [not.a.table]
"quoted key" = 2

[a]
text = """
[looks.like.a.header]
key = "value"
"""
list = [
    1,   # one
    { inner = 1 },
]
after = true

[a.b]
dotted.key.x = 1
dotted.key.y = 2

[[a.items]]
name = "first"

[a.items.extra]
deep = 1

[[a.items]]
name = "second"
inline = { one = { two = 2 } }

["strange.name".sub]
z = '\\n['
'''


@pytest.fixture
def tree(tmp_path: Path) -> Table:
    (tmp_path / "x.toml").write_text(EVERY_WAY)
    return read_toml(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("quoted key",), 3),
        (("a",), 5),
        (("a", "text"), 6),
        (("a", "list"), 10),
        (("a", "list", 1, "inner"), 10),
        (("a", "after"), 14),
        (("a", "b"), 16),
        (("a", "b", "dotted", "key", "x"), 17),
        (("a", "b", "dotted", "key", "y"), 18),
        (("a", "items", 0, "name"), 21),
        (("a", "items", 0, "extra", "deep"), 24),
        (("a", "items", 1), 26),
        (("a", "items", 1, "absent"), 26),
        (("a", "items", 1, "name"), 27),
        (("a", "items", 1, "inline", "one", "two"), 28),
        (("strange.name", "sub", "z"), 31),
    ],
)
def test_line_of_every_key_is_found(tree: Table, path: tuple[str | int, ...], line: int):
    assert tree.find(path)[1].line == line


def test_values_are_those_of_tomllib(tree: Table):
    assert tree == tomllib.loads(EVERY_WAY)


TEXTS = st.text('x"\\\n#[]=', max_size=6)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=6,
)


def as_toml(value: object, *, may_break: bool = True) -> str:
    """*value* as TOML, over as many lines as it may be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(inner, may_break=False)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + (",\n" if may_break else ",").join(as_toml(inner, may_break=may_break) for inner in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"""\n{escaped}"""' if may_break else '"' + escaped.replace("\n", "\\n") + '"'
    return str(value).lower()


@settings(deadline=None)
@given(sections=st.lists(st.lists(VALUES, max_size=3), max_size=4), is_array=st.booleans())
def test_whatever_the_values_are_each_key_keeps_its_line(
    tmp_path_factory: pytest.TempPathFactory, sections: list[list[object]], is_array: bool
):
    text, lines = "", {}
    for section, values in enumerate(sections):
        text += "[[s]]\n" if is_array else f"[s.{section}]\n"
        for key, value in enumerate(values):
            lines["s", section if is_array else str(section), str(key)] = text.count("\n") + 1
            text += f"{key} = {as_toml(value)} # a comment\n"
    file = tmp_path_factory.mktemp("any") / "x.toml"
    file.write_text(text)
    tree = read_toml(file)
    assert tree == tomllib.loads(text)
    assert {path: tree.find(path)[1].line for path in lines} == lines
