"""One hub a home, and a note by which only its own user finds it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bot.domain.errors import AlreadyRunning, StorageUnavailable
from bot.hub.home import NOTE, RunningHub, announced, find_hub, locked, make_folder

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from bot.hub.home import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    input()
"""


@pytest.fixture
def hub() -> RunningHub:
    return RunningHub(url="http://127.0.0.1:8765", token="secret", pid=os.getpid())


def test_a_second_hub_on_one_database_is_told_so_until_the_first_is_gone(tmp_path: Path):
    file = tmp_path / "robbie.db"
    with _holding(file) as other:
        with pytest.raises(AlreadyRunning, match=f"another hub is running on {file}"), locked(file):
            pass
        other.kill()
    with locked(file):
        pass


def test_a_link_to_a_database_is_that_database(tmp_path: Path):
    (tmp_path / "link.db").symlink_to(tmp_path / "robbie.db")
    with _holding(tmp_path / "robbie.db") as other:
        with pytest.raises(AlreadyRunning), locked(tmp_path / "link.db"):
            pass
        other.kill()


def test_hubs_on_two_databases_do_not_mind_each_other(tmp_path: Path):
    with locked(tmp_path / "one.db"), locked(tmp_path / "two.db"):
        pass


def test_a_home_that_does_not_exist_yet_is_made(tmp_path: Path):
    with locked(tmp_path / "new" / "robbie.db"):
        assert (tmp_path / "new").is_dir()


def test_a_database_elsewhere_needs_no_lock():
    with locked(None), locked(None):
        pass


def test_a_home_that_cannot_be_made_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match=f"^cannot make the folder {tmp_path}/file/home: Not a directory$"):
        make_folder(tmp_path / "file" / "home")


def test_a_lock_that_cannot_be_written_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "robbie.db.lock").mkdir()
    with pytest.raises(StorageUnavailable, match=r"robbie\.db\.lock: Is a directory$"), locked(tmp_path / "robbie.db"):
        pass


def test_a_running_hub_is_found_by_its_note_and_the_note_goes_with_it(tmp_path: Path, hub: RunningHub):
    with announced(tmp_path, hub):
        assert find_hub(tmp_path) == hub
    assert find_hub(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_note_goes_also_when_the_hub_fails(tmp_path: Path, hub: RunningHub):
    with pytest.raises(ZeroDivisionError), announced(tmp_path, hub):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_can_read_the_note_also_where_an_old_one_was_open_to_all(tmp_path: Path, hub: RunningHub):
    (tmp_path / NOTE).touch(mode=0o666)
    with announced(tmp_path, hub):
        assert stat.S_IMODE((tmp_path / NOTE).stat().st_mode) == 0o600


def test_the_note_of_a_dead_hub_leads_nowhere(tmp_path: Path, hub: RunningHub):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (tmp_path / NOTE).write_text(json.dumps({"url": hub.url, "token": hub.token, "pid": dead.pid}))
    assert find_hub(tmp_path) is None


@pytest.mark.parametrize(
    "note", ["", "no json", "[]", "{}", '{"url": "u", "token": "t", "pid": "many"}', '{"url": "u", "token": "t", "pid": null}', "\x00\xff"]
)
def test_a_note_that_makes_no_sense_leads_nowhere(tmp_path: Path, note: str):
    (tmp_path / NOTE).write_text(note, encoding="latin-1")
    assert find_hub(tmp_path) is None


def _holding(file: Path) -> subprocess.Popen[bytes]:
    """Another process that holds the lock of this database."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, file], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    return process
