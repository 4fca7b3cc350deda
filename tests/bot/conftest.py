"""A home for tests of whole commands: a config of its own, and a FAKE vendor that speaks the OpenAI wire."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import structlog

from bot.cli import main

GOOD_KEY = "sk-good"


class FakeVendor(BaseHTTPRequestHandler):
    """FAKE: lists two models, echoes the last line of a chat, and accepts one key."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._is_known():
            self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in ("gpt-5.2", "other")]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_known():
            return
        said = f"You said: {body['messages'][-1]['content']}"
        frames: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": said}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
        ]
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        payload = "".join(f"data: {json.dumps(base | frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"
        self._send(200, "text/event-stream", payload.encode())

    def _is_known(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {GOOD_KEY}":
            return True
        self._json(401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}})
        return False

    def _json(self, status: int, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def vendor():
    """The address of a fake vendor."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeVendor)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, vendor: str) -> Path:
    """The config of a Robbie whose one level is the fake vendor."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[robbie]
owner = "Allan"
timezone = "Europe/Berlin"
[web]
port = 0
[memory]
embedder = "none"
[[brain.levels]]
name = "first"
provider = "openai"
model = "gpt-5.2"
api_key = "env:OPENAI_API_KEY"
base_url = "{vendor}"
context = 8000
"""
    )
    return config


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Robbie = Callable[..., Outcome]


@pytest.fixture
def robbie(home: Path, opened_before: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Robbie]:
    """Runs a command as a person would, but in this process (starting another for each takes a second) and in a house opened before."""
    data = home.parent / "data"
    data.mkdir(mode=0o700)
    shutil.copy(opened_before, data / "robbie.db")

    def run(*words: str, key: str = GOOD_KEY, stdin: str = "", **variables: str) -> Outcome:
        for name, value in {"OPENAI_API_KEY": key, **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["robbie", "--config", str(home), *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        capsys.readouterr()
        status: str | int | None = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return Outcome(int(status or 0), captured.out, captured.err)

    yield run
    structlog.reset_defaults()
