"""Other people's data, by path: never part of the project. `--data` and ROBBIE_BENCH_DATA name files, or folders of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "ROBBIE_BENCH_DATA"


def files(named: Sequence[Path]) -> list[Path]:
    """What was named on the command line, else in the environment (parted by the system's path separator); a folder is all of its files."""
    given = named or [Path(each) for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    return [file for path in given for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
