"""Puts the pieces of tool calls together, as the vendors' streams bring them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.domain.errors import StreamBroken
from bot.domain.thought import ToolCall, ToolSpec


class CallPieces:
    """The calls of one stream. Some servers give every call the same place: another id there begins another one."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._calls: list[list[str]] = []  # id, name, arguments
        self._places: dict[int, list[str]] = {}

    def add(self, place: int, *, id: str | None = None, name: str | None = None, arguments: str | None = None) -> None:
        """A piece of the call at *place*."""
        call = self._places.get(place)
        if call is None or (id and call[0] and id != call[0]):
            call = self._places[place] = ["", "", ""]
            self._calls.append(call)
        call[:] = call[0] or id or "", call[1] or name or "", call[2] + (arguments or "")

    def whole(self) -> Iterator[ToolCall]:
        """The calls, now that the stream has ended. Raises StreamBroken where one is malformed, or was cut."""
        for id_, name, arguments in self._calls:
            yield whole_call(self._who, id=id_, name=name, arguments=arguments or "{}")


def whole_call(who: str, *, name: str, arguments: str, id: str = "") -> ToolCall:
    """A call with the name of a tool and the text of a JSON object; raises StreamBroken where it is no such thing."""
    try:
        if name and isinstance(json.loads(arguments), dict):
            return ToolCall(id=id, name=name, arguments=arguments)
    except (ValueError, RecursionError):
        pass
    raise StreamBroken(f"{who}: the call of a tool is malformed or cut")


def as_functions(tools: Sequence[ToolSpec]) -> list[Mapping[str, Any]]:
    """*tools* in the words that OpenAI's and Ollama's wires share."""
    return [
        {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}}
        for tool in tools
    ]
