"""Real Ollama servers on loopback, each with a home, a port and a process group of its own; and a SHIM that slows or garbles one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.model_servers import EMBEDDED_MISSING, EMBEDDED_PATH
from tests.machine import PATIENCE_SECONDS, free_port

OLLAMA = Path(os.environ.get("ROBBIE_E2E_OLLAMA", ".e2e/ollama/ollama")).absolute()
OLLAMA_MISSING = EMBEDDED_MISSING if OLLAMA.exists() else "needs Ollama, which `make e2e-tools` builds where Go and a C++ compiler are"
MODEL = "smollm2"
MODELFILE = """FROM {path}
PARAMETER temperature 0
PARAMETER num_thread 1
"""
"""One thread each: four servers that spin for two processors would mostly wait for each other."""


@dataclass(kw_only=True)
class OllamaServer:
    """A real `ollama serve` with the embedded model in *folder*; `start` it, and signal it with its runner."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of ours; a proxy that is not there keeps it from the world."""
        nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
        own = {"HOME": str(self.folder), "OLLAMA_HOST": f"127.0.0.1:{self.port}", "OLLAMA_MODELS": str(self.folder / "models")}
        return {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "OLLAMA_NUM_PARALLEL": "2", **nowhere, **own}

    def start(self) -> None:
        """Run it; returns when it answers."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            command = [str(OLLAMA), "serve"]
            self.process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(OSError):
                self.ask("/api/version")
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.05)

    def ask(self, path: str) -> Any:
        """What it answers to a GET."""
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def resident(self) -> list[str]:
        """The models that it has in memory, in its own words."""
        return [model["name"] for model in self.ask("/api/ps")["models"]]

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT or SIGKILL to it and its runner."""
        assert self.process
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()


@contextmanager
def ollama_servers(folder: Path, *names: str) -> Iterator[dict[str, OllamaServer]]:
    """Start one server for each name; the model is imported once, and linked for the others."""
    with ExitStack() as stack:
        servers: dict[str, OllamaServer] = {}
        for name in names:
            server = OllamaServer(name=name, folder=folder / name)
            if servers:
                shutil.copytree(folder / names[0] / "models", server.folder / "models", copy_function=os.link)
            stack.callback(server.kill)
            server.start()
            if not servers:
                file = server.folder / "Modelfile"
                file.write_text(MODELFILE.format(path=EMBEDDED_PATH))
                command = [str(OLLAMA), "create", MODEL, "-f", str(file)]
                subprocess.run(command, env=server.environ, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
            servers[name] = server
        yield servers


@dataclass
class Shim:
    """SHIM, ours: carries bytes to a server and back; each piece of an answer waits *delay_seconds*, or is *garbled*."""

    port: int = 0
    delay_seconds: float = 0.0
    garbled: bool = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def break_up(self, piece: bytes) -> bytes:
        """Every brace and quote of a body turned into something else; an HTTP head passes, so that it is the answer that is garbage."""
        head, mark, body = piece.rpartition(b"\r\n\r\n") if piece.startswith(b"HTTP/") else (b"", b"", piece)
        return head + mark + body.translate(bytes.maketrans(b'{"}', b"\xff\x00~"))


@asynccontextmanager
async def shimmed(server: OllamaServer) -> AsyncIterator[Shim]:
    """A shim before *server*."""
    shim, serving = Shim(), set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                if is_answer:
                    await asyncio.sleep(shim.delay_seconds)
                writer.write(shim.break_up(piece) if is_answer and shim.garbled else piece)
                await writer.drain()
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
            with closing(far_writer):
                await asyncio.gather(carry(reader, far_writer, is_answer=False), carry(far_reader, writer, is_answer=True))

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(join(reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        shim.port = listening.sockets[0].getsockname()[1]
        yield shim
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)  # closed connections are let go of in the next turn of the loop
