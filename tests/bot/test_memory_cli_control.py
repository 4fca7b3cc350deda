"""`robbie memory why|forget|export`: what is remembered is told, forgotten and given out from the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


def ids(home: Path, table: str = "memories") -> list[str]:
    with closing(sqlite3.connect(home.parent / "data" / "robbie.db")) as connection:
        return [row[0] for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")]


def test_a_memory_tells_where_it_came_from_and_what_came_of_it(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    first = ids(home)[0]
    told = json.loads(robbie("memory", "why", first, "--json").stdout)
    assert (told["kind"], told["text"], told["speaker"]) == ("memories", "Dana likes tulips", "Allan")
    assert [each["kind"] for each in told["came_of_it"]] == ["messages", "messages"]
    assert "Dana likes tulips" in robbie("memory", "why", first).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("why", "tulips"), "is no id"),
        (("why", "0123456789"), "nothing of yours has that id"),
        (("forget", "01234567"), "Nothing of yours has that id"),
        (("forget", "Kilimanjaro", "--yes"), "I hold nothing of yours"),
        (("export", "all.txt"), ".json, .jsonl"),
        (("export", "/nowhere/all.json"), "cannot be written"),
    ],
)
def test_what_is_not_there_is_one_clear_line(robbie, words, said):
    result = robbie("memory", *words)
    assert (result.returncode, said in result.stderr, len(result.stderr.splitlines())) == (1, True, 1), result.stderr


def test_nothing_is_forgotten_unasked_and_a_yes_forgets(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    assert robbie("memory", "forget", "tulips").stderr.endswith("nothing was forgotten; --yes forgets it without asking\n")
    assert robbie("memory", "forget", "tulips", "--yes").stdout.startswith("Forgotten: 1 saying, 1 answer.")
    assert "I hold nothing" in robbie("memory", "forget", "tulips", "--yes").stderr


def test_all_that_is_held_goes_into_one_file(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    robbie("note", "add", "Dana was born in May")
    robbie("task", "add", "buy tulips")
    target = home.parent / "all.json"
    assert robbie("memory", "export", str(target)).returncode == 0
    held = json.loads(target.read_text())
    assert held["about"][0]["name"] == "Allan"
    assert [each["text"] for each in held["notes"]] == ["Dana was born in May"]
    assert [each["title"] for each in held["tasks"]] == ["buy tulips"]
    assert held["memories"][0]["text"] == "Dana likes tulips"
    assert held["deals"] == []
    assert target.stat().st_mode & 0o077 == 0
    assert not [*home.parent.glob("*.part")]


def test_what_was_said_comes_out_as_it_may_come_in_again(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    robbie("memory", "export", str(home.parent / "said.jsonl"))
    lines = [json.loads(line) for line in (home.parent / "said.jsonl").read_text().splitlines()]
    assert lines[0].keys() == {"external_id", "conversation", "speaker", "text", "at"}
    assert (lines[0]["speaker"], lines[0]["text"], len(lines)) == ("Allan", "Dana likes tulips", 2)


def test_a_person_reads_it_too(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    robbie("memory", "export", str(home.parent / "all.md"))
    text = (home.parent / "all.md").read_text()
    assert text.startswith("# What Robbie holds about Allan")
    assert "Dana likes tulips" in text
    assert "## Deals" in text
