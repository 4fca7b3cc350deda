"""`robbie task|note|contact|deal`: a person's own affairs at the command line, beside a running hub or without one."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
Which = Annotated[str, typer.Argument(metavar="WHICH", show_default=False, help="Its code, or words of its title.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="PERSON", help="Whose; the owner's by default.")]
Source = Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="CSV, or vCard for contacts; - is stdin.")]
Target = Annotated[str, typer.Argument(metavar="[FILE]", show_default=False, help="A name that ends in .vcf gives vCards; - is stdout.")]
Told = tuple[str, dict[str, Any]]
"""What is printed, and what is printed for a script."""


def groups(
    *, app_of: Callable[[typer.Context], App], wait: Callable[[Coroutine[Any, Any, Any]], Any], say: Callable[[object], None]
) -> Iterator[tuple[str, typer.Typer]]:
    """A group of commands for each kind of thing."""

    def run(context: typer.Context, as_person: str | None, as_json: bool, act: Callable[[App, Errand], Awaitable[Told]]) -> None:
        from bot import commands

        text, told = wait(commands.at_books(app_of(context), as_person, act))
        say(told if as_json else text)

    for noun in HELP:
        yield noun, _group(noun, run)


def _group(noun: str, run: Callable[..., None]) -> typer.Typer:
    group = typer.Typer(help=HELP[noun], no_args_is_help=True, rich_markup_mode=None)

    @group.command("add", help=f"Add a {noun}.")
    def add(context: typer.Context, text: Words, as_person: As = None, as_json: Json = False) -> None:
        run(context, as_person, as_json, lambda app, errand: _add(app, errand, noun, " ".join(text)))

    @group.command("list", help=f"The {noun}s, those alone that hold these words where some are given.")
    def show(
        context: typer.Context, words: Annotated[list[str] | None, typer.Argument()] = None, as_person: As = None, as_json: Json = False
    ) -> None:
        run(context, as_person, as_json, lambda app, errand: _list(app, errand, noun, " ".join(words or ())))

    @group.command("edit", help=f"Change a {noun}.")
    def edit(context: typer.Context, which: Which, text: Words, as_person: As = None, as_json: Json = False) -> None:
        run(context, as_person, as_json, lambda app, errand: _change(app, errand, noun, "edit", which, " ".join(text)))

    @group.command("remove", help=f"Remove a {noun}.")
    def remove(context: typer.Context, which: Which, as_person: As = None, as_json: Json = False) -> None:
        run(context, as_person, as_json, lambda app, errand: _change(app, errand, noun, "remove", which))

    @group.command("import", help=f"Bring {noun}s in from a file, without doubling any; a broken line is told by its number.")
    def bring(context: typer.Context, file: Source, as_person: As = None, as_json: Json = False) -> None:
        run(context, as_person, as_json, lambda app, errand: _import(app, errand, noun, file))

    @group.command("export", help=f"Give all {noun}s out as a file.")
    def give(context: typer.Context, file: Target = "-", as_person: As = None) -> None:
        run(context, as_person, False, lambda app, errand: _export(app, errand, noun, file))

    if noun in ("task", "deal"):

        @group.command("done", help="It is done." if noun == "task" else "It is won.")
        def done(context: typer.Context, which: Which, as_person: As = None, as_json: Json = False) -> None:
            run(context, as_person, as_json, lambda app, errand: _change(app, errand, noun, "done", which))

    return group


def _book(app: App, noun: str) -> Any:
    from bot.services.contacts import Contacts
    from bot.services.deals import Deals
    from bot.services.notes import Notes
    from bot.services.tasks import Tasks

    books: dict[str, Any] = {"task": Tasks, "contact": Contacts, "deal": Deals, "note": Notes}
    return books[noun](database=app.database, clock=app.clock)


async def _add(app: App, errand: Errand, noun: str, words: str) -> Told:
    from bot.services.contacts import parse_contact
    from bot.services.tasks import spoken

    book = _book(app, noun)
    if noun == "note":
        return (await book.keep(errand, words)), {"note": words}
    if noun == "task":
        row = await book.take(errand, words)
        return f"{row.code}  {spoken(row, book.local(errand.person))}", {noun: _plain(row)}
    given = parse_contact(words) if noun == "contact" else {}
    row, text = await (book.keep(errand, given.pop("name", ""), **given) if noun == "contact" else book.take(errand, words))
    return text, {noun: _plain(await book.find(errand.person, row.code))}


async def _list(app: App, errand: Errand, noun: str, words: str) -> Told:
    from bot.services.affairs import folded
    from bot.services.contacts import told_contact
    from bot.services.deals import told_deal
    from bot.services.tasks import spoken

    book, wanted = _book(app, noun), set(folded(words).split())
    rows = await (book.find(errand.person) if noun == "note" else book.standing(errand.person))
    tell = {
        "task": lambda row: spoken(row, book.local(errand.person)),
        "contact": told_contact,
        "deal": told_deal,
        "note": lambda row: row.text,
    }
    found = [(row, line) for row in rows if wanted <= set(folded(line := tell[noun](row)).split())]
    lines = [f"{getattr(row, 'code', number)}  {line}" for number, (row, line) in enumerate(found, start=1)]
    return "\n".join(lines) or f"no {noun}s", {f"{noun}s": [_plain(row) for row, _ in found]}


async def _change(app: App, errand: Errand, noun: str, verb: str, which: str, words: str = "") -> Told:
    from bot.domain.errors import ToolFailed
    from bot.services.contacts import parse_contact
    from bot.services.deals import parse_deal

    book = _book(app, noun)
    if noun == "note":
        if verb == "edit" and not words.strip():
            raise ToolFailed("What shall it become?")
        text = await book.remove(errand, which)
        return (await book.keep(errand, words), {"said": text}) if verb == "edit" else (text, {"said": text})
    code = (await book.find(errand.person, which)).code
    if verb == "remove":
        text = await book.remove(errand, code)
    elif noun == "task":
        text = await (book.done(errand, code) if verb == "done" else book.edit(errand, code, words))
    elif noun == "contact":
        text = await book.edit(errand, code, parse_contact(words))
    else:
        title, values = ("", {"stage": "won"}) if verb == "done" else parse_deal(f"x, {words}")
        text = await book.edit(errand, code, values)
    return text, {"said": text}


async def _import(app: App, errand: Errand, noun: str, file: str) -> Told:
    from bot.commands import Bar
    from bot.services.exchange import Exchange

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise RobbieError(f"{file} cannot be read: {error.strerror}") from error
    with Bar(f"importing {noun}s") as bar:
        result = await Exchange(database=app.database, clock=app.clock).bring(errand, noun, data, bar)
    for number, why in result.broken:
        print(f"line {number} was left out: {why}", file=sys.stderr)
    broken = [{"line": number, "why": why} for number, why in result.broken]
    counts = {"added": result.added, "merged": result.merged, "known": result.known}
    told = f"{result.added} added, {result.merged} completed, {result.known} known already, {len(broken)} left out"
    return told, counts | {"broken": broken}


async def _export(app: App, errand: Errand, noun: str, file: str) -> Told:
    from bot.services.exchange import Exchange

    as_cards = noun == "contact" and file.endswith(".vcf")
    text = await Exchange(database=app.database, clock=app.clock).give(errand.person, noun, as_cards=as_cards)
    if file == "-":
        return text.rstrip(), {}
    Path(file).write_text(text, encoding="utf-8", newline="")
    return f"written to {file}", {}


def _plain(row: Any) -> dict[str, Any]:
    """A row as a script reads it."""
    from storage.repositories.base import values_of

    return {name: value for name, value in values_of(row).items() if name not in ("organization_id", "user_id")}
