"""What both databases are told: statements that are compiled once."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import pytest
from sqlalchemy import Executable
from sqlalchemy.sql.elements import ClauseElement

import storage.repositories as family

STATEMENTS = {
    f"{module.name}.{name}": value
    for module in iter_modules(family.__path__)
    for name, value in vars(import_module(f"storage.repositories.{module.name}")).items()
    if isinstance(value, Executable) and isinstance(value, ClauseElement)
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_is_compiled_once(name: str) -> None:
    """One without a key is compiled at each use, which takes several times as long as running it."""
    assert STATEMENTS[name]._generate_cache_key() is not None
