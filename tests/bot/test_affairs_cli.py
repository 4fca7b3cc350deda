"""A person's own affairs at the command line, as people and scripts use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.mark.parametrize("noun", ["task", "note", "contact", "deal"])
def test_every_kind_can_be_added_listed_changed_removed_and_moved(robbie, noun):
    result = robbie(noun, "--help")
    assert all(word in result.stdout for word in ("add", "list", "done", "edit", "remove", "import", "export"))
    added = {"task": "call Dana tomorrow at 3pm", "note": "Dana likes tulips", "contact": "Dana at Acme", "deal": "Dana 40k"}[noun]
    row = json.loads(robbie(noun, "add", *added.split(), "--json").stdout)[noun]
    assert (row.get("title") or row.get("name") or row.get("text")).startswith(("call Dana", "Dana"))
    assert "Dana" in robbie(noun, "list").stdout
    changed = {"task": "today at 11pm", "note": "roses", "contact": "role=CTO", "deal": "60k"}[noun]
    assert robbie(noun, "edit", "Dana", changed).returncode == 0
    assert len(json.loads(robbie(noun, "list", "--json").stdout)[f"{noun}s"]) == 1
    assert robbie(noun, "remove", "roses" if noun == "note" else "Dana").stdout.startswith("Removed")
    assert json.loads(robbie(noun, "list", "--json").stdout) == {f"{noun}s": []}


def test_a_file_comes_in_with_its_broken_lines_told_and_goes_out_again(robbie, tmp_path: Path):
    source, target = tmp_path / "people.csv", tmp_path / "people.vcf"
    source.write_text("name;email\nDana;dana@acme.com\nBob;nonsense\n")
    result = robbie("contact", "import", str(source))
    assert result.stdout == "1 added, 0 completed, 0 known already, 1 left out\n"
    assert result.stderr == "line 3 was left out: “nonsense” is no address\n"
    assert robbie("contact", "export", str(target)).returncode == 0
    assert "FN:Dana\r\n" in target.read_bytes().decode()
    told = json.loads(robbie("contact", "import", str(target), "--json").stdout)
    assert told == {"added": 0, "merged": 0, "known": 1, "broken": []}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("task", "add", "rent on 30 February"), "28 February or 1 March"),
        (("task", "done", "nothing"), "I know no task “nothing”"),
        (("contact", "import", "/nowhere.csv"), "cannot be read"),
        (("contact", "import", "/dev/null"), "no column I know"),
        (("task", "list", "--as", "Zoe"), "nobody here is called Zoe"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(robbie, words, said):
    result = robbie(*words)
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_is_done_is_done_for_the_person_who_is_named(robbie, home: Path):
    home.write_text(home.read_text() + '\n[[people]]\nname = "Grace"\nrole = "member"\n')
    robbie("task", "add", "milk", "--as", "Grace")
    assert "no tasks" in robbie("task", "list").stdout
    assert robbie("task", "done", "milk", "--as", "Grace").stdout == "Done: milk.\n"
