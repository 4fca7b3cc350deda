"""`robbie run` in a process of its own, on a home of its own: started, killed, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.machine import PATIENCE_SECONDS, free_port

CONFIG = """
[robbie]
owner = "Allan"
data_dir = "data"
[database]
url = "sqlite+aiosqlite:///data/robbie.db"
[web]
port = {port}
[[brain.levels]]
name = "fake"
provider = "openai"
model = "fake"
api_key = "fake"
base_url = "{url}/v1"
usd_per_million = {{ input = 0.0, output = 0.0 }}
context = 4096
"""


class Hub:
    """A hub whose model is at `{model_url}/v1`; *more* is added to its config, *environ* to its environment."""

    def __init__(self, folder: Path, model_url: str, *, more: str = "", environ: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(port=self.port, url=model_url) + more, encoding="utf-8")
        self._environ = {**os.environ, **(environ or {})}

    async def start(self) -> None:
        """Run it; returns when it says that it is up."""
        with self.config.with_name("log").open("a") as log:
            command = [sys.executable, "-m", "bot", "--config", str(self.config), "run"]
            self.process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self._environ
            )
        assert self.process.stdout
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for line in self.process.stdout:
                    if b"/signin/" in line:
                        return
        raise AssertionError(self.log)

    async def kill(self) -> None:
        """SIGKILL, where it runs still."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        await self.process.communicate()

    async def command(self, *words: str, status: int = 0) -> str:
        """What a command beside it prints, which is to end with this status."""
        return await beside(self.config, *words, status=status, environ=self._environ)

    @property
    def log(self) -> str:
        """Everything it logged."""
        return self.config.with_name("log").read_text(encoding="utf-8")


async def beside(config: Path, *words: str, status: int = 0, environ: Mapping[str, str] | None = None) -> str:
    """What a command prints beside the hub of this config; it is to end with this status."""
    command = [sys.executable, "-m", "bot", "--config", str(config), *words]
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environ)
    said, complaints = await process.communicate()
    assert process.returncode == status, complaints.decode()
    return said.decode()
