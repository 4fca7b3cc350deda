"""A labelled part of ours in front of an emulator: it passes everything on, adds what the emulator lacks, and breaks on demand.

What a test proves through it is proven against the emulator, except where a docstring says that the shim alone answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.machine import PATIENCE_SECONDS

NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(kw_only=True)
class Fault:
    """What becomes of the next `times` requests whose path ends in `path`: they are answered with `status`, or (0) their line is cut.

    `done`: the emulator does what was asked before that. `hangs`: nothing is answered until the other end gives up.
    """

    path: str
    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False
    hangs: bool = False
    times: int = 1


class Faults(list[Fault]):
    """The faults that wait for their request; `met` are the paths of those that came and, where the emulator was to do it, did."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[str] = []

    def add(self, path: str, **fault: Any) -> None:
        """Let it fail, as `Fault` tells."""
        self.append(Fault(path=path, **fault))

    def take(self, path: str) -> Fault | None:
        """The fault that this request meets."""
        met = next((fault for fault in self if path.endswith(fault.path)), None)
        if met is not None:
            met.times -= 1
            if not met.times:
                self.remove(met)
        return met

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer by *handler*, unless this request is to fail."""
        met = self.take(request.path)
        if met is None:
            return await handler(request)
        if met.done:
            await handler(request)
        self.met.append(request.path)
        if met.hangs:
            await asyncio.Event().wait()
        if met.status:
            return web.json_response(met.body, status=met.status, headers=met.headers)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@dataclass(frozen=True)
class Emulator:
    """The way to an emulator: by its address, or by a Unix socket."""

    session: aiohttp.ClientSession
    url: str

    async def passed(self, request: web.Request) -> tuple[int, bytes, dict[str, str]]:
        """What the emulator answers to *request*: status, body, headers."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON}
        url = self.url + request.path_qs
        async with self.session.request(request.method, url, data=await request.read(), headers=headers, allow_redirects=False) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_PASSED_ON}
            return answer.status, await answer.read(), kept

    async def ask(self, method: str, path: str, **what: Any) -> Any:
        """One call of the emulator with JSON in the answer. Raises aiohttp.ClientError."""
        async with self.session.request(method, self.url + path, raise_for_status=True, **what) as answer:
            return await answer.json(content_type=None)

    async def until_up(self, path: str) -> None:
        """Wait until it answers."""

        async def is_up() -> bool:
            try:
                await self.ask("GET", path)
            except aiohttp.ClientConnectionError:
                return False
            return True

        await until(is_up)


@asynccontextmanager
async def emulator(url: str, *, unix: Path | None = None) -> AsyncIterator[Emulator]:
    """Talk to the emulator at *url*, through the socket *unix* if given."""
    connector = aiohttp.UnixConnector(str(unix)) if unix else None
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Emulator(session, url)


@asynccontextmanager
async def serving(handler: Handler, *, port: int, faults: Faults | None = None) -> AsyncIterator[None]:
    """Serve every path of loopback's *port* by *handler*, where no fault comes first."""
    faults = faults if faults is not None else Faults()

    async def serve(request: web.Request) -> web.StreamResponse:
        return await faults.serve(request, handler)

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = PATIENCE_SECONDS) -> Any:
    """What *condition* gives once that is something. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {seconds} s: {condition.__qualname__}")
        await asyncio.sleep(0.02)
    return found
