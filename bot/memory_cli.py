"""`robbie memory`: what Robbie remembers, at the command line, beside a running hub or without one."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli_words import As, Json, Told, app_of, group_of, lines_of, say, told

if TYPE_CHECKING:
    from bot.app import App

memory = group_of("What Robbie remembers: `robbie memory search when did I see the dentist`.")
Source = Annotated[
    Path, typer.Argument(metavar="FILE", show_default=False, help="JSON lines, or an export of Slack, Telegram or WhatsApp.")
]


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
    from bot.memory_commands import search

    async def answer() -> None:
        asked = " ".join(text or ()).strip()
        queries = lines_of(sys.stdin.buffer) if asked in ("", "-") else [asked]
        async for said, for_scripts in search(app_of(context), queries, as_person, limit):
            say(for_scripts if as_json else said)

    asyncio.run(answer())


@memory.command("import")
@told
async def bring(app: "App", file: Source, as_person: As = None) -> Told:
    """Bring in what was said elsewhere, word for word, each line once; it counts as what the person said.

    JSON lines have external_id, conversation, speaker, text and at. A broken line is told by its number, and passed over.
    """
    from bot.memory_commands import LISTED, bring

    broken, result = await bring(app, file, as_person)
    for line in [*broken[:LISTED], *([f"and {len(broken) - LISTED} more; --json tells all"] if len(broken) > LISTED else [])]:
        typer.echo(line, err=True)
    return result


@memory.command("reindex")
@told
async def reindex(app: "App", as_person: As = None) -> Told:
    """Mend damaged vectors, and make those that are missing, as after a change of the model."""
    from bot.memory_commands import reindex

    return await reindex(app, as_person)
