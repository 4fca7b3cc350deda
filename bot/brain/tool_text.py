"""Tools for models that have none of their own: a protocol in plain text, and the memory of who needs it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from bot.domain.errors import StreamBroken, ToolsRefused
from bot.domain.ports import Provider
from bot.domain.thought import Delta, Finish, Line, Prompt, Role, ToolCall

log = structlog.get_logger(__name__)

OPEN, CLOSE = "<tool_call>", "</tool_call>"
UNREADABLE = "unreadable_call"
"""The name of a call that is no JSON object with a name and arguments."""
PROTOCOL = f"""To use a tool, answer with nothing but a block such as

{OPEN}{{"name": "the_tool", "arguments": {{"an_argument": "its value"}}}}{CLOSE}

Several blocks may follow one another. Write nothing behind the last: what the tools bring comes in the next message, and then you go on or
answer in plain words, without a block. Your tools, each with the JSON schema of its arguments:"""
_FRAME = re.compile(r"<(?=\s*/?\s*tool_(call|result))", re.IGNORECASE)


class ToolTalk:
    """Asks a model so that it can use tools: natively, or in text where it should, or has shown that it must."""

    def __init__(self) -> None:
        self._in_text: set[str] = set()

    async def stream(self, provider: Provider, prompt: Prompt, *, rung: str, is_native: bool) -> AsyncGenerator[Delta | ToolCall | Finish]:
        """As `Provider.stream`. Who refuses native tools is asked again at once, which is no failure, and is remembered."""
        if not prompt.tools or (is_native and rung not in self._in_text):
            try:
                async with aclosing(provider.stream(prompt)) as stream:
                    async for piece in stream:
                        if prompt.tools or not isinstance(piece, ToolCall):  # nobody calls what was not offered
                            yield piece
            except ToolsRefused as error:
                if not prompt.tools:
                    raise
                self._in_text.add(rung)
                log.info("level.tools_in_text", rung=rung, error=str(error))
            else:
                return
        async with aclosing(_heard(provider.stream(in_text(prompt)))) as stream:
            async for piece in stream:
                yield piece


def in_text(prompt: Prompt) -> Prompt:
    """*prompt* for a model that knows nothing of tools: specs, calls and results in words."""
    lines: list[Line] = []
    for line in prompt.lines:
        if line.result_of is None:
            blocks = "".join(f"{OPEN}{json.dumps({'name': call.name, 'arguments': call.values})}{CLOSE}" for call in line.calls)
            lines.append(replace(line, text="\n".join(filter(None, (line.text, blocks))), calls=()))
            continue
        said = f'<tool_result name="{line.result_of.name}">\n{_FRAME.sub("‹", line.text)}\n</tool_result>'
        if lines[-1].role is Role.USER:  # the results of one round are one message: vendors want the two to take turns
            said = f"{lines.pop().text}\n{said}"
        lines.append(Line(role=Role.USER, text=said))
    system = "\n".join((f"{prompt.system}\n\n{PROTOCOL}", *(f"- {tool.text}" for tool in prompt.tools)))
    return replace(prompt, system=system, lines=tuple(lines), tools=())


async def _heard(stream: AsyncGenerator[Delta | ToolCall | Finish]) -> AsyncGenerator[Delta | ToolCall | Finish]:
    """*stream* with its blocks as calls. What may become one is held back; what is said behind one is dropped, since it is made up."""
    held, has_called = "", False
    async with aclosing(stream):
        async for piece in stream:
            if isinstance(piece, Delta):
                held += piece.text
                while True:
                    place = held.find(OPEN)
                    plain = place if place >= 0 else len(held) - _beginning(held)
                    if plain and not has_called:
                        yield Delta(text=held[:plain])
                    held = held[plain:]
                    if place < 0 or (end := held.find(CLOSE)) < 0:
                        break
                    has_called = True
                    yield _call(held[len(OPEN) : end])
                    held = held[end + len(CLOSE) :]
                continue
            if isinstance(piece, Finish) and held.startswith(OPEN):  # many stop where the end mark should stand
                if piece.is_cut or (call := _call(held[len(OPEN) :])).name == UNREADABLE:
                    raise StreamBroken("broke off within the call of a tool")
                yield call
            elif isinstance(piece, Finish) and held and not has_called:
                yield Delta(text=held)
            yield piece


def _beginning(text: str) -> int:
    """How many characters at the end of *text* may be the beginning of a block."""
    return next((length for length in range(min(len(OPEN) - 1, len(text)), 0, -1) if text.endswith(OPEN[:length])), 0)


def _call(text: str) -> ToolCall:
    said = ToolCall(name="", arguments=re.sub(r"^\s*```\w*|```\s*$", "", text)).values
    name, arguments = said.get("name"), said.get("arguments", {})
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,64}", name):
        return ToolCall(name=UNREADABLE, arguments=json.dumps({"text": text[:500]}))
    return ToolCall(name=name, arguments=arguments if isinstance(arguments, str) else json.dumps(arguments))
