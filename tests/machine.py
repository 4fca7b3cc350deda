"""What a test needs of the machine it runs on, however loaded that is: patience, and ports that are nobody else's."""

from __future__ import annotations

import random
import socket

PATIENCE_SECONDS = 120.0
"""How long a test waits for a fact before it believes that it will not come. It says nothing of speed: `benchmarks` does."""
PORTS = (20_000, 32_000)
_signs: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other call gives, in any process, while this one lives.

    It lies below those that the system gives to whoever calls out, and the UDP port of its number is held as a sign that it is taken.
    """
    while True:
        port, sign = random.randrange(*PORTS), socket.socket(type=socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            sign.close()
        else:
            _signs.append(sign)
            return port
