"""The first command of the README: `make run`, then a real model answers, in the terminal's way and the web's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
START_SECONDS = 280  # the first time, everything is installed

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not shutil.which("make"), reason="needs make: apt-get install make")]


@dataclass(frozen=True)
class Running:
    """A Robbie that `make run` started."""

    process: subprocess.Popen[str]
    link: str
    home: Path
    environ: dict[str, str]

    def robbie(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command beside the running hub."""
        command = [str(ROOT / ".venv/bin/robbie"), *words]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`make run` as a new user types it, on a home of its own."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(ROOT / "config.toml", home)
    environ = {**os.environ, "ROBBIE_CONFIG": str(home / "config.toml"), "ROBBIE__WEB__PORT": "0"}
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        environ.pop(key, None)
    output = (home / "output").open("w+")
    process = subprocess.Popen(["make", "run"], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True)
    try:
        yield Running(process=process, link=_wait_for_link(process, home / "output"), home=home, environ=environ)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_SECONDS)
        output.close()


def _wait_for_link(process: subprocess.Popen[str], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(r"http://\S+/signin/\S+", output.read_text()):
            return found.group()
        assert process.poll() is None, output.read_text()
        time.sleep(0.2)
    raise AssertionError(output.read_text())


def test_real_model_answers_with_no_key_and_no_account(running: Running):
    answer = json.loads(running.robbie("ask", "What is the capital of France? One word.", "--json").stdout)
    assert (answer["level"], answer["provider"], answer["offline"]) == ("embedded", "local", False)
    assert "paris" in answer["reply"].lower()


def test_script_is_answered_once_over_http(running: Running):
    token = running.robbie("token", "create").stdout.split()[-1]
    hub = json.loads((running.home / "data/hub.json").read_text())["url"]
    body = json.dumps({"text": "Say hello.", "id": "E1"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answers = []
    for _ in range(2):
        with urllib.request.urlopen(urllib.request.Request(f"{hub}/api/chat", body, headers), timeout=PATIENCE_SECONDS) as response:
            answers.append(json.load(response))
    assert answers[0] == answers[1]
    with urllib.request.urlopen(
        urllib.request.Request(f"{hub}/api/conversations/main/messages", headers=headers), timeout=PATIENCE_SECONDS
    ) as response:
        messages = json.load(response)["messages"]
    assert [message["direction"] for message in messages] == ["in", "out"]
    assert (messages[0]["external_id"], messages[1]["reply_to"]) == ("E1", messages[0]["id"])


def test_second_hub_on_this_home_says_so_and_stops(running: Running):
    second = running.robbie("run")
    assert second.returncode == 1
    assert "another hub is running" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_doctor_and_drill_work_beside_it(running: Running):
    assert running.robbie("doctor").returncode == 0
    rungs = json.loads(running.robbie("drill", "--json").stdout)["rungs"]
    assert rungs[0]["level"] == "embedded"
    assert rungs[-1]["level"] == "offline"
    assert all(rung["seen"] for rung in rungs)


def test_sigterm_stops_it_within_ten_seconds(running: Running):
    """Runs last: `make` passes the signal on, nothing is left behind, and the note for commands is gone."""
    hub = json.loads((running.home / "data/hub.json").read_text())
    began = time.monotonic()
    os.kill(hub["pid"], signal.SIGTERM)
    running.process.wait(timeout=15)
    assert time.monotonic() - began < 10
    assert not (running.home / "data/hub.json").exists()
