"""The command line: thin, one function a command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from bot.affairs_cli import affairs
from bot.cli_words import As, Json, Options, app_of, commands, config_of, group_of, log_to_stderr, say, tell
from bot.domain.errors import ConfigError, RobbieError, StorageUnavailable

cli = group_of(
    "Robbie, your personal chief of staff: one brain at every door, and it always answers.",
    name="robbie",
    epilog="First steps: `robbie model fetch`, then `robbie run`. Keys: `robbie init`. Something wrong: `robbie doctor`.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
mesh = group_of("The machines that run Ollama, and their models.", no_args_is_help=False, invoke_without_command=True)
db = group_of("The database: migrations, and moving to PostgreSQL.")
model = group_of("The embedded model, which needs no key and no account.")
token = group_of("Bearer tokens for the HTTP API.")
person = group_of("The people Robbie knows.")
pair = group_of("Strangers who wrote to Robbie, and linked accounts.")
mood = group_of("How Robbie is set: three sliders and a mood.", no_args_is_help=False, invoke_without_command=True)
brief = group_of("Briefs: one now, and when they come by themselves.")
_groups = {"mesh": mesh, "db": db, "model": model, "token": token, "person": person, "pair": pair, "mood": mood, "brief": brief}
for command_name, group in (_groups | affairs).items():
    cli.add_typer(group, name=command_name)

Text = Annotated[str, typer.Argument(metavar="TEXT", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
Node = Annotated[str, typer.Argument(metavar="NODE", show_default=False)]
FaultName = Literal["refused", "rate_limited", "silent", "cut"]
"""The names of `bot.brain.drill.Fault`, which is not imported for `--help`."""
LONGEST_STOP_SECONDS = 9.0
"""Then a hub whose stop hangs, by a locked database for example, is cut off; the ledger outlives that as it does any death."""


def main() -> None:
    """Run one command: exit status 0 done, 1 failed with one clear line, 2 wrong usage."""
    os.umask(0o077)  # what people wrote is for the eyes of whoever runs Robbie
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no sign for something is no reason to fail
    try:
        cli()
    except RobbieError as error:
        _fail(error)
    except Exception as error:  # noqa: BLE001  the operator gets one line; --debug shows the rest
        _fail(error, unexpected=True)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"robbie {version('robbie')}")
        raise typer.Exit


@cli.callback()
def options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Default: $ROBBIE_CONFIG, then ./config.toml.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show a traceback when something fails.")] = False,
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version.")] = False,
) -> None:
    """Robbie, your personal chief of staff: one brain at every door, and it always answers."""
    context.obj = Options(config=config or Path(os.environ.get("ROBBIE_CONFIG") or "config.toml"), debug=debug)


@cli.command()
def run(context: typer.Context) -> None:
    """Run the hub: every door, the web server, the jobs. On a terminal it opens the console chat as well."""
    last_resort = threading.Timer(LONGEST_STOP_SECONDS, os._exit, (0,))
    last_resort.daemon = True
    try:
        app = app_of(context, tends=True, listens=True, log_level="info")
        asyncio.run(commands.run(app, is_terminal=_is_terminal(), debug=context.obj.debug, stopping=last_resort.start))
    finally:
        last_resort.cancel()


@cli.command()
def chat(context: typer.Context, as_person: As = None) -> None:
    """Talk in the terminal. When stdin is no terminal, one reply is printed for each line."""
    asyncio.run(commands.chat(app_of(context, tends=_is_terminal()), as_person, is_terminal=_is_terminal()))


@cli.command()
def ask(context: typer.Context, text: Text, as_person: As = None, as_json: Json = False) -> None:
    """Ask one question and print the answer."""
    tell(context, as_json, commands.ask, text, as_person)


@cli.command()
def classify(text: Annotated[str, typer.Argument(metavar="TEXT|-", show_default=False)] = "-", as_json: Json = False) -> None:
    """Say what sort of work a text is: quick, complex, long_context, code or creative, and how sure that is.

    Without TEXT, or with -, each line of stdin is told: plain, or a JSON string where a text has several lines.
    """
    from bot.brain.task_type import classify_text

    for each in _lines(sys.stdin.buffer) if text == "-" else (text,):
        task_type, confidence = classify_text(each)
        say({"task_type": task_type, "confidence": round(confidence, 4)} if as_json else f"{task_type} {confidence:.2f}")


@cli.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Say what is well, what is not, and how to mend it. Status 1 on any fail.

    Looks at config, database, every level, node and channel, disk and clock; changes nothing and spends nothing.
    """
    try:
        app = app_of(context, listens=True)
    except ConfigError as error:
        if not as_json:
            raise
        say({"ok": False, "checks": [{"part": "config", "status": "fail", "detail": str(error), "repair": error.repair}]})
        raise typer.Exit(1) from error
    raise typer.Exit(0 if asyncio.run(commands.doctor(app, as_json=as_json)) else 1)


@cli.command()
def drill(
    context: typer.Context,
    fault: Annotated[FaultName, typer.Option(help="How they fail.")] = "refused",
    as_json: Json = False,
) -> None:
    """Hold a fire drill: fail each level on purpose.

    One more fails each time; shown is what you would have seen, from which level, after how long.
    """
    asyncio.run(commands.drill(app_of(context), fault, as_json=as_json))


@cli.command()
def report(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="How many days back.")] = 30,
    as_json: Json = False,
) -> None:
    """Tell what Robbie learned, what it cost, and how his answers were taken."""
    asyncio.run(commands.report(app_of(context), days, as_json=as_json))


@cli.command()
def init(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take keys from the environment, test and save them.")] = False,
) -> None:
    """Ask for keys, and save those that work.

    Each is tested first. Settings go to config.local.toml, secrets to the data folder.
    """
    from bot.setup import Setup

    log_to_stderr(context, "error")
    asyncio.run(Setup(config_file=context.obj.config, environ=os.environ, asks=not yes).run())


@cli.command()
def signin(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """Print a fresh one-time link that signs a browser in."""
    tell(context, as_json, commands.signin, as_person)


@db.command("upgrade")
def db_upgrade(context: typer.Context, as_json: Json = False) -> None:
    """Bring the database up to date, all or nothing."""
    tell(context, as_json, commands.db_upgrade)


@db.command("status")
def db_status(context: typer.Context, as_json: Json = False) -> None:
    """Where the database is, and whether migrations wait."""
    tell(context, as_json, commands.db_status)


@db.command("copy")
def db_copy(
    context: typer.Context,
    to: Annotated[str, typer.Option(metavar="URL", help="An empty database, for example postgresql+psycopg://user@host/robbie")],
    as_json: Json = False,
) -> None:
    """Copy everything into another database, all or nothing; the hub must not be running."""
    tell(context, as_json, commands.db_copy, to)


@model.command("fetch")
def model_fetch(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which; the one that config.toml names by default.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Download the embedded model once, check it, and keep it in the user's cache folder."""
    path = str(commands.model_fetch(name or commands.embedded_model(config_of(context)), os.environ))
    say({"path": path} if as_json else path)


@model.command("list")
def model_list(as_json: Json = False) -> None:
    """The embedded models that are there."""
    found = commands.model_list(os.environ)
    lines = [f"{each['model']}  {each['megabytes']} MB  {each['path']}" for each in found]
    say({"models": found} if as_json else "\n".join(lines) or "none yet: `robbie model fetch`")


@token.command("create")
def token_create(context: typer.Context, label: str = "script", as_person: As = None, as_json: Json = False) -> None:
    """Make a token; it is shown once, as the last word."""
    tell(context, as_json, commands.token_create, label, as_person)


@token.command("list")
def token_list(context: typer.Context, as_json: Json = False) -> None:
    """The tokens that are valid, without their secrets."""
    tell(context, as_json, commands.token_list)


@token.command("revoke")
def token_revoke(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """End a token at once."""
    tell(context, as_json, commands.token_revoke, id)


@person.command("list")
def person_list(context: typer.Context, as_json: Json = False) -> None:
    """Everyone Robbie knows, with their linked accounts."""
    tell(context, as_json, commands.person_list)


@pair.command("list")
def pair_list(context: typer.Context, as_json: Json = False) -> None:
    """Who waits to be let in, and every linked account."""
    tell(context, as_json, commands.pair_list)


@pair.command("approve")
def pair_approve(context: typer.Context, code: Annotated[str, typer.Argument(metavar="CODE")], as_json: Json = False) -> None:
    """Let the stranger in who was told this code; what they wrote first is answered then."""
    tell(context, as_json, commands.pair_approve, code)


@pair.command("revoke")
def pair_revoke(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """Take an account away from whoever has it; ID as `pair list` shows it, such as telegram:123."""
    tell(context, as_json, commands.pair_revoke, id)


@mood.callback()
def mood_any(context: typer.Context) -> None:
    """How Robbie is set: three sliders from 1 to 10, and a mood."""
    if context.invoked_subcommand is None:
        mood_show(context)


@mood.command("show")
def mood_show(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """How Robbie is set with a person, in each context, and what that means in figures."""
    tell(context, as_json, commands.mood_show, as_person)


@mood.command("set")
def mood_set(
    context: typer.Context,
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="gandhi=3, cocktail=+1, mood=playful, or normal.")],
    place: Annotated[str, typer.Option("--in", metavar="CONTEXT", help="private, channel, email, brief, mornings, …")] = "*",
    until: Annotated[str, typer.Option(metavar="WHEN", help='Until when it holds, such as "6pm" or "Friday".')] = "",
    as_person: As = None,
    as_json: Json = False,
) -> None:
    """Set sliders or the mood; prints the same words before and after."""
    tell(context, as_json, commands.mood_set, values, as_person, place=place, until=until)


@mood.command("undo")
def mood_undo(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """Take back the last thing that was done, as /undo does."""
    tell(context, as_json, commands.mood_undo, as_person)


def _brief_of(slot: str) -> Callable[..., None]:
    """The command that composes the brief of a slot."""

    def compose(
        context: typer.Context,
        as_person: As = None,
        send: Annotated[bool, typer.Option("--send", help="Deliver it as well, where the person's briefs go.")] = False,
        as_json: Json = False,
    ) -> None:
        tell(context, as_json, commands.brief_now, slot, as_person, sends=send)

    return compose


for slot_name in ("morning", "afternoon", "evening"):
    brief.command(slot_name, help=f"Compose the {slot_name} brief as of now; it does not count as the day's own.")(_brief_of(slot_name))


@brief.command("schedule")
def brief_schedule(
    context: typer.Context,
    first: Annotated[datetime | None, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="Today by default.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="How many local days.")] = 7,
    as_json: Json = False,
) -> None:
    """When each brief will come, for everybody who gets them."""
    if first and not 1900 <= first.year <= 2200:
        raise typer.BadParameter("a year from 1900 to 2200, such as 2027-03-01", param_hint="--from")
    tell(context, as_json, commands.brief_schedule, first.date() if first else None, days)


@mesh.callback()
def mesh_any(context: typer.Context, as_json: Json = False) -> None:
    """The machines that run Ollama: how each is, what it holds in memory, and how quick it is."""
    if context.invoked_subcommand is None:
        tell(context, as_json, commands.mesh_nodes)


@mesh.command("drain")
def mesh_drain(context: typer.Context, node: Node) -> None:
    """Begin nothing new on a node; what is under way there is finished."""
    tell(context, False, commands.mesh_drain, node, is_drained=True)


@mesh.command("return")
def mesh_return(context: typer.Context, node: Node) -> None:
    """Give a drained node work again."""
    tell(context, False, commands.mesh_drain, node, is_drained=False)


def _lines(stream: Iterable[bytes]) -> Iterable[str]:
    """The texts on the lines of *stream*, each as it comes: a JSON string is read, anything else is taken as it stands."""
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        try:
            read = json.loads(text) if text.startswith('"') else text
        except (ValueError, RecursionError):
            read = text
        yield read if isinstance(read, str) else text


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _fail(error: Exception, *, unexpected: bool = False) -> None:
    """One line on stderr and status 1."""
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exception(error)
    words = " ".join(str(error).split())
    if isinstance(error, StorageUnavailable):
        words = f"the database cannot be used: {words}; nothing was written half (`robbie doctor` looks closer)"
    text = f"something unexpected went wrong ({type(error).__name__}: {words}); --debug shows more" if unexpected else words
    sys.stderr.write(f"robbie: {text}\n".encode("utf-8", "replace").decode())
    raise SystemExit(1)
