"""What a driver raises becomes one of our errors, by what can be done about it."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from bot.domain.errors import Conflict, StorageError, StorageUnavailable
from storage.database import storage_errors

CASES = [(OperationalError, StorageUnavailable), (IntegrityError, Conflict), (DataError, StorageError), (ProgrammingError, StorageError)]


@pytest.mark.parametrize(("raised", "becomes"), CASES)
def test_waiting_is_for_what_waiting_mends(raised: type[Exception], becomes: type[Exception]):
    with pytest.raises(becomes) as caught, storage_errors("/data/robbie.db"):
        raise raised("SELECT secret words", {"text": "secret words"}, ValueError("no such\ncolumn"))
    assert type(caught.value) is becomes
    assert str(caught.value) == "/data/robbie.db: no such column"
