"""The embedded model's own process: loads one GGUF with llama.cpp, tells its address, and ends with its parent.

Protocol: one JSON line on stdin `{"path", "context", "key"}`; one JSON line on stdout, `{"address"}` or `{"error"}`; end of stdin ends it.
It is run as a file, not as a module, and imports nothing of Robbie's: whatever llama.cpp does to this process, the hub lives on.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any, TypedDict

_PR_SET_PDEATHSIG = 1


class Settings(TypedDict):
    """What the parent asks for."""

    path: str
    context: int
    key: str


def main() -> None:
    """Serve until the parent is gone."""
    _die_with_parent()
    settings: Settings = json.loads(sys.stdin.readline())
    try:
        server = start(settings)
        _tell(address=server.listening_address)
    except (ImportError, RuntimeError, ValueError) as error:
        _tell(error=f"{type(error).__name__}: {error}")
        sys.exit(1)
    sys.stdin.read()  # until the parent closes it, or dies
    os._exit(0)  # llama.cpp would first finish what it is saying


def start(settings: Settings) -> Any:
    """A llama.cpp server on loopback that answers only to the key, with one slot and as little memory as serves."""
    import xllamacpp  # type: ignore[import-untyped]

    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["path"]
    parameters.n_ctx = settings["context"]
    parameters.fit_params = False  # the window is the one that was asked for
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _threads()
    parameters.n_batch = 512
    parameters.n_ubatch = 128  # a smaller working buffer, at no cost in speed on a processor
    parameters.n_threads_http = 4
    parameters.cache_prompt = True  # the standing words of a prompt are read once
    parameters.cache_ram_mib = 0  # no second copy of old conversations
    parameters.n_ctx_checkpoints = 0
    parameters.hostnames = ["127.0.0.1"]
    parameters.api_keys = [settings["key"]]
    parameters.cors_origins = "http://127.0.0.1"
    parameters.cors_credentials = False
    parameters.ui = False
    parameters.endpoint_slots = False  # it would show what others ask
    parameters.verbosity = 1  # errors only: prompts belong in no log
    return xllamacpp.Server(parameters)


def _die_with_parent() -> None:
    """Ask the kernel for it, where that can be asked: a large model loads for minutes, in which the end of stdin would not be noticed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _threads() -> int:
    """Half the processors this process may use: the physical cores of most machines.

    llama.cpp's threads wait for each other at every step: on two cores, one of them busy, two threads are half as fast as one.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(usable // 2, 1)


def _tell(**answer: str) -> None:
    """One line to the parent."""
    print(json.dumps(answer), flush=True)  # noqa: T201 (stdout is the wire to the parent)


if __name__ == "__main__":
    main()
