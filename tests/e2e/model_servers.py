"""Starters of the model servers that are not ours: aimock, which speaks three wires and breaks on demand, and llama.cpp itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.brain import gguf
from bot.brain.providers import local_server
from bot.brain.providers.anthropic import AnthropicProvider
from bot.brain.providers.ollama import OllamaProvider
from bot.brain.providers.openai import OpenAIProvider
from bot.domain.errors import ProviderError, ProviderUnavailable, RateLimited, StreamBroken
from bot.domain.ports import Provider
from tests.machine import PATIENCE_SECONDS, free_port

NODE_MODULES = Path(os.environ.get("ROBBIE_E2E_NODE", ".e2e/node_modules"))
AIMOCK = NODE_MODULES / ".bin" / "llmock"
AIMOCK_MISSING = (
    None if shutil.which("node") and AIMOCK.exists() else f"needs node, and: npm install --prefix {NODE_MODULES.parent} @copilotkit/aimock"
)

EMBEDDED_NAME = "smollm2-135m-instruct"
EMBEDDED_PATH = gguf.resolve(EMBEDDED_NAME, os.environ)
EMBEDDED_MISSING = None if gguf.is_present(EMBEDDED_PATH) else "needs the embedded model: robbie model fetch"

WIRES = ("openai", "anthropic", "ollama")
"""The wires that aimock speaks."""
ANSWER = "All is well, and this is the whole answer that was meant to be given."
"""What aimock says when nothing is wrong."""
TOOL_MODEL = {"native": "calls-tools", "text": "calls-in-text"}
"""Models of aimock's that first call look_up twice, and give TOOL_ANSWER when its results came."""
TOOL_ANSWER = "It rains in Oslo."
_CALLS = [{"name": "look_up", "arguments": {"place": place}} for place in ("Oslo", "Bergen")]
_IN_TEXT = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in _CALLS)
TOOL_FIXTURES: list[dict[str, Any]] = [
    {"match": {"model": "calls-tools", "hasToolResult": False}, "response": {"toolCalls": _CALLS}},
    {"match": {"model": "calls-tools", "hasToolResult": True}, "response": {"content": TOOL_ANSWER}},
    {"match": {"model": "calls-in-text", "userMessage": "tool_result"}, "response": {"content": TOOL_ANSWER}},
    {"match": {"model": "calls-in-text"}, "response": {"content": _IN_TEXT}},
]
COUNCIL = {"openai": "Lease it: 42 months.", "anthropic": "Buy it, after 41 months of saving.", "ollama": "Lease it, over 42 months."}
"""What the models called seat-WIRE say; one that reads their drafts says COUNCIL_ANSWER."""
COUNCIL_ANSWER = "Most would lease it for 42 months; one would buy it after 41."
COUNCIL_FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "<draft name=A>"}, "response": {"content": COUNCIL_ANSWER}},
    *({"match": {"model": f"seat-{wire}"}, "response": {"content": said}} for wire, said in COUNCIL.items()),
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way a model fails. Ask aimock for the model called `name` and it fails so, on every wire, whatever else it serves.

    `error` is what a provider raises, None where the answer is only late (by `delay_ms`). `begun`: some text comes before it fails.
    """

    name: str
    error: type[ProviderError] | None
    fixture: dict[str, Any] = field(default_factory=dict)
    begun: bool = False
    delay_ms: int = 0


def _late(how: str, by_ms: int) -> tuple[Fault, Fault]:
    return (
        Fault(name=f"fault-{how}-first-token", error=None, delay_ms=by_ms, fixture={"streamingProfile": {"ttft": by_ms, "tps": 500}}),
        Fault(name=f"fault-{how}-to-accept", error=None, delay_ms=by_ms, fixture={"chaos": {"latencyMs": by_ms}}),
    )


SLOW_MS = 700
FAULTS = (
    Fault(name="fault-429", error=RateLimited, fixture={"chaos": {"rateLimitRate": 1}}),
    Fault(name="fault-500", error=ProviderUnavailable, fixture={"chaos": {"dropRate": 1}}),
    Fault(
        name="fault-529",
        error=ProviderUnavailable,
        fixture={"response": {"status": 529, "error": {"message": "Overloaded", "type": "overloaded_error"}}},
    ),
    Fault(name="fault-malformed", error=StreamBroken, fixture={"chaos": {"malformedRate": 1}}),
    Fault(name="fault-dropped", error=ProviderUnavailable, fixture={"chaos": {"disconnectRate": 1}}),
    Fault(name="fault-truncated", error=StreamBroken, begun=True, fixture={"truncateAfterChunks": 4, "latency": 25, "chunkSize": 5}),
    Fault(name="fault-cut", error=StreamBroken, begun=True, fixture={"disconnectAfterMs": 800, "latency": 100, "chunkSize": 5}),
    *_late("slow", SLOW_MS),
)
STALLS = _late("stalled", 30_000)
"""As the late ones, but by so much that whoever is asked in their stead has answered, however loaded the machine."""


@dataclass(frozen=True, kw_only=True)
class Aimock:
    """A running aimock: OpenAI's wire at `{url}/v1`, Anthropic's and Ollama's at `url`."""

    url: str

    def chaos(self, **rates: float) -> None:
        """Break everything from now on, as aimock's own words tell (`rateLimitRate=1`, `latencyMs=500` and so on)."""
        _call(f"{self.url}/__aimock/chaos", "POST", rates)

    def calm(self) -> None:
        """Take back what `chaos` did."""
        _call(f"{self.url}/__aimock/chaos", "DELETE")

    def journal(self) -> list[dict[str, Any]]:
        """Every request it was sent, oldest first."""
        told: list[dict[str, Any]] = _call(f"{self.url}/__aimock/journal", "GET")
        return told


@contextmanager
def aimock() -> Iterator[Aimock]:
    """Start aimock on a free port; a model named by no fault gives ANSWER."""
    fixtures = [{"match": {"model": fault.name}, "response": {"content": ANSWER}, **fault.fixture} for fault in (*FAULTS, *STALLS)]
    fixtures += [*TOOL_FIXTURES, *COUNCIL_FIXTURES, {"match": {}, "response": {"content": ANSWER}}]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "fixtures.json")
        file.write_text(json.dumps({"fixtures": fixtures}))
        port = free_port()
        command = ["node", str(AIMOCK), "-p", str(port), "-f", str(file), "--log-level", "warn"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            try:
                mock = Aimock(url=f"http://127.0.0.1:{port}")
                _wait_for(mock.url, process)
                yield mock
            finally:
                process.kill()


def connect(wire: str, model: str, url: str) -> Provider:
    """The provider of *wire* for one of aimock's models."""
    if wire == "openai":
        return OpenAIProvider(model=model, api_key="k", base_url=f"{url}/v1")
    if wire == "anthropic":
        return AnthropicProvider(model=model, api_key="k", base_url=url)
    return OllamaProvider(model=model, url=url)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A running llama.cpp with the embedded model: OpenAI's wire at `{url}/v1`, Anthropic's at `url`; it wants `key`."""

    url: str
    key: str
    model: str = EMBEDDED_NAME


@contextmanager
def embedded(*, context: int = 2048) -> Iterator[Embedded]:
    """Start the embedded model's own server process, as a cloud of one's own."""
    key = "key-of-the-test"
    command = [sys.executable, "-P", local_server.__file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps({"path": str(EMBEDDED_PATH), "context": context, "key": key}) + "\n")
            process.stdin.flush()
            yield Embedded(url=json.loads(process.stdout.readline())["address"], key=key)
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when something answers at *url*."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            _call(f"{url}/__aimock/chaos", "GET")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _call(url: str, method: str, body: object = None) -> Any:
    """One HTTP call with JSON both ways."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        told = answer.read()
    return json.loads(told) if told else None
