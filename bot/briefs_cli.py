"""The part of the command line that is about briefs: one now, and when they will come."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer

brief = typer.Typer(help="Briefs: one now, and when they come by themselves.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="PERSON", help="This person's brief; the owner's by default.")]
Send = Annotated[bool, typer.Option("--send", help="Deliver it as well, where the person's briefs go.")]


def _now(slot: str) -> Callable[..., None]:
    """The command that composes the brief of a slot."""

    def compose(context: typer.Context, as_person: As = None, send: Send = False, as_json: Json = False) -> None:
        from bot import commands

        told = asyncio.run(commands.brief_now(context.obj.app(context), slot, as_person, sends=send))
        print(json.dumps(told) if as_json else commands.readable(told["text"], colour=sys.stdout.isatty()))

    return compose


for name in ("morning", "afternoon", "evening"):
    brief.command(name, help=f"Compose the {name} brief as of now; it does not count as the day's own.")(_now(name))


@brief.command("schedule")
def schedule(
    context: typer.Context,
    first: Annotated[datetime | None, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="Today by default.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="How many local days.")] = 7,
    as_json: Json = False,
) -> None:
    """When each brief will come, for everybody who gets them."""
    from bot import commands

    if first and not 1900 <= first.year <= 2200:
        raise typer.BadParameter("a year from 1900 to 2200, such as 2027-03-01", param_hint="--from")
    slots = asyncio.run(commands.brief_schedule(context.obj.app(context), first.date() if first else None, days))
    lines = (f"{each['local']}  {each['slot']:9}  {each['person']}" for each in slots)
    print(json.dumps({"slots": slots}) if as_json else "\n".join(lines) or "nobody gets briefs")
