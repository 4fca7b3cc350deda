"""TOML whose tables remember in which file and on which line each of their keys was written.

tomllib tells no lines, but it can be asked piece by piece: a file that parses as a whole is a row of statements, and each parses alone.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bot.domain.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value was written: a line of a file, or an environment variable."""

    file: Path | None = None
    line: int | None = None
    variable: str = ""


class Table(dict[str, Any]):
    """A TOML table; `places` says where each of its keys was written, `place` where the table itself begins."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put_all(self, values: Mapping[str, Any], place: Place) -> None:
        """Set all of *values*, all written at *place*; dotted keys of one table meet in it."""
        for key, value in values.items():
            mine = self.get(key)
            if isinstance(mine, Table) and isinstance(value, dict):
                mine.put_all(value, place)
            else:
                self[key] = _placed(value, place)
                self.places[key] = place

    def lay_over(self, top: Self) -> None:
        """Let *top* win: tables are merged key by key, arrays of tables by their entries' `name`, and all else is replaced."""
        for key, value in top.items():
            mine = self.get(key)
            if isinstance(mine, Table) and isinstance(value, Table):
                mine.lay_over(value)
            elif isinstance(mine, list) and _are_named(value):
                _lay_over_by_name(mine, value)
            else:
                self[key] = value
                self.places[key] = top.places[key]

    def find(self, path: tuple[str | int, ...]) -> tuple[str, Place, Any]:
        """Its readable name, the nearest known place and the value (None if absent) of *path*."""
        node: Any = self
        place, names = self.place, []
        for part in path:
            name = str(part)
            if isinstance(node, Table):
                place, node = node.places.get(name, node.place), node.get(name)
            elif isinstance(node, list) and isinstance(part, int):
                node = node[part]
                if isinstance(node, Table):
                    place, name = node.place, str(node.get("name", part))
            else:
                node = None
            names.append(name)
        return ".".join(names), place, node


def read_toml(file: Path) -> Table:
    """The tables of *file*, in UTF-8. Raises ConfigError when it is missing, unreadable or no TOML."""
    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ConfigError("there is no such file", file=file, repair="name another one with --config, or write this one") from None
    except IsADirectoryError:
        raise ConfigError("is a folder, not a file", file=file, repair="name the file in it with --config") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file, repair="check who owns it and its rights") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError("is not UTF-8", file=file, line=line, repair="save it as UTF-8") from None
    try:
        tomllib.loads(text)
        return _assembled(file, text)
    except (ValueError, RecursionError) as error:
        raise _syntax_error(error, file, text) from None


def _syntax_error(error: ValueError | RecursionError, file: Path, text: str) -> ConfigError:
    """What tomllib complained of, on the line that it names at the end of its message."""
    if isinstance(error, RecursionError):
        return ConfigError("is nested too deeply", file=file, repair="no value of a configuration needs more than four levels")
    message, _, place = str(error).partition(" (at ")
    named = re.match(r"line (\d+)", place)
    line = int(named[1]) if named else len(text.rstrip().split("\n"))
    repair = 'texts stand in "quotes", a table\'s name in [brackets]'
    return ConfigError(f"is no valid TOML: {message}", file=file, line=line, repair=repair)


def _assembled(file: Path, text: str) -> Table:
    """The whole of a valid TOML file, put together from its statements."""
    root = current = Table(Place(file=file))
    for line, statement, values in _statements(text):
        place = Place(file=file, line=line)
        if statement.lstrip().startswith("["):
            current = _opened(root, values, place)
        else:
            current.put_all(values, place)
    return root


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each statement of *text* with the number of its first line and what it says; one that does not parse yet goes on in the next line."""
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if values:
            yield first, statement, values
        statement, first = "", number + 1


def _opened(table: Table, header: dict[str, Any], place: Place) -> Table:
    """The table that `[a.b]`, or the new entry that `[[a.b]]`, opens; *header* is what tomllib makes of that line alone."""
    while header:
        ((key, inner),) = header.items()
        table.places.setdefault(key, place)
        if isinstance(inner, list):
            table.setdefault(key, []).append(Table(place))
            header = inner[0]
        else:
            table.setdefault(key, Table(place))
            header = inner
        child = table[key]
        table = child[-1] if isinstance(child, list) else child
    return table


def _placed(value: Any, place: Place) -> Any:
    """*value* with every dictionary in it as a `Table` written at *place*."""
    if isinstance(value, list):
        return [_placed(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    table = Table(place)
    table.put_all(value, place)
    return table


def _are_named(value: Any) -> bool:
    """Whether *value* is an array of tables that all have a name."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, Table) and "name" in item for item in value)


def _lay_over_by_name(entries: list[Any], top: list[Table]) -> None:
    """Merge each entry of *top* into the one of the same name, or add it at the end; a twin within *top* stays a twin."""
    by_name = {str(entry.get("name")): entry for entry in entries if isinstance(entry, Table)}
    for entry in top:
        mine = by_name.pop(str(entry["name"]), None)
        if mine is None:
            entries.append(entry)
        else:
            mine.lay_over(entry)
