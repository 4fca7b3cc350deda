"""What a single value of config.toml may be: the types of its fields, each with the check that makes it usable."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

SQLITE = "sqlite+aiosqlite:///"
HOST = r"(\[[\da-fA-F:]+\]|[\w.-]*)(:\d+)?"
POSTGRES = re.compile(rf"postgresql\+psycopg://([^@]*@)?{HOST}(,{HOST})*(/[^/?]*)?(\?.*)?")


class Refused(ValueError):
    """A value that cannot be used, and how to repair it."""

    def __init__(self, message: str, repair: str = "") -> None:
        super().__init__(message)
        self.repair = repair


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What the values of a file refer to: its own folder, and the variables that hold its secrets.

    It is pydantic's validation context. A section that is built by hand has none: what it refers to then stays as it was written.
    """

    folder: Path
    variables: Mapping[str, str]

    def path(self, written: str | Path) -> Path:
        """The path *written*, seen from the folder."""
        return self.folder / os.path.expanduser(written)  # unlike Path.expanduser, it leaves an unknown ~user as it is


def _secret(value: object, info: ValidationInfo[Surroundings | None]) -> object:
    """The secret that "env:NAME" or "file:PATH" names, or that stands there; an empty or absent one is None."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if info.context is None or not isinstance(text, str):
        return value
    if text.startswith("env:"):
        text = info.context.variables.get(text.removeprefix("env:").strip(), "")
    elif text.startswith("file:"):
        text = _secret_file(info.context.path(text.removeprefix("file:").strip()))
    return text.strip() or None


def _secret_file(file: Path) -> str:
    """What stands in *file*; "" where there is no such file, as with an unset variable."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise Refused(f"the file {file} cannot be read: {reason}", "check its path, its owner and its rights") from None


def _absolute(value: object, info: ValidationInfo[Surroundings | None]) -> object:
    """A path seen from the configuration's folder."""
    return str(info.context.path(value)) if info.context and isinstance(value, str | Path) else value


def _database_url(value: str, info: ValidationInfo[Surroundings | None]) -> str:
    """A URL that one of our two drivers understands; SQLite's file as an absolute path, by which the lock beside it is found."""
    name = value.removeprefix(SQLITE)
    if value.startswith(SQLITE) and not name.startswith(("?", ":memory:", "file:")) and name:
        return f"{SQLITE}{info.context.folder / name}" if info.context else value
    if POSTGRES.fullmatch(value):
        return value
    raise Refused("is no URL of a database for Robbie", f'write "{SQLITE}data/robbie.db" or "postgresql+psycopg://user:password@host/name"')


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", value)
    except ValueError:
        usable = False
    if not usable:
        raise Refused("is no http or https URL", 'write it in full, such as "http://127.0.0.1:11434"')
    return value


def _timezone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ValueError, KeyError, OSError):
        near = nearest(value, available_timezones())
        raise Refused("is no timezone", f'did you mean "{near}"?' if near else 'write an IANA name such as "Europe/Paris"') from None


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise Refused("is no time of day", 'write it as "07:30"')
    return value


def _model(value: str, info: ValidationInfo[Surroundings | None]) -> str:
    """A model's name as written, or the absolute path where a local level names a file that exists."""
    if info.context and info.data.get("provider") == "local" and (file := info.context.path(value)).is_file():
        return str(file)
    return value


def _or_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    """The same check for a value that may also be empty."""
    return lambda value: check(value) if value else value


Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0, examples=[8192])]
Port = Annotated[int, Field(ge=1, le=65535, examples=[993])]
PortOrAny = Annotated[int, Field(ge=0, le=65535)]
NotNegative = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]
Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]
DataFolder = Annotated[Path, BeforeValidator(_absolute)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpUrlOrEmpty = Annotated[str, AfterValidator(_or_empty(_http_url))]
Timezone = Annotated[str, AfterValidator(_timezone)]
TimezoneOrEmpty = Annotated[str, AfterValidator(_or_empty(_timezone))]
Model = Annotated[Name, AfterValidator(_model)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of *known* that *word* was probably meant to be, or an empty text."""
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")
