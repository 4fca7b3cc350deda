"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("bot/**/*.py"), *ROOT.glob("storage/**/*.py")])
LINES_AT_MOST = 34_900
"""The goal for everything is 15,000: see docs/decisions/0008. This number only goes down."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required() -> set[str]:
    """The distributions that pyproject.toml asks for, extras for development left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [each for name, extra in project["optional-dependencies"].items() if name != "dev" for each in extra]
    return {canonical(re.split(r"[\[<>=!~ ;]", each)[0]) for each in [*project["dependencies"], *extras]}


def imported(source: Path) -> set[str]:
    """The top-level names that *source* imports from outside of the house and of Python itself."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"bot", "storage"}


def test_every_import_is_declared():
    """What works only because some other package happens to bring it along breaks on the day that it no longer does."""
    owners = packages_distributions()
    undeclared = {
        f"{source.relative_to(ROOT)}: {name}"
        for source in SOURCES
        for name in imported(source)
        if not {canonical(owner) for owner in owners.get(name, [name])} & required()
    }
    assert undeclared == set()


def test_everything_asked_for_has_its_tested_version():
    pinned = {
        canonical(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    }
    assert required() - pinned == set()


def test_init_files_are_empty():
    assert [str(source) for source in SOURCES if source.name == "__init__.py" and source.read_text(encoding="utf-8").strip()] == []


def test_house_stays_readable():
    assert sum(len(source.read_text(encoding="utf-8").splitlines()) for source in SOURCES) < LINES_AT_MOST
