"""Builds the chain's rungs from the config, and tells which levels cannot be asked, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.brain.call import Rung
from bot.brain.gguf import KNOWN, SMOLLM2, is_present, resolve
from bot.config import LevelConfig, NodeConfig
from bot.domain.ports import Provider

LOCAL_IDLE_SECONDS = 900.0
"""The embedded model gives its memory back after this long without a question."""
SMALLEST_CONTEXT = 1024
"""Tokens below which the standing words leave no room for a conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A level that cannot be asked as things stand (`is_skipped`), or that no failure leads to. `repair` tells the owner what to do."""

    level: str
    reason: str
    repair: str
    is_skipped: bool = False

    def __str__(self) -> str:
        return f"Level {self.level} {'is skipped' if self.is_skipped else 'is of no use'}: {self.reason}. Repair: {self.repair}."


def make_rungs(levels: Sequence[LevelConfig], nodes: Sequence[NodeConfig], environ: Mapping[str, str]) -> tuple[Rung, ...]:
    """One rung for each level that can be asked; for a level on several nodes, one for each node. Nothing is contacted."""
    urls = {node.name: node.url for node in nodes}
    return tuple(rung for level in levels if not _gap(level, urls) for rung in _rungs(level, urls, environ))


def find_gaps(levels: Sequence[LevelConfig], nodes: Sequence[NodeConfig], environ: Mapping[str, str] | None = None) -> tuple[Gap, ...]:
    """The levels that are skipped, and those that can never be reached behind the others; with *environ*, also those without a file."""
    urls = {node.name: node.url for node in nodes}
    skipped = [gap for level in levels if (gap := _gap(level, urls))]
    asked = [level for level in levels if not _gap(level, urls)]
    return (*skipped, *_never_reached(asked), *(_without_file(asked, environ) if environ is not None else ()))


def _rungs(level: LevelConfig, urls: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Rung]:
    for node in [name for name in level.nodes if name in urls] or [""]:
        url = urls.get(node, level.base_url)
        yield Rung(
            level=level.name,
            provider=_provider(level, url, environ),
            context=level.context,
            max_output_tokens=level.max_output_tokens,
            is_brief=level.provider == "local" and level.tools != "text",
            node=node,
            account=_account(level, url),
            tools=level.tools or ("none" if level.provider == "local" else "native"),
        )


def _account(level: LevelConfig, url: str) -> str:
    """A fingerprint of key and address: a level that was mended in the config is not held to what its former self did."""
    key = level.api_key.get_secret_value() if level.api_key else ""
    return hashlib.sha256(f"{key} {url}".encode()).hexdigest()[:8] if key or url else ""


def _provider(level: LevelConfig, url: str, environ: Mapping[str, str]) -> Provider:
    """The client of a level; each is imported only when a level needs it, since the vendors' SDKs are heavy."""
    key = level.api_key.get_secret_value() if level.api_key else ""
    match level.provider:
        case "openai":
            from bot.brain.providers.openai import OpenAIProvider

            return OpenAIProvider(model=level.model, api_key=key, base_url=level.base_url)
        case "anthropic":
            from bot.brain.providers.anthropic import AnthropicProvider

            return AnthropicProvider(model=level.model, api_key=key, base_url=level.base_url)
        case "ollama":
            from bot.brain.providers.ollama import OllamaProvider

            return OllamaProvider(model=level.model, url=url, context=level.context)
        case "local":
            from bot.brain.providers.local import LocalProvider

            path = resolve(level.model, environ)
            return LocalProvider(path=path, model=level.model, context=level.context, idle_seconds=LOCAL_IDLE_SECONDS)


def _gap(level: LevelConfig, urls: Mapping[str, str]) -> Gap | None:
    """Why a level is skipped."""
    if level.provider in ("openai", "anthropic") and not level.api_key:
        variable = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}[level.provider]
        repair = f"`robbie init`, or set what its api_key names, such as {variable}"
        return Gap(level=level.name, reason="it has no key", repair=repair, is_skipped=True)
    if level.provider == "ollama" and not level.base_url and not any(name in urls for name in level.nodes):
        named = ", ".join(level.nodes) or "no node"
        reason = f"it runs on {named}, not in [[mesh.nodes]]"
        return Gap(level=level.name, reason=reason, repair="add the node, or remove the level", is_skipped=True)
    return None


def _without_file(levels: Sequence[LevelConfig], environ: Mapping[str, str]) -> Iterator[Gap]:
    """Levels of models in files that are not there, or are no models."""
    for level in levels:
        if level.provider == "local" and not is_present(resolve(level.model, environ)):
            repair = "`robbie model fetch`" if level.model in KNOWN else f"correct the path, or write model = {SMOLLM2.name!r}"
            yield Gap(level=level.name, reason=f"there is no model file {level.model}", repair=repair)


def _never_reached(levels: Sequence[LevelConfig]) -> Iterator[Gap]:
    """Levels that no failure would lead to: the same model twice, no room to say anything, or all behind one that runs inside Robbie."""
    seen: dict[tuple[object, ...], str] = {}
    embedded = ""
    for level in levels:
        what = (level.provider, level.model, level.base_url, level.nodes, level.api_key)
        if what in seen:
            yield Gap(level=level.name, reason=f"it asks the same model as {seen[what]}", repair="remove one of the two")
        elif level.context < SMALLEST_CONTEXT:
            yield Gap(level=level.name, reason=f"a context of {level.context} leaves no room", repair=f"at least {SMALLEST_CONTEXT}")
        elif embedded:
            repair = "move the embedded level to the end"
            yield Gap(level=level.name, reason=f"{embedded}, which needs no network, answers before it", repair=repair)
        seen.setdefault(what, level.name)
        if level.provider == "local":
            embedded = level.name
