"""Which models the vendors serve and which they are about to stop serving, as their installed SDKs tell it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# The SDKs' source is read, not imported: importing either takes two seconds and 60 MB, to look up a word.
_MODELS = {"openai": "types/shared/chat_model.py", "anthropic": "types/model.py"}
_ANTHROPIC_DEPRECATED = "resources/messages/messages.py"


def known_models(provider: str) -> tuple[str, ...]:
    """The models that *provider*'s SDK names and does not call deprecated; () where there is no such list."""
    return tuple(model for model in _named(provider) if model not in _deprecated(provider))


def deprecation(provider: str, model: str) -> str | None:
    """What is wrong with *model* by the SDK's list, as half a sentence for the operator; None where nothing is known against it."""
    if end := _deprecated(provider).get(model):
        return f"{provider} announced the end of {model} for {end}"
    if _named(provider) and model not in _named(provider) and not model.startswith("ft:"):
        return f"{model} is not among the models that the installed {provider} SDK names"
    return None


@cache
def _named(provider: str) -> tuple[str, ...]:
    """Every model the SDK names, deprecated ones included, in the vendor's order."""
    literals = re.findall(r"\bLiteral\[(.*?)\]", _source(provider, _MODELS[provider]), re.DOTALL) if provider in _MODELS else []
    return tuple(name for literal in literals for name in re.findall(r'"([^"]+)"', literal))


@cache
def _deprecated(provider: str) -> dict[str, str]:
    """Deprecated models and the announced day of their end, in the vendor's own writing."""
    if provider == "openai":
        return _openai_deprecated(_source(provider, _MODELS[provider]))
    told = _source(provider, _ANTHROPIC_DEPRECATED) if provider in _MODELS else ""
    table = re.search(r"^DEPRECATED_MODELS = (\{.*?^\})", told, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r'"([^"]+)": "([^"]+)"', table.group(1))) if table else {}


def _openai_deprecated(source: str) -> dict[str, str]:
    """OpenAI keeps its list in a docstring: items of quoted names, then a sentence with the day or without one."""
    _, _, told = source.partition("Deprecated values:")
    ends = {}
    for item in re.split(r"^- ", told, flags=re.MULTILINE)[1:]:
        day = re.search(r"\d{4}-\d{2}-\d{2}(?=\.)", item)
        for name in re.findall(r'"([^"]+)"', item):
            ends[name] = day.group() if day else "a day it does not tell"
    return ends


def _source(package: str, file: str) -> str:
    """The text of *file* in an installed *package*, "" where there is none."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return ""
    path = Path(spec.origin).parent / file
    return path.read_text(encoding="utf-8") if path.is_file() else ""
