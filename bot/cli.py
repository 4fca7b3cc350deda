"""The command line: thin, one function a command."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from bot.affairs_cli import affairs
from bot.cli_words import As, Json, Options, Told, app_of, commands, config_of, group_of, lines_of, log_to_stderr, say, told
from bot.domain.errors import ConfigError, RobbieError, StorageUnavailable
from bot.memory_cli import memory

if TYPE_CHECKING:
    from bot.app import App
    from storage.models.people import Identity

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
_groups = {
    "mesh": mesh,
    "db": db,
    "model": model,
    "token": token,
    "person": person,
    "pair": pair,
    "mood": mood,
    "brief": brief,
    "memory": memory,
}
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
@told
async def ask(app: "App", text: Text, as_person: As = None) -> Told:
    """Ask one question and print the answer."""
    async with commands.talking(app, as_person) as talker:
        answer = await talker.ask(text)
    return commands.readable(answer["reply"]), {key: answer[key] for key in commands.ASK_KEYS}


@cli.command()
def classify(text: Annotated[str, typer.Argument(metavar="TEXT|-", show_default=False)] = "-", as_json: Json = False) -> None:
    """Say what sort of work a text is: quick, complex, long_context, code or creative, and how sure that is.

    Without TEXT, or with -, each line of stdin is told: plain, or a JSON string where a text has several lines.
    """
    from bot.brain.task_type import classify_text

    for each in lines_of(sys.stdin.buffer) if text == "-" else (text,):
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
@told
async def signin(app: "App", as_person: As = None) -> Told:
    """Print a fresh one-time link that signs a browser in."""
    async with commands.opened(app, as_person) as person:
        hub = await commands.running_hub(app)
        if hub is None:
            print("No hub is running yet, and the link leads to one: `robbie run`.", file=sys.stderr)
        base = app.config.web.public_url or (hub.url if hub else f"http://{app.config.web.host}:{app.config.web.port}")
        link = base.rstrip("/") + await app.auth.create_link(person.id)
    return link, {"url": link}


@db.command("upgrade")
@told
async def db_upgrade(app: "App") -> Told:
    """Bring the database up to date, all or nothing."""
    return await commands.db_upgrade(app)


@db.command("status")
@told
async def db_status(app: "App") -> Told:
    """Where the database is, and whether migrations wait."""
    return await commands.db_status(app)


@db.command("copy")
@told
async def db_copy(
    app: "App",
    to: Annotated[str, typer.Option(metavar="URL", help="An empty database, for example postgresql+psycopg://user@host/robbie")],
) -> Told:
    """Copy everything into another database, all or nothing; the hub must not be running."""
    return await commands.db_copy(app, to)


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
@told
async def token_create(app: "App", label: str = "script", as_person: As = None) -> Told:
    """Make a token; it is shown once, as the last word."""
    async with commands.opened(app, as_person) as person:
        row, secret = await app.auth.create_token(person.id, label)
    made = {"id": str(row.id), "label": row.label, "person": person.name, "token": secret}
    return f"{row.id} {row.label} {secret}", made


@token.command("list")
@told
async def token_list(app: "App") -> Told:
    """The tokens that are valid, without their secrets."""
    async with commands.opened(app, None):
        rows = await app.auth.tokens()
    tokens = [{"id": str(row.id), "label": row.label, "created_at": row.created_at.isoformat()} for row in rows]
    return "\n".join(" ".join(token.values()) for token in tokens) or "no tokens", {"tokens": tokens}


@token.command("revoke")
@told
async def token_revoke(app: "App", id: Id) -> Told:
    """End a token at once."""
    async with commands.opened(app, None):
        try:
            was_valid = await app.auth.revoke(UUID(id))
        except ValueError:
            was_valid = False
        if not was_valid:
            raise RobbieError(f"no valid token has the id {id}; `robbie token list` shows them")
    return "revoked", {"revoked": id}


@person.command("list")
@told
async def person_list(app: "App") -> Told:
    """Everyone Robbie knows, with their linked accounts."""
    async with commands.opened(app, None):
        everyone = await app.directory.everyone()
    people = [
        {"name": each.name, "role": each.role, "timezone": each.timezone, "accounts": [*map(_account, accounts)]}
        for each, accounts in everyone
    ]
    lines = [f"{each.name} ({each.role}, {each.timezone}) {' '.join(map(_account, accounts))}".rstrip() for each, accounts in everyone]
    return "\n".join(lines), {"people": people}


@pair.command("list")
@told
async def pair_list(app: "App") -> Told:
    """Who waits to be let in, and every linked account."""
    async with commands.opened(app, None):
        strangers = await app.rooms.pairing.waiting()
        everyone = await app.directory.everyone()
    waiting = [{"code": code, "who": who.name, "since": since.isoformat(timespec="seconds")} for code, who, since in strangers]
    linked = [{"id": _account(account), "person": each.name} for each, accounts in everyone for account in accounts]
    lines = [f"waiting  {each['code']}  {each['who']}  since {each['since']}" for each in waiting]
    lines += [f"linked   {each['id']}  {each['person']}" for each in linked]
    return "\n".join(lines) or "nobody waits, and no account is linked", {"waiting": waiting, "linked": linked}


@pair.command("approve")
@told
async def pair_approve(app: "App", code: Annotated[str, typer.Argument(metavar="CODE")]) -> Told:
    """Let the stranger in who was told this code; what they wrote first is answered then."""
    async with commands.opened(app, None):
        if (name := await app.rooms.pairing.approve(code)) is None:
            raise RobbieError(f"nobody waits under the code {code}; `robbie pair list` shows who does")
    return f"{name} is in", {"person": name}


@pair.command("revoke")
@told
async def pair_revoke(app: "App", id: Id) -> Told:
    """Take an account away from whoever has it; ID as `pair list` shows it, such as telegram:123."""
    channel, _, account = id.partition(":")
    async with commands.opened(app, None):
        if app.directory.names(channel, account):
            raise RobbieError(f"config.toml gives {id} to somebody: take it out there, under [[people]]")
        if not await app.rooms.pairing.revoke(channel, account):
            raise RobbieError(f"{id} is nobody's account; `robbie pair list` shows them")
    return "revoked", {"revoked": id}


@mood.callback()
def mood_any(context: typer.Context) -> None:
    """How Robbie is set: three sliders from 1 to 10, and a mood."""
    if context.invoked_subcommand is None:
        mood_show(context=context)


@mood.command("show")
@told
async def mood_show(app: "App", as_person: As = None) -> Told:
    """How Robbie is set with a person, in each context, and what that means in figures."""
    return await commands.mood_show(app, as_person)


@mood.command("set")
@told
async def mood_set(
    app: "App",
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="gandhi=3, cocktail=+1, mood=playful, or normal.")],
    place: Annotated[str, typer.Option("--in", metavar="CONTEXT", help="private, channel, email, brief, mornings, …")] = "*",
    until: Annotated[str, typer.Option(metavar="WHEN", help='Until when it holds, such as "6pm" or "Friday".')] = "",
    as_person: As = None,
) -> Told:
    """Set sliders or the mood; prints the same words before and after."""
    return await commands.mood_set(app, values, as_person, place=place, until=until)


@mood.command("undo")
@told
async def mood_undo(app: "App", as_person: As = None) -> Told:
    """Take back the last thing that was done, as /undo does."""
    async with commands.opened(app, as_person) as person:
        said = await app.rooms.journal.undo(person)
    return said, {"said": said}


def _brief_of(slot: str) -> Callable[..., None]:
    """The command that composes the brief of a slot."""

    @told
    async def compose(
        app: "App",
        as_person: As = None,
        send: Annotated[bool, typer.Option("--send", help="Deliver it as well, where the person's briefs go.")] = False,
    ) -> Told:
        return await commands.brief_now(app, slot, as_person, sends=send)

    return compose


for slot_name in ("morning", "afternoon", "evening"):
    brief.command(slot_name, help=f"Compose the {slot_name} brief as of now; it does not count as the day's own.")(_brief_of(slot_name))


@brief.command("schedule")
@told
async def brief_schedule(
    app: "App",
    first: Annotated[datetime | None, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="Today by default.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="How many local days.")] = 7,
) -> Told:
    """When each brief will come, for everybody who gets them."""
    if first and not 1900 <= first.year <= 2200:
        raise typer.BadParameter("a year from 1900 to 2200, such as 2027-03-01", param_hint="--from")
    return await commands.brief_schedule(app, first.date() if first else None, days)


@mesh.callback()
def mesh_any(context: typer.Context, as_json: Json = False) -> None:
    """The machines that run Ollama: how each is, what it holds in memory, and how quick it is."""
    if context.invoked_subcommand is None:
        told(commands.mesh_nodes)(context=context, as_json=as_json)


@mesh.command("drain")
@told
async def mesh_drain(app: "App", node: Node) -> Told:
    """Begin nothing new on a node; what is under way there is finished."""
    return await commands.mesh_drain(app, node, is_drained=True)


@mesh.command("return")
@told
async def mesh_return(app: "App", node: Node) -> Told:
    """Give a drained node work again."""
    return await commands.mesh_drain(app, node, is_drained=False)


def _account(account: "Identity") -> str:
    return f"{account.channel}:{account.account}"


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
