"""A relay of ours between two ends of a line: it cuts its lines, or passes nothing more on in those that are open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """A relay at `port`."""

    def __init__(self, there: int) -> None:
        self.port, self._there, self._lines = 0, there, set[asyncio.StreamWriter]()
        self._muted, self._carried = set[asyncio.StreamWriter](), set[asyncio.Task[None]]()
        self.mutes_after = b""
        """When this was passed on, nothing more is, either way."""

    def cut(self) -> None:
        """End every line."""
        for line in self._lines:
            line.transport.abort()

    def mute(self) -> None:
        """Hold every line open, and pass nothing on."""
        self._muted |= self._lines

    async def ended(self) -> None:
        """Return when every line has been served to its end."""
        await asyncio.gather(*self._carried, return_exceptions=True)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a line."""
        self._carried.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._there)
        self._lines |= {writer, far_writer}
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        for line in (writer, far_writer):
            line.close()
        self._lines -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = b""
        while data := await reader.read(65_536):
            if writer not in self._muted:
                writer.write(data)
            passed = passed[-100:] + data  # what it looks for may come in two pieces
            if self.mutes_after and self.mutes_after in passed:
                self.mute()
        writer.close()


@asynccontextmanager
async def relay(there: int) -> AsyncIterator[Wire]:
    """A relay to this port of loopback."""
    wire = Wire(there)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        await wire.ended()
