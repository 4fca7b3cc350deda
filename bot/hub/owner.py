"""Names this process in the ledger, and tells which of the other names there belong to processes that are dead."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def name_myself() -> str:
    """This process's name: host, process id, and a word that no other run has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_dead(owner: str, me: str) -> bool:
    """Whether *owner* is certainly gone: it ran on this host, under a process id that is free now or is my own."""
    host, pid, _ = owner.rsplit(":", 2)
    my_host, my_pid, _ = me.rsplit(":", 2)
    if owner == me or host != my_host:
        return False
    return pid == my_pid or not _is_running(int(pid))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead, and only its parent has not yet looked; where that cannot be told, it is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return False
