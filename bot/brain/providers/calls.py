"""Puts the pieces of tool calls together, as the vendors' streams bring them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.errors import StreamBroken
from bot.domain.thought import ToolCall, ToolSpec


@dataclass(slots=True)
class _Piece:
    id: str = ""
    name: str = ""
    arguments: str = ""


class CallPieces:
    """The calls of one stream. Some servers give every call the same place: another id there begins another one."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._pieces: list[_Piece] = []
        self._places: dict[int, _Piece] = {}

    def add(self, place: int, *, id: str | None = None, name: str | None = None, arguments: str | None = None) -> None:
        """A piece of the call at *place*."""
        piece = self._places.get(place)
        if piece is None or (id and piece.id and id != piece.id):
            piece = self._places[place] = _Piece()
            self._pieces.append(piece)
        piece.id, piece.name, piece.arguments = piece.id or id or "", piece.name or name or "", piece.arguments + (arguments or "")

    def whole(self) -> Iterator[ToolCall]:
        """The calls, now that the stream has ended. Raises StreamBroken where one is malformed, or was cut."""
        for piece in self._pieces:
            yield whole_call(self._who, id=piece.id, name=piece.name, arguments=piece.arguments or "{}")


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
