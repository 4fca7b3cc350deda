"""`robbie task|note|contact|deal`: a person's own affairs at the command line, beside a running hub or without one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli_words import As, Told, commands, group_of, told
from bot.domain.errors import RobbieError

if TYPE_CHECKING:
    from bot.app import App
    from bot.domain.errand import Errand

HELP = {
    "task": "What you have to do: `robbie task add call Dana on Friday at 3`.",
    "note": "What you keep: `robbie note add Dana likes tulips`.",
    "contact": "Whom you know: `robbie contact add Dana Smith, dana@acme.com, at Acme`.",
    "deal": "What may be sold: `robbie deal add Acme, negotiation, 40k`.",
}
Words = Annotated[list[str], typer.Argument(metavar="TEXT…", show_default=False, help="As you would write it after the slash command.")]
Some = Annotated[list[str] | None, typer.Argument(metavar="[WORDS]", show_default=False, help="Those alone that hold these words.")]
Which = Annotated[str, typer.Argument(metavar="WHICH", show_default=False, help="Its code, or words of its title.")]
Source = Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="CSV, or vCard for contacts; - is stdin.")]
Target = Annotated[str, typer.Argument(metavar="[FILE]", show_default=False, help="A name that ends in .vcf gives vCards; - is stdout.")]


def _group(noun: str) -> typer.Typer:
    group = group_of(HELP[noun])

    @group.command("add", help=f"Add a {noun}.")
    @told
    async def add(app: "App", text: Words, as_person: As = None) -> Told:
        async with commands.errand(app, as_person) as errand:
            row, said = await _book(app, noun).take(errand, " ".join(text))
        return said, {noun: _plain(row)}

    @group.command("list", help=f"List the {noun}s.")
    @told
    async def show(app: "App", words: Some = None, as_person: As = None) -> Told:
        async with commands.errand(app, as_person) as errand:
            return await _list(app, errand, noun, " ".join(words or ()))

    async def change(app: "App", as_person: str | None, verb: str, which: str, words: str = "") -> Told:
        book = _book(app, noun)
        async with commands.errand(app, as_person) as errand:
            said = await getattr(book, verb)(errand, await book.find(errand.person, which), words)
        return said, {"said": said}

    @group.command("edit", help=f"Change a {noun}.")
    @told
    async def edit(app: "App", which: Which, text: Words, as_person: As = None) -> Told:
        return await change(app, as_person, "edit", which, " ".join(text))

    @group.command("done", help="It is won." if noun == "deal" else "You talked to them today." if noun == "contact" else "It is done.")
    @told
    async def done(app: "App", which: Which, as_person: As = None) -> Told:
        return await change(app, as_person, {"contact": "touch", "note": "remove"}.get(noun, "done"), which)

    @group.command("remove", help=f"Remove a {noun}.")
    @told
    async def remove(app: "App", which: Which, as_person: As = None) -> Told:
        return await change(app, as_person, "remove", which)

    @group.command("import", help=f"Bring {noun}s in from a file, without doubling any; a broken line is told by its number.")
    @told
    async def bring(app: "App", file: Source, as_person: As = None) -> Told:
        async with commands.errand(app, as_person) as errand:
            return await _import(app, errand, noun, file)

    @group.command("export", help=f"Give all {noun}s out as a file.")
    @told
    async def give(app: "App", file: Target = "-", as_person: As = None) -> Told:
        async with commands.errand(app, as_person) as errand:
            return await _export(app, errand, noun, file)

    return group


affairs = {noun: _group(noun) for noun in HELP}
"""A group of commands for each kind of thing."""


def _book(app: "App", noun: str) -> Any:
    from bot.services.books import Books

    return getattr(Books.over(app.database, app.clock), noun)


async def _list(app: "App", errand: "Errand", noun: str, words: str) -> Told:
    from bot.services.affairs import holds

    book = _book(app, noun)
    lines = [(row, book.line(row, book.local(errand.person))) for row in await book.standing(errand.person)]
    found = [(row, line) for row, line in lines if holds(line, words)]
    shown = [f"{getattr(row, 'code', number)}  {line}" for number, (row, line) in enumerate(found, start=1)]
    return "\n".join(shown) or f"no {noun}s", {f"{noun}s": [_plain(row) for row, _ in found]}


async def _import(app: "App", errand: "Errand", noun: str, file: str) -> Told:
    from bot.services.exchange import Exchange

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()  # noqa: ASYNC240  nothing else waits
    except OSError as error:
        raise RobbieError(f"{file} cannot be read: {error.strerror}") from error
    with commands.Bar(f"importing {noun}s") as bar:
        result = await Exchange(database=app.database, clock=app.clock).bring(errand, noun, data, bar)
    for number, why in result.broken:
        typer.echo(f"line {number} was left out: {why}", err=True)
    counts = {"added": result.added, "merged": result.merged, "known": result.known}
    said = f"{result.added} added, {result.merged} completed, {result.known} known already, {len(result.broken)} left out"
    return said, counts | {"broken": [{"line": number, "why": why} for number, why in result.broken]}


async def _export(app: "App", errand: "Errand", noun: str, file: str) -> Told:
    from bot.services.exchange import Exchange

    text = await Exchange(database=app.database, clock=app.clock).give(errand.person, noun, as_cards=file.endswith(".vcf"))
    if file == "-":
        return text.rstrip(), {"file": text}
    try:
        Path(file).write_text(text, encoding="utf-8", newline="")  # noqa: ASYNC240  nothing else waits
    except OSError as error:
        raise RobbieError(f"{file} cannot be written: {error.strerror}") from error
    return f"written to {file}", {"file": file}


def _plain(row: Any) -> dict[str, Any]:
    """A row as a script reads it."""
    from storage.repositories.base import values_of

    return {name: value for name, value in values_of(row).items() if name not in ("organization_id", "user_id")}
