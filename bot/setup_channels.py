"""How `robbie init` asks for a channel: where to click, what to paste, and whether the service accepts it; only then it is kept."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm, Prompt

from bot.app import make_doors
from bot.config import VARIABLE_PREFIX, Config, EmailConfig, MailServerConfig, load_config
from bot.domain.clock import SystemClock
from bot.domain.errors import RobbieError
from bot.domain.finding import Finding, Status
from storage.database import Database

EXAMINE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """What a channel needs: where to get it, the secrets (config key: variable and hint), how to find one's own id, and its shape."""

    where: str
    secrets: Mapping[str, tuple[str, str]]
    own_id: str
    id_shape: str


@dataclass(kw_only=True, slots=True)
class Answers:
    """What is to be kept of one channel: settings of its section, secrets by their variables, and the owner's own account there."""

    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    own_id: str = ""


_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
GUIDES = {channel: Guide(**guide) for channel, guide in _WORDS["guides"].items()}
PORTS = {"imap": {"tls": 993, "starttls": 143, "none": 143}, "smtp": {"tls": 465, "starttls": 587, "none": 25}}


class ChannelSetup:
    """Asks for one channel after the other. With `asks` False it takes what config and environment hold."""

    def __init__(self, *, config_file: Path, environ: Mapping[str, str], asks: bool, console: Console) -> None:
        self._file = config_file
        self._environ = environ
        self._asks = asks
        self._console = console

    async def run(self, config: Config) -> AsyncIterator[tuple[str, Answers]]:
        """What is to be kept, channel by channel: those alone that the service itself accepted."""
        for channel in self._wanted(config):
            if (answers := await self._one(channel, config)) is not None:
                yield channel, answers

    def _wanted(self, config: Config) -> list[str]:
        if not self._asks:
            has_all = {channel: all(self._held(config, channel, key) for key in guide.secrets) for channel, guide in GUIDES.items()}
            return [channel for channel, is_so in has_all.items() if is_so]
        asked = "\nOn which channels shall Robbie be? The web page and the terminal always work."
        self._console.print(f"{asked} There are: {', '.join(GUIDES)}")
        while True:
            named = self._read("Names, or Enter for none now", "").lower().replace(",", " ").split()
            if set(named) <= set(GUIDES):
                return [channel for channel in GUIDES if channel in named]
            self._console.print(f"There are: {', '.join(GUIDES)}")

    async def _one(self, channel: str, config: Config) -> Answers | None:
        guide = GUIDES[channel]
        if self._asks:
            self._console.print(f"\n[bold]{channel}[/]: {escape(guide.where)}")
        answers = Answers()
        while True:
            answers = self._ask(channel, guide, config, answers)
            findings = await self._try(channel, answers)
            for finding in findings:
                mark = {Status.OK: "[green]ok[/]", Status.WARN: "[yellow]warn[/]", Status.FAIL: "[red]fail[/]"}[finding.status]
                repair = f" → {finding.repair}" if finding.repair else ""
                self._console.print(f"{mark} {escape(finding.part)}: {escape(finding.detail + repair)}", soft_wrap=True)
            if all(finding.status is not Status.FAIL for finding in findings):
                return answers
            self._console.print(f"{channel}: nothing is saved for it")
            if not self._asks or not Confirm.ask("Try again?", default=True, console=self._console):
                return None

    def _ask(self, channel: str, guide: Guide, config: Config, before: Answers) -> Answers:
        """What is typed; *before* is what was typed last time, where that was not accepted."""
        answers = Answers(settings={"enabled": True})
        if channel == "email":
            self._ask_for_servers(answers, EmailConfig.model_validate(config.email.model_dump() | before.settings))
        for key, (variable, hint) in guide.secrets.items():
            held = self._held(config, channel, key)
            typed = ""
            if self._asks:
                keeps = "Enter keeps the present one" if held else "hidden while you paste"
                self._console.print(f"{escape(hint)} ({keeps})")
                typed = self._read(variable, "", is_secret=True)
            if typed or held:
                answers.secrets[variable] = typed or held
        if self._asks:
            self._console.print(f"{escape(guide.own_id)}. Enter leaves it for later: `/link` on the web page joins the account then.")
            while (own_id := self._read("Your own id there", "")) and not re.fullmatch(guide.id_shape, own_id):
                self._console.print(f"That is none. {escape(guide.own_id)}")
            answers.own_id = own_id
        return answers

    def _ask_for_servers(self, answers: Answers, email: EmailConfig) -> None:
        """The mailbox's address and servers; those of the large providers are known."""
        if not self._asks:
            return
        address = self._read("The mailbox's address", email.address)
        imap, smtp = _WORDS["mail"].get(address.rpartition("@")[2].lower(), ("", ""))
        answers.settings |= {
            "address": address,
            "imap": self._ask_for_server("imap", email.imap, imap, "tls"),
            "smtp": self._ask_for_server("smtp", email.smtp, smtp, "starttls"),
        }

    def _ask_for_server(self, kind: str, present: MailServerConfig | None, host: str, tls: str) -> dict[str, Any]:
        present = None if present and present.host.endswith("example.com") else present  # as the shipped file has it
        host = self._read(f"{kind.upper()} server", present.host if present else host)
        ways, tls = ["tls", "starttls", "none"], present.tls if present else tls
        chosen = Prompt.ask("How is the line secured?", choices=ways, default=tls, console=self._console)
        port = self._read("Port", str(present.port if present and present.tls == chosen else PORTS[kind][chosen]))
        return {"host": host, "port": int(port) if port.isdigit() else 0, "tls": chosen}

    def _read(self, question: str, default: str, *, is_secret: bool = False) -> str:
        return Prompt.ask(
            question, default=default, show_default=bool(default), password=is_secret and sys.stdin.isatty(), console=self._console
        ).strip()

    def _held(self, config: Config, channel: str, key: str) -> str:
        """The secret that config or environment hold by now."""
        secret = getattr(getattr(config, channel), key)
        return secret.get_secret_value() if secret is not None else ""

    async def _try(self, channel: str, answers: Answers) -> list[Finding]:
        """What the service itself says to these answers."""
        prefix = f"{VARIABLE_PREFIX}{channel.upper()}__"
        overrides = {prefix + key.upper(): _toml(value) for key, value in answers.settings.items()}
        try:
            config = load_config(self._file, {**self._environ, **answers.secrets, **overrides})
            only = config.model_copy(update={other: type(getattr(config, other))() for other in GUIDES if other != channel})
            async with Database(config.database.url, organization=config.robbie.organization) as database:
                (door,) = make_doors(only, database=database, clock=SystemClock())
                try:
                    async with asyncio.timeout(EXAMINE_SECONDS):
                        return list(await door.examine())
                finally:
                    await door.close()
        except (RobbieError, TimeoutError) as error:
            detail = str(error) or f"nothing came in {EXAMINE_SECONDS:.0f} s"
            return [Finding(part=channel, status=Status.FAIL, detail=detail)]


def _toml(value: Any) -> str:
    """A value as a variable spells it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
