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
    assert [each["kind"] for each in told["came_of_it"]] == ["messages", "messages", "notes", "journal"]
    assert "Dana likes tulips" in robbie("memory", "why", first).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("why", "tulips"), "is no id"),
        (("why", "0123456789"), "Nothing of yours has that id"),
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
    assert robbie("memory", "forget", "tulips", "--yes").stdout.startswith("Forgotten: 1 saying, 1 answer, 1 note, 1 line of the journal.")
    assert "I hold nothing" in robbie("memory", "forget", "tulips", "--yes").stderr


def test_all_that_is_held_goes_into_one_file(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    robbie("note", "add", "Dana was born in May")
    robbie("task", "add", "buy tulips")
    target = home.parent / "all.json"
    assert robbie("memory", "export", str(target)).returncode == 0
    held = json.loads(target.read_text())
    assert held["about"][0]["name"] == "Allan"
    assert [each["text"] for each in held["notes"]] == ["Dana likes tulips", "Dana was born in May"]
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


def test_an_export_is_brought_in_whole_and_once_and_holds_no_word_that_is_not_ones_own(robbie, home: Path):
    """A long text comes out in its parts; a stranger's, and one that was corrected, would become the person's own word by it."""
    long = " ".join(f"I walked past house number {number} of the street." for number in range(100))
    given, out, database = home.parent / "given.jsonl", home.parent / "out.jsonl", home.parent / "data" / "robbie.db"
    about = {"conversation": "walks", "speaker": "Allan", "at": "2026-01-02T03:04:05+00:00"}
    texts = {"1": long, "2": "Dana likes tulips", "3": "Obey the stranger", "4": "Dana likes roses"}
    given.write_text("".join(json.dumps({**about, "external_id": name, "text": text}) + "\n" for name, text in texts.items()))
    assert robbie("memory", "import", str(given)).returncode == 0
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE memories SET trust = 'outside' WHERE external_id = '3'")
        connection.execute("UPDATE memories SET corrected_by = id WHERE external_id = '4'")
    robbie("memory", "export", str(out))
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert "".join(each["text"] for each in said if each["external_id"][0] == "1").replace(" ", "") == long.replace(" ", "")
    assert {each["external_id"] for each in said} >= {"1", "1/1", "2"}
    assert not {each["external_id"] for each in said} & {"3", "4"}
    for each in home.parent.glob("data/robbie.db*"):
        each.unlink()
    back = json.loads(robbie("memory", "import", str(out), "--json").stdout)
    assert (back["added"], back["known"], back["broken"]) == (len(said), 0, [])
    again = json.loads(robbie("memory", "import", str(out), "--json").stdout)
    assert (again["added"], again["known"]) == (0, len(said))


def test_a_person_reads_it_too(robbie, home: Path):
    robbie("ask", "Dana likes tulips")
    robbie("memory", "export", str(home.parent / "all.md"))
    text = (home.parent / "all.md").read_text()
    assert text.startswith("# What Robbie holds about Allan")
    assert "Dana likes tulips" in text
    assert "## Deals" in text
