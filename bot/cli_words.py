"""What all commands share: their options, how one is run, and how what came of it is told."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

if TYPE_CHECKING:
    from bot import commands
    from bot.app import App
    from bot.config import Config

    Doing = Coroutine[Any, Any, commands.Told]
else:

    class _Late:
        """Imports what it stands for when something of it is first wanted, so that `--help` is quick."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("bot.commands"), name)

    commands = _Late()

__all__ = ["As", "Json", "Options", "app_of", "commands", "config_of", "group_of", "log_to_stderr", "say", "tell"]

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="PERSON", help="As this person; the owner by default.")]
P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was said before the command."""

    config: Path
    debug: bool


def group_of(help: str, **how: Any) -> typer.Typer:
    """A group of commands, which teaches where none is named."""
    return typer.Typer(help=help, rich_markup_mode=None, **{"no_args_is_help": True} | how)


def tell(context: typer.Context, as_json: bool, act: Callable[Concatenate[App, P], Doing], *of: P.args, **how: P.kwargs) -> None:
    """Have it done, and say what came of it."""
    text, told = asyncio.run(act(app_of(context), *of, **how))
    say(told if as_json else text)


def say(what: object) -> None:
    """To stdout: a text as it is, anything else as JSON, in ASCII, so that no text can break it."""
    print(what if isinstance(what, str) else json.dumps(what, default=str))


def app_of(context: typer.Context, *, tends: bool = False, listens: bool = False, log_level: str = "error") -> App:
    """Everything, built from the config; the one place where the command line imports it."""
    from bot.app import build

    log_to_stderr(context, log_level)
    return build(config_of(context), environ=os.environ, tends=tends, listens=listens)


def config_of(context: typer.Context) -> Config:
    """The config that was named. Raises ConfigError."""
    from bot.config import load_config

    return load_config(context.obj.config, os.environ)


def log_to_stderr(context: typer.Context, level: str) -> None:
    """Log from this level up, or all of it where that was asked for."""
    from bot.logs import configure_log

    configure_log("debug" if context.obj.debug else level, stream=sys.stderr)
