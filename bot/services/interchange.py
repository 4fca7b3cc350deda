"""CSV and vCard as other programs write them: read line by line, so that a broken one spoils no other, and written so that none is harmed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.domain.errors import ToolFailed

ALIASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "task": {
        "title": ("title", "task", "name", "subject", "summary", "content", "what", "todo"),
        "due": ("due", "due date", "due on", "date", "deadline", "when"),
        "state": ("state", "status", "done", "completed"),
        "detail": ("detail", "notes", "note", "description", "details"),
    },
    "contact": {
        "name": ("name", "full name", "display name", "contact", "contact name"),
        "given": ("first name", "given name", "first", "firstname"),
        "family": ("last name", "family name", "surname", "last", "lastname"),
        "email": ("email", "e mail", "email address", "e mail address", "mail", "e mail 1 value", "email 1"),
        "phone": ("phone", "mobile", "telephone", "phone number", "mobile phone", "phone 1 value", "tel"),
        "company": ("company", "organization", "organisation", "organization name", "employer", "org"),
        "role": ("role", "title", "job title", "position"),
        "detail": ("detail", "notes", "note", "comments"),
        "tags": ("tags", "labels", "categories", "groups"),
        "next_step": ("next step", "next"),
    },
    "deal": {
        "title": ("title", "deal", "deal name", "name", "opportunity", "opportunity name"),
        "company": ("company", "account", "account name", "customer", "organization"),
        "stage": ("stage", "deal stage", "status", "phase"),
        "value": ("value", "amount", "worth", "deal value", "price"),
        "currency": ("currency",),
        "probability": ("probability", "likelihood"),
        "next_step": ("next step", "next"),
        "detail": ("detail", "notes", "note", "description"),
    },
    "note": {"text": ("text", "note", "content", "body", "notes")},
}
"""The columns of each kind, and what other programs call them, folded."""
LONGEST_RECORD = 50
"""Lines of one record; a quotation mark that is never closed must not swallow the rest of a file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PROPERTIES = {"FN": "name", "EMAIL": "email", "TEL": "phone", "ORG": "company", "TITLE": "role", "ROLE": "role", "NOTE": "detail"}
_PROPERTIES |= {"CATEGORIES": "tags", "N": "n"}

Record = tuple[int, dict[str, str] | str]
"""The number of its first line, and its values by column; or why it cannot be read."""


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8 or UTF-16, marked or not, or in what Windows wrote before. Raises ToolFailed."""
    looks_wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[1:200:2].count(0) > len(data[1:200:2]) // 2
    for encoding in ("utf-16" if looks_wide else "utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if "\x00" not in text:
            return text
    raise ToolFailed("That file is no text I can read; I take CSV and vCard files.")


def read_csv(text: str, noun: str) -> Iterator[Record]:
    """The records below the line that names the columns. Raises ToolFailed where none of them is known."""
    lines = text.splitlines(keepends=True)
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    head = lines[first] if lines else ""
    delimiter = max(",;\t|", key=head.count)
    columns = _columns(next(csv.reader([head], delimiter=delimiter), []), noun)
    if not any(columns):
        known = ", ".join(ALIASES[noun])
        raise ToolFailed(f"I find no column I know in its first line; name them there, as in `{known}`.")
    place = first + 1
    while place < len(lines):
        end = place + 1
        while sum(line.count('"') for line in lines[place:end]) % 2 and end < min(len(lines), place + LONGEST_RECORD):
            end += 1
        record = "".join(lines[place:end])
        if record.count('"') % 2:
            yield place + 1, "a quotation mark that is never closed"
            end = place + 1
        elif record.strip(f"{delimiter} \r\n"):
            yield place + 1, _values(record, columns, delimiter)
        place = end


def _values(record: str, columns: Sequence[str], delimiter: str) -> dict[str, str] | str:
    try:
        (cells,) = csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return "its quotation marks do not fit together"
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        return f"{len(cells)} values under {len(columns)} columns"
    return {name: _bare(cell) for name, cell in reversed(list(zip(columns, cells, strict=False))) if name and cell.strip()}


def _columns(heads: Sequence[str], noun: str) -> list[str]:
    """What each column is, as far as its head tells; the first of a kind counts."""
    folded = [" ".join(re.findall(r"\w+", head.casefold().replace("_", " "))) for head in heads]
    return [next((name for name, known in ALIASES[noun].items() if head in known), "") for head in folded]


def _bare(cell: str) -> str:
    """A value without what protects a spreadsheet from it."""
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A file that a spreadsheet opens without taking any value for a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([f"'{value}" if value.startswith(_FORMULA) else value for value in row] for row in rows)
    return file.getvalue()


def read_vcards(text: str) -> Iterator[Record]:
    """The cards of a vCard file, version 3 or 4: name, address, number, organization, role, note and categories of each."""
    card: dict[str, str] | None = None
    begin = 0
    for number, line in _unfolded(text):
        head, _, value = line.partition(":")
        name = head.partition(";")[0].rpartition(".")[2].upper()
        if name == "BEGIN":
            if card is not None:
                yield begin, "a card that does not end"
            card, begin = {}, number
        elif name == "END" and card is not None:
            card.setdefault("name", " ".join(each for each in reversed(card.pop("n", "").split(";")[:2]) if each))
            yield begin, {key: each for key, each in card.items() if each and key != "n"}
            card = None
        elif card is not None and name in _PROPERTIES:
            card.setdefault(_PROPERTIES[name], _spoken(value, is_list=name in ("ORG", "N")))
    if card is not None:
        yield begin, "a card that does not end"


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Whole lines with their numbers: one that begins with a blank goes on from the one before."""
    whole, begin = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line[:1] in (" ", "\t"):
            whole += line[1:]
        else:
            if whole:
                yield begin, whole
            whole, begin = line, number
    yield begin, whole


def _spoken(value: str, *, is_list: bool) -> str:
    """A property's value without escapes; of a list that has parts, N keeps them apart and ORG its first."""
    bare = re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value.removeprefix("tel:").removeprefix("mailto:"))
    return bare.strip().rstrip(";") if is_list else bare.strip()


def write_vcards(rows: Iterable[Mapping[str, str]]) -> str:
    """A vCard 3.0 file, which every address book reads."""
    written = {"name": "FN", "email": "EMAIL", "phone": "TEL", "company": "ORG", "role": "TITLE", "detail": "NOTE"}
    lines = []
    for row in rows:
        *given, family = row["name"].split() or [""]
        lines += ["BEGIN:VCARD", "VERSION:3.0", f"N:{_escaped(family)};{_escaped(' '.join(given))};;;"]
        lines += [f"{name}:{_escaped(row[column])}" for column, name in written.items() if row.get(column)]
        lines += ["END:VCARD"]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\r", "").replace("\n", "\\n")


def _folded(line: str) -> str:
    """At most 75 octets in a line, never inside a character."""
    parts, part = [], ""
    for character in line:
        if len((part + character).encode()) > 74:
            parts.append(part)
            part = ""
        part += character
    return "\r\n ".join([*parts, part])
