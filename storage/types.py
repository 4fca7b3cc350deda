"""Column types that say the same thing on PostgreSQL and on SQLite."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_ESCAPE = "\ufdd0"  # a Unicode non-character: nobody types it, both databases store it
_UNSTORABLE = re.compile("[\x00\ud800-\udfff\ufdd0]")
_ESCAPED = re.compile("\ufdd0([0-9a-f]{4})")


def escape_text(text: str) -> str:
    """*text* with NUL and lone surrogates, which databases refuse, spelt as escapes; `unescape_text` gives it back."""
    return _UNSTORABLE.sub(lambda found: f"{_ESCAPE}{ord(found.group()):04x}", text)


def unescape_text(text: str) -> str:
    """The very text that was given to `escape_text`."""
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text) if _ESCAPE in text else text


class AnyText(TypeDecorator[str]):
    """Text of any length, given back exactly as it came, whatever code points it holds."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape what the database would refuse."""
        return None if value is None else escape_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Undo the escapes."""
        return None if value is None else unescape_text(value)

    def __repr__(self) -> str:
        return "AnyText()"


class UTCDateTime(TypeDecorator[datetime]):
    """An aware moment, always in UTC; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC (SQLite keeps no zone, so that it is dropped there)."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a zone: {value!r}")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment, aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def __repr__(self) -> str:
        return "UTCDateTime()"


class Vector(TypeDecorator[Any]):
    """A float32 array of any length: pgvector's `vector` on PostgreSQL, its bytes on SQLite. numpy is imported by who has one."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of pgvector where there is one."""
        if dialect.name == "postgresql":
            from pgvector.sqlalchemy import VECTOR  # it brings numpy along

            return dialect.type_descriptor(VECTOR())
        return dialect.type_descriptor(LargeBinary())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The array as it is for pgvector, its bytes for SQLite."""
        return value if value is None or dialect.name == "postgresql" else value.astype("<f4").tobytes()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """The array; of a damaged one, what can be read."""
        import numpy as np

        if not isinstance(value, bytes):
            return np.asarray(value, dtype=np.float32)
        return np.frombuffer(value[: len(value) // 4 * 4], dtype="<f4")

    def __repr__(self) -> str:
        return "Vector()"
