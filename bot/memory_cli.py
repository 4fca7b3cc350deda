"""`robbie memory`: what Robbie remembers, at the command line, beside a running hub or without one."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from bot.cli_words import As, Json, Told, app_of, commands, group_of, lines_of, say, told
from bot.domain.errors import RobbieError
from bot.domain.memory import Scope, Trust

if TYPE_CHECKING:
    from bot.app import App

memory = group_of("What Robbie remembers: `robbie memory search when did I see the dentist`.")
Source = Annotated[
    Path, typer.Argument(metavar="FILE", show_default=False, help="JSON lines, or an export of Slack, Telegram or WhatsApp.")
]
Which = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="Of a memory, a message or a note, as `memory search` tells it.")
]
What = Annotated[str, typer.Argument(metavar="WHAT", show_default=False, help="An id, or what you would write after /forget.")]
Target = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help=".json, .md, or .jsonl for `memory import`.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
SHOWN, LISTED = 300, 20
"""Characters of a memory, and broken lines, that are shown; `--json` tells them all."""
_TOLD = ("speaker", "text", "at", "created_at", "place", "trust", "direction", "made_by", "source_id", "message_id", "valid_until")


@memory.command("search")
def search(
    context: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT|-]", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many at most.")] = 10,
    as_person: As = None,
    as_json: Json = False,
) -> None:
    """Find what was said that answers a question, best first.

    Without TEXT, or with -, each line of stdin is a question; with --json there is one object for each.
    """
    from bot.brain.reactive import one_line

    asked = " ".join(text or ()).strip()

    async def answer() -> None:
        app = app_of(context)
        async with commands.opened(app, as_person) as person:  # who asks for it themselves: strangers' words are among it
            scope, zone = Scope(user_id=person.id, trusts=tuple(Trust)), ZoneInfo(person.timezone)
            for query in lines_of(sys.stdin.buffer) if asked in ("", "-") else [asked]:
                found = await app.rooms.recall.find(query, scope, limit=limit)
                told = [(each.score, each.memory, each.memory.at.astimezone(zone)) for each in found]
                results = [
                    {"id": str(one.id), "external_id": one.external_id, "text": one.text, "at": at.isoformat(), "score": round(score, 4)}
                    for score, one, at in told
                ]
                lines = [f"{at:%Y-%m-%d %H:%M}  {one.speaker}: {one_line(one.text, SHOWN)}  ({one.id})" for _, one, at in told]
                say({"query": query, "results": results} if as_json else "\n".join(lines) or "nothing")

    asyncio.run(answer())


@memory.command("import")
@told
async def bring(app: "App", file: Source, as_person: As = None) -> Told:
    """Bring in what was said elsewhere, word for word, each line once; it counts as what the person said.

    JSON lines have external_id, conversation, speaker, text and at. A broken line is told by its number, and passed over.
    """
    from bot.brain.chat_files import read_chat
    from bot.learning.importing import Importing

    try:
        data = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise RobbieError(f"{file} cannot be read: {error.strerror}") from error
    embedder = app.rooms.recall.embedder
    async with commands.opened(app, as_person) as person:
        with commands.Bar("importing") as bar:
            read = read_chat(data, file, person.timezone)
            result = await Importing(database=app.database, embedder=embedder).bring(person, read, bar)
    broken = [f"line {number} was left out: {why}" for number, why in result.broken]
    if not result.added and not result.known:
        raise RobbieError(f"nothing in {file} can be imported" + (f"; {broken[0]}" if broken else ": it is empty"))
    for line in [*broken[:LISTED], *([f"and {len(broken) - LISTED} more; --json tells all"] if len(broken) > LISTED else [])]:
        typer.echo(line, err=True)
    text = f"{result.added} added, {result.known} known already, {len(broken)} left out"
    if result.without_vector:
        text += f"; {result.without_vector} are found by their words alone until `robbie memory reindex`"
    return text, asdict(result) | {"broken": [{"line": number, "why": why} for number, why in result.broken]}


@memory.command("reindex")
@told
async def reindex(app: "App", as_person: As = None) -> Told:
    """Mend damaged vectors, and make those that are missing, as after a change of the model."""
    async with commands.opened(app, as_person):
        with commands.Bar("embedding what is remembered") as bar:
            made = await app.rooms.indexing.embed_all(bar, now=app.clock.now())
        async with app.database.reading() as work:
            memories = await work.memories.count()
    model = app.rooms.recall.embedder.model if app.rooms.recall.embedder else ""
    return f"{made} vectors made by {model}, for {memories} memories", {"made": made, "memories": memories, "model": model}


@memory.command()
@told
async def why(app: "App", which: Which, as_person: As = None) -> Told:
    """Where it came from, and what came of it."""
    from bot.services.dossier import Dossier

    async with commands.opened(app, as_person) as person:
        found = await Dossier(database=app.database).why(person, which)
    said = [f"{_one(found['kind'])} {found['id']}", *(f"  {name}: {found[name]}" for name in _TOLD if found.get(name))]
    said += [f"What came of it: {len(found['came_of_it'])}"]
    said += [
        f"  {each['at']:%Y-%m-%d %H:%M}  {_one(each['kind'])}  {each['id']}  {' '.join(each['text'].split())[:80]}"
        for each in found["came_of_it"]
    ]
    return "\n".join(said), found


def _one(shelf: str) -> str:
    return "memory" if shelf == "memories" else shelf.removesuffix("s")


@memory.command()
@told
async def forget(app: "App", what: What, yes: Yes = False, as_person: As = None) -> Told:
    """Show what would go, ask, and have it forgotten."""
    from bot.domain.clock import new_id

    async with commands.errand(app, as_person) as errand:
        card, kept = await app.rooms.forgetful.show(errand.person, what, order=new_id())
        typer.echo(commands.readable(card.text), err=True)
        if not yes and not (sys.stdin.isatty() and typer.confirm("Forget it?", err=True)):
            await app.rooms.forgetful.keep(errand.person, str(kept.id))
            raise RobbieError("nothing was forgotten; --yes forgets it without asking")
        done = await app.rooms.forgetful.forget(errand, str(kept.id))
    return commands.readable(done.text), {"said": done.text, "id": kept.id}


@memory.command()
@told
async def export(app: "App", file: Target, as_person: As = None) -> Told:
    """Everything that Robbie holds about a person."""
    from bot.services.dossier import Dossier

    async with commands.opened(app, as_person) as person:
        with commands.Bar("exporting") as bar:
            try:
                rows = await Dossier(database=app.database).write(person, file, bar)
            except OSError as error:
                raise RobbieError(f"{file} cannot be written: {error.strerror}") from error
    result: dict[str, Any] = {"file": str(file), "rows": rows}
    return f"{rows} rows written to {file}", result
