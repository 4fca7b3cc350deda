"""The command line: thin, one function a command; what a command needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from bot.affairs_cli import groups
from bot.briefs_cli import brief
from bot.domain.errors import ConfigError, RobbieError, StorageUnavailable

if TYPE_CHECKING:
    from bot.app import App
    from bot.config import Config

cli = typer.Typer(
    name="robbie",
    help="Robbie, your personal chief of staff: one brain at every door, and it always answers.",
    epilog="First steps: `robbie model fetch`, then `robbie run`. Keys: `robbie init`. Something wrong: `robbie doctor`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
db = typer.Typer(help="The database: migrations, and moving to PostgreSQL.", no_args_is_help=True, rich_markup_mode=None)
model = typer.Typer(help="The embedded model, which needs no key and no account.", no_args_is_help=True, rich_markup_mode=None)
token = typer.Typer(help="Bearer tokens for the HTTP API.", no_args_is_help=True, rich_markup_mode=None)
person = typer.Typer(help="The people Robbie knows.", no_args_is_help=True, rich_markup_mode=None)
pair = typer.Typer(help="Strangers who wrote to Robbie, and linked accounts.", no_args_is_help=True, rich_markup_mode=None)
mood = typer.Typer(help="How Robbie is set: three sliders and a mood.", invoke_without_command=True, rich_markup_mode=None)
mesh = typer.Typer(help="The machines that run Ollama, and their models.", invoke_without_command=True, rich_markup_mode=None)
_groups = {"mesh": mesh, "db": db, "model": model, "token": token, "person": person, "pair": pair, "mood": mood, "brief": brief}
for command_name, group in _groups.items():
    cli.add_typer(group, name=command_name)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", show_default=False)]
Days = Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="How many days back.")]
Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
As = Annotated[str | None, typer.Option("--as", metavar="PERSON", help="Speak as this person; the owner by default.")]
FaultName = Literal["refused", "rate_limited", "silent", "cut"]
"""The names of `bot.brain.drill.Fault`, which is not imported for `--help`."""
LONGEST_STOP_SECONDS = 9.0
"""Then a hub whose stop hangs, by a locked database for example, is cut off; the ledger outlives that as it does any death."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was said before the command."""

    config: Path
    debug: bool

    def app(self, context: typer.Context) -> App:
        """Everything, for a command that stands in a file of its own."""
        return _app(context, tends=False)


def main() -> None:
    """Run one command: exit status 0 done, 1 failed with one clear line, 2 wrong usage."""
    os.umask(0o077)  # what people wrote is for the eyes of whoever runs Robbie
    gc.set_threshold(50_000)  # imports make much and waste nothing: to look for waste all the while took a fifth of the start
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
    from bot import commands

    last_resort = threading.Timer(LONGEST_STOP_SECONDS, os._exit, (0,))
    last_resort.daemon = True
    try:
        app = _app(context, listens=True, log_level="info")
        _wait(commands.run(app, is_terminal=_is_terminal(), debug=context.obj.debug, stopping=last_resort.start))
    finally:
        last_resort.cancel()


@cli.command()
def chat(context: typer.Context, as_person: As = None) -> None:
    """Talk in the terminal. When stdin is no terminal, one reply is printed for each line."""
    from bot import commands

    _wait(commands.chat(_app(context, tends=_is_terminal()), as_person, is_terminal=_is_terminal()))


@cli.command()
def ask(context: typer.Context, text: Text, as_person: As = None, as_json: Json = False) -> None:
    """Ask one question and print the answer."""
    from bot import commands

    answer = _wait(commands.ask(_app(context, tends=False), text, as_person))
    _say(commands.ask_json(answer) if as_json else commands.readable(answer["reply"], colour=sys.stdout.isatty()))


@cli.command()
def classify(text: Annotated[str, typer.Argument(metavar="TEXT|-", show_default=False)] = "-", as_json: Json = False) -> None:
    """Say what sort of work a text is: quick, complex, long_context, code or creative, and how sure that is.

    Without TEXT, or with -, each line of stdin is told: plain, or a JSON string where a text has several lines.
    """
    from bot.brain.task_type import classify_text

    for each in _lines(sys.stdin.buffer) if text == "-" else (text,):
        task_type, confidence = classify_text(each)
        _say({"task_type": task_type, "confidence": round(confidence, 4)} if as_json else f"{task_type} {confidence:.2f}")


@cli.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Say what is well, what is not, and how to mend it. Status 1 on any fail.

    Looks at config, database, every level, node and channel, disk and clock; changes nothing and spends nothing.
    """
    from bot import commands

    try:
        app = _app(context, tends=False, listens=True)
    except ConfigError as error:
        if not as_json:
            raise
        _say({"ok": False, "checks": [{"part": "config", "status": "fail", "detail": str(error), "repair": error.repair}]})
        raise typer.Exit(1) from error
    raise typer.Exit(0 if _wait(commands.doctor(app, as_json=as_json)) else 1)


@cli.command()
def drill(
    context: typer.Context,
    fault: Annotated[FaultName, typer.Option(help="How they fail.")] = "refused",
    as_json: Json = False,
) -> None:
    """Hold a fire drill: fail each level on purpose.

    One more fails each time; shown is what you would have seen, from which level, after how long.
    """
    from bot import commands

    _wait(commands.drill(_app(context, tends=False), fault, as_json=as_json))


@cli.command()
def report(context: typer.Context, days: Days = 30, as_json: Json = False) -> None:
    """Tell what Robbie learned, what it cost, and how his answers were taken."""
    from bot import commands

    _wait(commands.report(_app(context, tends=False), days, as_json=as_json))


@cli.command()
def init(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take keys from the environment, test and save them.")] = False,
) -> None:
    """Ask for keys, and save those that work.

    Each is tested first. Settings go to config.local.toml, secrets to the data folder.
    """
    from bot.setup import Setup

    _configure_log("error", debug=context.obj.debug)
    _wait(Setup(config_file=context.obj.config, environ=os.environ, asks=not yes).run())


@cli.command()
def signin(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """Print a fresh one-time link that signs a browser in."""
    from bot import commands

    link = _wait(commands.signin(_app(context, tends=False), as_person))
    _say({"url": link} if as_json else link)


@db.command("upgrade")
def db_upgrade(context: typer.Context, as_json: Json = False) -> None:
    """Bring the database up to date, all or nothing."""
    from bot import commands

    _say_status(_wait(commands.db_upgrade(_app(context, tends=False))), as_json=as_json)


@db.command("status")
def db_status(context: typer.Context, as_json: Json = False) -> None:
    """Where the database is, and whether migrations wait."""
    from bot import commands

    _say_status(_wait(commands.db_status(_app(context, tends=False))), as_json=as_json)


@db.command("copy")
def db_copy(
    context: typer.Context,
    to: Annotated[str, typer.Option(metavar="URL", help="An empty database, for example postgresql+psycopg://user@host/robbie")],
    as_json: Json = False,
) -> None:
    """Copy everything into another database, all or nothing; the hub must not be running."""
    from bot import commands

    rows = _wait(commands.db_copy(_app(context, tends=False), to))
    _say({"rows": rows} if as_json else f"copied {rows} rows; write the new address under [database] url")


@model.command("fetch")
def model_fetch(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which; the one that config.toml names by default.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Download the embedded model once, check it, and keep it in the user's cache folder."""
    from bot import commands

    path = commands.model_fetch(name or commands.embedded_model(_config(context)), os.environ)
    _say({"path": str(path)} if as_json else str(path))


@model.command("list")
def model_list(as_json: Json = False) -> None:
    """The embedded models that are there."""
    from bot import commands

    found = commands.model_list(os.environ)
    _say({"models": found} if as_json else "\n".join(f"{m['model']}  {m['megabytes']} MB  {m['path']}" for m in found) or _NO_MODEL)


@token.command("create")
def token_create(context: typer.Context, label: str = "script", as_person: As = None, as_json: Json = False) -> None:
    """Make a token; it is shown once, as the last word."""
    from bot import commands

    made = _wait(commands.token_create(_app(context, tends=False), label, as_person))
    _say(made if as_json else f"{made['id']} {made['label']} {made['token']}")


@token.command("list")
def token_list(context: typer.Context, as_json: Json = False) -> None:
    """The tokens that are valid, without their secrets."""
    from bot import commands

    tokens = _wait(commands.token_list(_app(context, tends=False)))
    _say({"tokens": tokens} if as_json else "\n".join(f"{t['id']} {t['label']} {t['created_at']}" for t in tokens) or "no tokens")


@token.command("revoke")
def token_revoke(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """End a token at once."""
    from bot import commands

    _wait(commands.token_revoke(_app(context, tends=False), id))
    _say({"revoked": id} if as_json else "revoked")


@person.command("list")
def person_list(context: typer.Context, as_json: Json = False) -> None:
    """Everyone Robbie knows, with their linked accounts."""
    from bot import commands

    people = _wait(commands.person_list(_app(context, tends=False)))
    lines = (f"{p['name']} ({p['role']}, {p['timezone']}) {' '.join(p['accounts'])}".rstrip() for p in people)
    _say({"people": people} if as_json else "\n".join(lines))


@pair.command("list")
def pair_list(context: typer.Context, as_json: Json = False) -> None:
    """Who waits to be let in, and every linked account."""
    from bot import commands

    listed = _wait(commands.pair_list(_app(context, tends=False)))
    waiting = [f"waiting  {w['code']}  {w['who']}  since {w['since']}" for w in listed["waiting"]]
    linked = [f"linked   {each['id']}  {each['person']}" for each in listed["linked"]]
    _say(listed if as_json else "\n".join([*waiting, *linked]) or "nobody waits, and no account is linked")


@pair.command("approve")
def pair_approve(context: typer.Context, code: Annotated[str, typer.Argument(metavar="CODE")], as_json: Json = False) -> None:
    """Let the stranger in who was told this code; what they wrote first is answered then."""
    from bot import commands

    name = _wait(commands.pair_approve(_app(context, tends=False), code))
    _say({"person": name} if as_json else f"{name} is in")


@pair.command("revoke")
def pair_revoke(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """Take an account away from whoever has it; ID as `pair list` shows it, such as telegram:123."""
    from bot import commands

    _wait(commands.pair_revoke(_app(context, tends=False), id))
    _say({"revoked": id} if as_json else "revoked")


@mood.callback()
def mood_any(context: typer.Context) -> None:
    """How Robbie is set: three sliders from 1 to 10, and a mood."""
    if context.invoked_subcommand is None:
        mood_show(context)


@mood.command("show")
def mood_show(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """How Robbie is set with a person, in each context, and what that means in figures."""
    from bot import commands

    text, told = _wait(commands.mood_show(_app(context, tends=False), as_person))
    _say(told if as_json else commands.readable(text, colour=sys.stdout.isatty()))


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
    from bot import commands

    said = _wait(commands.mood_set(_app(context, tends=False), values, as_person, place=place, until=until))
    _say({"said": said} if as_json else commands.readable(said, colour=sys.stdout.isatty()))


@mood.command("undo")
def mood_undo(context: typer.Context, as_person: As = None, as_json: Json = False) -> None:
    """Take back the last thing that was done, as /undo does."""
    from bot import commands

    said = _wait(commands.mood_undo(_app(context, tends=False), as_person))
    _say({"said": said} if as_json else said)


@mesh.callback()
def mesh_any(context: typer.Context, as_json: Json = False) -> None:
    """The machines that run Ollama: how each is, what it holds in memory, and how quick it is."""
    if context.invoked_subcommand is None:
        from bot import commands

        nodes = _wait(commands.mesh_nodes(_app(context, tends=False)))
        _say({"nodes": nodes} if as_json else "\n".join(map(commands.node_line, nodes)) or "config.toml names no [[mesh.nodes]]")


def _drain(context: typer.Context, node: Annotated[str, typer.Argument(metavar="NODE", show_default=False)]) -> None:
    from bot import commands

    _say(_wait(commands.mesh_drain(_app(context, tends=False), node, is_drained=context.info_name == "drain")))


mesh.command("drain", help="Begin nothing new on a node; what is under way there is finished.")(_drain)
mesh.command("return", help="Give a drained node work again.")(_drain)


_NO_MODEL = "none yet: `robbie model fetch`"


def _app(context: typer.Context, *, tends: bool = True, listens: bool = False, log_level: str = "error") -> App:
    """Everything, built from the config; the one place where the command line imports it."""
    from bot.app import build

    _configure_log(log_level, debug=context.obj.debug)
    return build(_config(context), environ=os.environ, tends=tends, listens=listens)


def _config(context: typer.Context) -> Config:
    from bot.config import load_config

    return load_config(context.obj.config, os.environ)


def _configure_log(level: str, *, debug: bool) -> None:
    from bot.logs import configure_log

    configure_log("debug" if debug else level, stream=sys.stderr)


T = TypeVar("T")


def _wait(work: Coroutine[Any, Any, T]) -> T:
    gc.freeze()  # what was imported stays to the end
    return asyncio.run(work)


def _lines(stream: Iterable[bytes]) -> Iterable[str]:
    """The texts on the lines of *stream*, each as it comes: a JSON string is read, anything else is taken as it stands."""
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        try:
            read = json.loads(text) if text.startswith('"') else text
        except (ValueError, RecursionError):
            read = text
        yield read if isinstance(read, str) else text


def _say(what: object) -> None:
    """To stdout: a text as it is, anything else as JSON, in ASCII, so that no text can break it."""
    print(what if isinstance(what, str) else json.dumps(what, default=str))


def _say_status(status: Any, *, as_json: bool) -> None:
    told = asdict(status) | {"ready": status.is_ready}
    waiting = "made by a newer Robbie" if status.is_newer else f"waiting: {', '.join(status.pending) or 'nothing'}"
    _say(told if as_json else f"revision {status.current or 'none'}, {waiting}")


for command_name, group in groups(app_of=lambda context: _app(context, tends=False), wait=_wait, say=_say):
    cli.add_typer(group, name=command_name)


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
