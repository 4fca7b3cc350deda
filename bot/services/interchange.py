"""CSV and vCard as other programs write them: a broken line spoils no other, and nothing that is written becomes a formula."""

from __future__ import annotations

import csv
import io
import quopri
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bot.domain.errors import ToolFailed

COLUMNS: Mapping[str, Mapping[str, str]] = {
    noun: {known: name for name, others in columns.items() for known in (name.replace("_", " "), *others)}
    for noun, columns in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}
"""Of each kind, its columns by what they are called here and elsewhere."""
LONGEST_RECORD = 50
"""Lines of one record; a quotation mark that is never closed must not swallow the rest of a file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CARD = {
    "FN": "name", "N": "n", "EMAIL": "email", "TEL": "phone", "ORG": "company", "TITLE": "role", "NOTE": "detail", "CATEGORIES": "tags",
}  # fmt: skip
_LISTS = ("N", "ORG")

Record = tuple[int, dict[str, str] | str]
"""The number of its first line, and its values by column; or why it cannot be read."""


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8 or UTF-16, marked or not, or in what Windows wrote before. Raises ToolFailed."""
    sample = data[1:200:2]
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in ("utf-16-le", *encodings) if sample.count(0) > len(sample) // 2 else encodings:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if "\x00" not in text:
            return text.removeprefix("\ufeff")
    raise ToolFailed("That file is no text I can read; I take CSV and vCard files.")


def read_csv(text: str, noun: str) -> Iterator[Record]:
    """The records below the line that names the columns. Raises ToolFailed where none of them is known."""
    lines = io.StringIO(text, newline="").readlines()
    place = next((number for number, line in enumerate(lines) if line.strip()), 0)
    delimiter = max(",;\t|", key="".join(lines[place : place + 1]).count)
    end, heads = _cells(lines, place, delimiter)
    folded = [" ".join(re.findall(r"\w+", head.casefold().replace("_", " "))) for head in heads or ()]
    columns = [COLUMNS[noun].get(head, "") for head in folded]
    if not any(columns):
        named = ",".join(dict.fromkeys(COLUMNS[noun].values()))
        raise ToolFailed(f"I find no column I know in its first line; name them there, as in `{named}`.")
    while end < len(lines):
        place = end
        end, cells = _cells(lines, place, delimiter)
        if cells is None:
            yield place + 1, "its quotation marks do not fit together"
        elif any(cell.strip() for cell in cells[len(columns) :]):
            yield place + 1, f"it has {len(cells)} values under {len(columns)} columns"
        elif any(cells):  # the first of several columns of a kind counts
            values = [(name, _bare(cell)) for name, cell in zip(columns, cells, strict=False) if name and cell.strip()]
            yield place + 1, dict(reversed(values))


def _cells(lines: Sequence[str], place: int, delimiter: str) -> tuple[int, list[str] | None]:
    """The values of the record that begins at a place, and where the next begins; none where no end of it makes sense."""
    for end in range(place + 1, min(len(lines), place + LONGEST_RECORD) + 1):
        try:
            rows = list(csv.reader(io.StringIO("".join(lines[place:end]), newline=""), delimiter=delimiter, strict=True))
        except csv.Error:
            continue  # perhaps it goes on
        return end, rows[0] if rows else []
    return place + 1, None


def _bare(cell: str) -> str:
    """A value without what protects a spreadsheet from it."""
    return cell.strip()[1:] if cell.strip()[:1] == "'" and cell.strip()[1:2] in _FORMULA else cell.strip()


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A file that a spreadsheet opens without taking any value for a formula."""
    file = io.StringIO()
    csv.writer(file).writerows([columns, *([f"'{value}" if value.startswith(_FORMULA) else value for value in row] for row in rows)])
    return file.getvalue()


def read_vcards(text: str) -> Iterator[Record]:
    """The cards of a vCard file, version 3 or 4: name, address, number, organization, role, note and categories of each."""
    card: dict[str, str] | None = None
    begin = 0
    for number, line in _unfolded(text):
        head, _, value = line.partition(":")
        if "QUOTED-PRINTABLE" in head.upper():  # version 2.1, as telephones still write it
            value = quopri.decodestring(value).decode("utf-8", "replace")
        name = head.partition(";")[0].rpartition(".")[2].strip().upper()
        if name == "BEGIN":
            if card is not None:
                yield begin, "it is a card that does not end"
            card, begin = {}, number
        elif name == "END" and card is not None:
            spelt = card.pop("n", "")
            yield begin, {"name": spelt} | {key: each for key, each in card.items() if each}
            card = None
        elif card is not None and name in _CARD:
            parts = [_unescaped(part) for part in (re.split(r"(?<!\\);", value) if name in _LISTS else [value])]
            card.setdefault(_CARD[name], parts[0] if name != "N" else " ".join(each for each in reversed(parts[:2]) if each))
    if card is not None:
        yield begin, "it is a card that does not end"


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Whole lines with their numbers: one that begins with a blank goes on from the one before."""
    whole, begin = "", 0
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line[:1] in (" ", "\t"):
            whole += line[1:].rstrip("\n")
        else:
            if whole:
                yield begin, whole
            whole, begin = line.rstrip("\n"), number
    yield begin, whole


def _unescaped(value: str) -> str:
    bare = re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value)
    return bare.removeprefix("tel:").removeprefix("mailto:").strip()


def write_vcards(rows: Iterable[Mapping[str, str]]) -> str:
    """A vCard 3.0 file, which every address book reads."""
    lines = []
    for row in rows:
        *given, family = row["name"].split() or [""]
        lines += ["BEGIN:VCARD", "VERSION:3.0", f"N:{_escaped(family)};{_escaped(' '.join(given))};;;"]
        lines += [f"{name}:{_escaped(row[column])}" for name, column in _CARD.items() if row.get(column)]
        lines += ["END:VCARD"]
    # in pieces of 60 characters, where 75 octets are allowed and most characters take one
    folded = ("\r\n ".join(line[at : at + 60] for at in range(0, len(line), 60)) for line in lines)
    return "".join(f"{line}\r\n" for line in folded)


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\r", "").replace("\n", "\\n")
