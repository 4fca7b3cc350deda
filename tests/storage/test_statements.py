"""Statements are built once, and compiled once."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy.sql.base import Executable

import storage.repositories

FOLDER = Path(str(storage.repositories.__file__)).parent


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("[a-z]*.py")))
def test_no_statement_of_a_repository_is_compiled_each_time_it_is_asked(name: str):
    """One part without a key for SQLAlchemy's cache is enough, and costs several times what running it does."""
    known = vars(import_module(f"storage.repositories.{name}")).items()
    assert [key for key, one in known if isinstance(one, Executable) and one._generate_cache_key() is None] == []
