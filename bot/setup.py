"""`robbie init`: asks for what Robbie can use, tests each key before it is saved, and never shows a secret."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import tomlkit
from pydantic import SecretStr
from rich.console import Console
from rich.prompt import Confirm, Prompt

from bot.brain.catalog import known_models
from bot.brain.levels import make_rungs
from bot.config import LOCAL_FILE, SECRETS_FILE, Config, LevelConfig, load_config
from bot.domain.errors import ConfigError, CredentialsRejected, ProviderError
from bot.setup_channels import ChannelSetup

TEST_SECONDS = 15.0
KEYS = {
    "openai": "platform.openai.com → API keys → Create new secret key",
    "anthropic": "console.anthropic.com → Settings → API keys → Create key",
}
OFFERED = 12


class Setup:
    """Fills config.local.toml and data_dir/secrets.env. With `asks` False it takes what the environment holds."""

    def __init__(self, *, config_file: Path, environ: Mapping[str, str], asks: bool, console: Console | None = None) -> None:
        self._file = config_file
        self._environ = environ
        self._asks = asks
        self._console = console or Console(highlight=False)
        self._settings: dict[str, dict[str, Any]] = {}
        self._own_ids: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._sources: dict[str, str] = {}

    async def run(self) -> None:
        """Ask, test, save. Raises ConfigError where there is nothing to build on."""
        config = load_config(self._file, self._environ)
        self._sources = key_variables(self._file)
        self._ask_about_robbie(config)
        for level in config.brain.levels:
            if level.provider in KEYS:
                await self._ask_for_key(level)
        for level in config.brain.levels:
            if level.provider == "ollama" and level.nodes:
                await self._look_at_nodes(level, config)
        channels = ChannelSetup(config_file=self._file, environ=self._environ, asks=self._asks, console=self._console)
        try:
            async for channel, answers in channels.run(config):
                self._settings[channel] = answers.settings
                self._secrets |= answers.secrets
                if answers.own_id:
                    self._own_ids[channel] = answers.own_id
        finally:  # what was accepted is kept, also where whoever types leaves in the middle
            self._save(config)

    def _ask_about_robbie(self, config: Config) -> None:
        if not self._asks:
            return
        owner = Prompt.ask("Whom does Robbie work for?", default=config.robbie.owner, console=self._console)
        zone = Prompt.ask("In which time zone (IANA name)?", default=config.robbie.timezone, console=self._console)
        while zone not in available_timezones():
            zone = Prompt.ask(f"{zone} is not known; for example Europe/Berlin", default=config.robbie.timezone, console=self._console)
        self._settings["robbie"] = {"owner": owner, "timezone": str(ZoneInfo(zone))}

    async def _ask_for_key(self, level: LevelConfig) -> None:
        """One level's key, tested before it is kept; an empty answer leaves things as they are."""
        variable, where = self._sources.get(level.name, ""), KEYS[level.provider]
        if not variable:
            self._console.print(f'{level.name}: its key does not come from a variable (api_key = "env:NAME"); it is left alone')
            return
        while True:
            key = self._read_key(level, variable, where)
            if not key:
                self._console.print(f"{level.name}: no key; the level is skipped until there is one")
                return
            models, trouble = await _try(level, key)
            if not trouble:
                break
            self._console.print(f"{level.name}: {trouble}; nothing is saved for it")
            if not self._asks or not Confirm.ask("Try another key?", default=True, console=self._console):
                return
        in_environment = self._environ.get(variable, "").strip()
        if in_environment != key or not self._asks:
            self._secrets[variable] = key
        self._console.print(f"{level.name}: the key works")
        if self._asks and in_environment not in ("", key):
            self._console.print(f"{level.name}: but the environment holds another {variable}, and wins: unset it there")
        self._offer_models(level, models)

    def _read_key(self, level: LevelConfig, variable: str, where: str) -> str:
        present = level.api_key.get_secret_value() if level.api_key else ""
        if not self._asks:
            return present
        hint = "Enter keeps the present one" if present else "Enter skips it"
        self._console.print(f"\n{level.name} ({level.provider} {level.model}). To get a key: {where}")
        typed = Prompt.ask(f"{variable} ({hint})", password=sys.stdin.isatty(), default="", show_default=False, console=self._console)
        return typed.strip() or present

    def _offer_models(self, level: LevelConfig, models: Sequence[str]) -> None:
        """A model that the vendor does not serve is never kept without a word."""
        if not models or level.model in models:
            return
        current = [model for model in known_models(level.provider) if model in models] or list(models)
        self._console.print(f"{level.name}: {level.model} is not served to this key. Served now: {', '.join(current[:OFFERED])}")
        if self._asks:
            how: dict[str, Any] = {"choices": [*current, level.model], "default": current[0], "show_choices": False}
            self._models[level.name] = Prompt.ask("Which one shall it be?", **how, console=self._console)

    async def _look_at_nodes(self, level: LevelConfig, config: Config) -> None:
        for rung in make_rungs([level], config.mesh.nodes, self._environ):
            try:
                async with asyncio.timeout(TEST_SECONDS):
                    models = await rung.provider.models()
                has = rung.provider.model in models or f"{rung.provider.model}:latest" in models
                words = "is there" if has else f"has no {rung.provider.model}: `ollama pull {rung.provider.model}`"
            except (ProviderError, TimeoutError):
                words = "does not answer; the level waits until it does"
            finally:
                await rung.provider.close()
            self._console.print(f"{level.name}: the node {rung.node} {words}")

    def _save(self, config: Config) -> None:
        """Settings on top of those that were there, secrets likewise; both files appear whole or not at all."""
        local = self._file.absolute().with_name(LOCAL_FILE)
        if self._settings or self._models:
            owner = self._settings.get("robbie", {}).get("owner", config.robbie.owner)
            _write(local, self._merged(local, owner), mode=0o644)
            self._console.print(f"settings are in {local}")
        if self._secrets:
            secrets = config.robbie.data_dir / SECRETS_FILE
            _write(secrets, _with_secrets(secrets, self._secrets), mode=0o600)
            self._console.print(f"secrets are in {secrets}, which only you can read")
        load_config(self._file, self._environ)  # what was written must be what can be read
        self._console.print("Done. `robbie doctor` looks at everything, `robbie run` starts; a hub that runs already must be started anew.")

    def _merged(self, file: Path, owner: str) -> str:
        """The local file with what was answered in it; what a person wrote there stays, comments included."""
        document = tomlkit.parse(file.read_text("utf-8")) if file.exists() else tomlkit.document()
        for section, values in self._settings.items():
            table = document.setdefault(section, tomlkit.table())
            for key, value in values.items():
                table[key] = value
        if self._models:
            levels = document.setdefault("brain", tomlkit.table()).setdefault("levels", tomlkit.aot())
            for name, model in self._models.items():
                _entry(levels, name)["model"] = model
        if self._own_ids:
            people = document.setdefault("people", tomlkit.aot())
            me = _entry(people, owner)
            me["role"] = "owner"
            identities = me.setdefault("identities", tomlkit.array())
            for channel, own_id in self._own_ids.items():
                if {"platform": channel, "id": own_id} not in identities.unwrap():
                    identities.append(tomlkit.inline_table().append("platform", channel).append("id", own_id))
        return tomlkit.dumps(document)


def key_variables(file: Path) -> dict[str, str]:
    """The variable that each level's key comes from, by the level's name; a level whose key comes from elsewhere has none."""
    variables: dict[str, str] = {}
    for source in (file.absolute(), file.absolute().with_name(LOCAL_FILE)):
        levels = tomllib.loads(source.read_text("utf-8")).get("brain", {}).get("levels", []) if source.exists() else []
        for level in levels:
            key = str(level.get("api_key", ""))
            if key.startswith("env:"):
                variables[level["name"]] = key.removeprefix("env:").strip()
            elif key:
                variables.pop(level["name"], None)
    return variables


async def _try(level: LevelConfig, key: str) -> tuple[Sequence[str], str]:
    """Which models the vendor serves to this key, or why it was not accepted; to ask costs no tokens."""
    tested = level.model_copy(update={"api_key": SecretStr(key)})
    (rung,) = make_rungs([tested], (), {})
    try:
        async with asyncio.timeout(TEST_SECONDS):
            return await rung.provider.models(), ""
    except CredentialsRejected:
        return (), "the vendor does not accept this key"
    except (ProviderError, TimeoutError):
        return (), "the vendor cannot be reached to test it"
    finally:
        await rung.provider.close()


def _entry(entries: Any, name: str) -> Any:
    """The table of this name among *entries*, made if it is new."""
    entry = next((entry for entry in entries if entry.get("name") == name), None)
    if entry is None:
        entry = tomlkit.table().append("name", name)
        entries.append(entry)
    return entry


def _with_secrets(file: Path, secrets: Mapping[str, str]) -> str:
    """The secrets file with these in it, a KEY=value a line."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else ["# Written by `robbie init`. Keep this file to yourself."]
    kept = [line for line in lines if line.partition("=")[0].strip() not in secrets]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in secrets.items())]) + "\n"


def _write(file: Path, text: str, *, mode: int) -> None:
    """The file holds this text, all of it, or what it held before. Raises ConfigError."""
    scratch = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        scratch.replace(file)
    except OSError as error:
        repair = "look who owns the folder, at its rights and at the space that is left"
        raise ConfigError(f"cannot be written: {error.strerror}", file=file, repair=repair) from error
