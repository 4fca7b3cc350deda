"""The home of a running hub: the lock that keeps a second one out, and the note by which commands on this machine find it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.domain.errors import AlreadyRunning, StorageUnavailable

NOTE = "hub.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningHub:
    """Where a hub listens, and the secret by which the command line of the same user speaks for the owner."""

    url: str
    token: str
    pid: int


def make_folder(folder: Path) -> None:
    """The folder exists after this. Raises StorageUnavailable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def locked(database_file: Path | None) -> Iterator[None]:
    """Be the only hub on an embedded database while inside. Raises AlreadyRunning, StorageUnavailable."""
    if database_file is None:
        yield
        return
    database_file = database_file.resolve()  # by whatever link it is named, it has one lock
    path = database_file.with_name(f"{database_file.name}.lock")
    make_folder(path.parent)
    try:
        handle = path.open("a")
    except OSError as error:
        raise StorageUnavailable(f"cannot write {path}: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(f"another hub is running on {database_file}; stop it first, or give this one its own data_dir") from None
        yield


@contextmanager
def announced(data_dir: Path, hub: RunningHub) -> Iterator[None]:
    """Leave the note while inside; only its owner can read it."""
    path = data_dir / NOTE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(hub), file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_hub(data_dir: Path) -> RunningHub | None:
    """The hub that runs on this home, by its note; None where there is none, or the one that left it is dead."""
    try:
        told = json.loads((data_dir / NOTE).read_text("utf-8"))
        hub = RunningHub(url=str(told["url"]), token=str(told["token"]), pid=int(told["pid"]))
        os.kill(hub.pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hub
