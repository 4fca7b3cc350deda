"""What all commands share: their options, how one is run, and how what came of it is told."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate

import typer

if TYPE_CHECKING:
    from bot import commands
    from bot.app import App
    from bot.commands import Told
    from bot.config import Config
else:
    Told = tuple

    class _Late:
        """Imports what it stands for when something of it is first wanted, so that `--help` is quick."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("bot.commands"), name)

    commands = _Late()

__all__ = ["As", "Json", "Options", "Told", "app_of", "commands", "config_of", "group_of", "lines_of", "log_to_stderr", "say", "told"]

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="PERSON", help="As this person, or for them; the owner by default.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was said before the command."""

    config: Path
    debug: bool


def group_of(help: str, **how: Any) -> typer.Typer:
    """A group of commands, which teaches where none is named."""
    return typer.Typer(help=help, rich_markup_mode=None, **{"no_args_is_help": True} | how)


def told(act: Callable[Concatenate["App", ...], Coroutine[Any, Any, Told]]) -> Callable[..., None]:
    """The command that has *act* done, given everything that Robbie is and what was typed, and says what came of it."""

    @wraps(act)
    def command(*, context: typer.Context, as_json: bool = False, **typed: Any) -> None:
        app = app_of(context)
        gc.freeze()  # what was imported stays to the end
        text, for_scripts = asyncio.run(act(app, **typed))
        say(for_scripts if as_json else text)

    _, *own = signature(act).parameters.values()
    first, last = (Parameter(name, Parameter.KEYWORD_ONLY) for name in ("context", "as_json"))
    all_of_it = [first.replace(annotation=typer.Context), *own, last.replace(annotation=Json, default=False)]
    command.__annotations__ = {each.name: each.annotation for each in all_of_it}
    command.__signature__ = Signature([each.replace(kind=Parameter.KEYWORD_ONLY) for each in all_of_it])  # type: ignore[attr-defined]
    return command


def say(what: object) -> None:
    """To stdout: a text as it is, anything else as JSON, in ASCII, so that no text can break it."""
    print(what if isinstance(what, str) else json.dumps(what, default=str))


def lines_of(stream: Iterable[bytes]) -> Iterable[str]:
    """The texts on the lines of *stream*, each as it comes: a JSON string is read, anything else is taken as it stands."""
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        try:
            read = json.loads(text) if text.startswith('"') else text
        except (ValueError, RecursionError):
            read = text
        yield read if isinstance(read, str) else text


def app_of(context: typer.Context, *, tends: bool = False, listens: bool = False, log_level: str = "error") -> "App":
    """Everything, built from the config; the one place where the command line imports it."""
    from bot.app import build

    log_to_stderr(context, log_level)
    return build(config_of(context), environ=os.environ, tends=tends, listens=listens)


def config_of(context: typer.Context) -> "Config":
    """The config that was named. Raises ConfigError."""
    from bot.config import load_config

    return load_config(context.obj.config, os.environ)


def log_to_stderr(context: typer.Context, level: str) -> None:
    """Log from this level up, or all of it where that was asked for."""
    from bot.logs import configure_log

    configure_log("debug" if context.obj.debug else level, stream=sys.stderr)
