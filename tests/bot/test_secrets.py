"""What is secret stays so: in no log, in no database, and in no file that anybody but its owner can read."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bot.conftest import GOOD_KEY

ROOT = Path(__file__).parents[2]
DIARY = "dear diary, nobody must know"


@dataclass(frozen=True)
class Day:
    """What a hub with `--debug` left behind, and the secrets that went through it."""

    data: Path
    secrets: dict[str, str]
    log: str


@pytest.mark.parametrize("key", [GOOD_KEY, "sk-that-the-vendor-refuses"])
def test_secrets_are_in_no_log_and_in_no_database(home: Path, key: str):
    day = spend_a_day(home, key)
    assert "hub.stopped" in day.log
    assert [name for name, secret in day.secrets.items() if secret in day.log] == []
    kept = b"".join(file.read_bytes() for file in day.data.glob("robbie.db*"))
    assert DIARY.encode() in kept  # the one that is meant to be there: the owner's own words
    assert [name for name, secret in day.secrets.items() if secret.encode() in kept and secret != DIARY] == []


def test_files_are_readable_by_their_owner_alone(home: Path):
    day = spend_a_day(home, GOOD_KEY)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (day.data, *day.data.rglob("*"))}
    assert {path.name for path in found} >= {"data", "robbie.db", "robbie.db.lock"}
    assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}


def spend_a_day(home: Path, key: str) -> Day:
    """Run a hub as a careless user does, sign in, ask, and show it wrong secrets too."""
    log = home.with_name("log")
    with log.open("w") as errors:
        environ = {**os.environ, "OPENAI_API_KEY": key}
        command = [sys.executable, "-m", "bot", "--debug", "--config", home, "run"]
        hub = subprocess.Popen(
            command, cwd=ROOT, env=environ, umask=0o022, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with hub:
        link = next(found.group() for line in hub.stdout if (found := re.search(r"http://\S+/signin/\S+", line)))
        url, _, code = link.partition("/signin/")
        token = json.loads((home.parent / "data" / "hub.json").read_text())["token"]
        cookie = fetch(link).partition("robbie_session=")[2].partition(";")[0]
        fetch(f"{url}/api/chat", token=token, body={"text": DIARY})
        fetch(f"{url}/api/chat", token="robbie_wrong-token", body={"text": DIARY})
        fetch(f"{url}/signin/wrong-link")
        hub.terminate()
    secrets = {"key": key, "link": code, "hub token": token, "session": cookie, "wrong token": "robbie_wrong-token", "words": DIARY}
    assert all(secrets.values())
    return Day(data=home.parent / "data", secrets=secrets, log=log.read_text())


def fetch(url: str, *, token: str = "", body: object = None) -> str:
    """Ask the hub for something; gives the cookie that it sets."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=30)) as line:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        line.request("POST" if body else "GET", parts.path, body=json.dumps(body) if body else None, headers=headers)
        answer = line.getresponse()
        answer.read()
        return answer.getheader("Set-Cookie") or ""
