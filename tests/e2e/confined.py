"""Runs a server that insists on every address in a network of its own, with nothing in it but loopback; Unix sockets lead in and out.

    async with confined(["server", "--port", "3100"], folder=folder, port=3100, calls=4000) as way_in:
        ...     # the socket way_in leads to port 3100 in there; what is sent to port 4000 in there arrives at port 4000 out here

Started as a script it is the inner end: `confined.py PORT WAY_IN CALLS WAY_OUT COMMAND…`, alone in its network and process namespaces, so
that the kernel ends all of it with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

UNSHARE = ["unshare", "--net", "--pid", "--fork", "--kill-child", *([] if os.geteuid() == 0 else ["--map-root-user"])]
LOOPBACK_UP = struct.pack("16sh14x", b"lo", 0x1 | 0x8 | 0x40)  # struct ifreq: IFF_UP | IFF_LOOPBACK | IFF_RUNNING
SIOCSIFFLAGS = 0x8914

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@functools.cache
def why_not_confined() -> str | None:
    """Why this machine gives nobody a network of their own, None where it does."""
    if shutil.which("unshare") is None:
        return "needs unshare: apt-get install util-linux"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"needs a network namespace: {tried.stderr.strip()}"


@contextlib.asynccontextmanager
async def confined(command: Sequence[str | Path], *, folder: Path, port: int, calls: int = 0) -> AsyncIterator[Path]:
    """Run *command*, which serves *port*; yields the Unix socket, made in *folder*, that leads there.

    What it sends to its port *calls* arrives at that port here. It may need a moment: ask it until it answers.
    """
    way_in, way_out = folder / f"{port}-in", folder / f"{port}-out"
    for left in (way_in, way_out):
        left.unlink(missing_ok=True)
    inner = [sys.executable, "-P", __file__, str(port), way_in, str(calls), way_out, *command]
    async with await asyncio.start_unix_server(joined(lambda: dial(calls)), way_out):
        # It tells of its start, which is of no use; what it complains of is.
        process = await asyncio.create_subprocess_exec(*UNSHARE, *inner, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            yield way_in
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def dial(port: int) -> Awaitable[Streams]:
    """Connect to *port* of loopback."""
    return asyncio.open_connection("127.0.0.1", port)


def joined(connect: Callable[[], Awaitable[Streams]]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """What serves a connection by carrying its bytes to another one and back; where there is no other one, it is reset."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await connect()
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    return serve


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until there are no more."""
    with contextlib.suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()


async def serve_inside(port: str, way_in: str, calls: str, way_out: str, *command: str) -> None:
    """The inner end: bring loopback up, start the server, carry what comes and goes until the server ends, or whoever started this did."""
    threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()  # nothing is written there: it ends with them
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, LOOPBACK_UP)
    if int(calls):
        await asyncio.start_server(joined(lambda: asyncio.open_unix_connection(way_out)), "127.0.0.1", int(calls))
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL)
    await asyncio.start_unix_server(joined(lambda: dial(int(port))), way_in)
    await process.wait()


if __name__ == "__main__":
    asyncio.run(serve_inside(*sys.argv[1:]))
