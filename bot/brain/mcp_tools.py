"""Tools of MCP servers that the owner adds: each server in a task of its own, so that whatever it does, it harms nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, create_model

from bot.brain.reactive import one_line
from bot.config import McpConfig
from bot.domain.errand import Errand, Risk, Tool, from_outside
from bot.domain.errors import ConfigError, NotAllowed, ToolFailed
from bot.domain.finding import Finding, Status

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as Told

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
"""How long the question waits that has a server begun; it goes on without its tools, and a later one finds them."""
REST_SECONDS = 30.0
"""Before a server that fell is begun anew."""
LONGEST_LINE = 2**20
MOST_UNASKED = 4 * 2**20
"""Bytes that a server may send between two calls; one that sends more floods, and is ended."""
LONGEST_ANSWER = 3_600
MOST_ARGUMENTS = 24
MOST_PAGES = 5

_TYPES: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list[Any], "object": dict[str, Any]}


class McpTools:
    """The tools of all servers that config names. Nothing is started before they are first wanted."""

    def __init__(self, servers: Sequence[McpConfig]) -> None:
        if servers and find_spec("mcp") is None:
            raise ConfigError("MCP is not installed", key="tools.mcp", repair="pip install 'robbie[mcp]', or remove the servers")
        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs what servers send
        self._configs = servers
        self._servers = [_Server(config) for config in servers]

    async def offered(self, *, is_owner: bool) -> Sequence[Tool]:
        """What may be used now: all for the owner in private, elsewhere only what is meant for everyone."""
        servers = [server for server in self._servers if is_owner or server.config.everyone]
        await asyncio.gather(*(server.begin(PATIENCE_SECONDS) for server in servers))
        return [tool for server in servers for tool in server.tools]

    async def find(self, name: str) -> Tool | None:
        """The owner's tool of this name, if it can be had now."""
        return next((tool for tool in await self.offered(is_owner=True) if tool.name == name), None)

    def kinds(self) -> Mapping[str, Risk]:
        """What the ladder knows the allowed tools by."""
        return {f"mcp.{config.name}.{name}": _risk(config, name) for config in self._configs for name in config.allow}

    async def examine(self) -> Sequence[Finding]:
        """What each server offers, or what is wrong with it."""
        await asyncio.gather(*(server.begin(2 * server.config.seconds) for server in self._servers))
        return [server.finding() for server in self._servers]

    async def close(self) -> None:
        """End all servers."""
        await asyncio.gather(*(server.close() for server in self._servers))


class McpTool:
    """One tool of one server, under a name that begins with the server's. Asked twice it may do it twice: that is the gate's to prevent."""

    is_repeatable = False

    def __init__(self, server: _Server, told: Told) -> None:
        config = server.config
        self.name = re.sub(r"\W", "_", f"{config.name}_{told.name}", flags=re.ASCII)[:64]
        self.description = f"{config.name}, another's tool, says of it: “{_inert(told.description or told.name, 200)}”"
        self.kind, self.risk = f"mcp.{config.name}.{told.name}", _risk(config, told.name)
        self.arguments = _model_of(told.input_schema)
        self.its_name = told.name
        self._server = server

    async def run(self, arguments: BaseModel, errand: Errand) -> str:
        """Have the server do it. Raises ToolFailed, NotAllowed."""
        if not (errand.person.is_owner or self._server.config.everyone):
            raise NotAllowed(self.name)
        return await self._server.call(self.its_name, arguments.model_dump(mode="json", exclude_none=True))


class _Server:
    """A connection that is begun when it is wanted, and anew after a rest when it fell; `tools` are offered while it stands."""

    def __init__(self, config: McpConfig) -> None:
        self.config = config
        self.tools: tuple[McpTool, ...] = ()
        self._trouble = ""
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self._over = asyncio.Event()
        self._rests_until = 0.0
        self._heard = 0

    async def begin(self, seconds: float) -> None:
        """See that it is connected or on its way there; whoever begins it waits for it, for so long at most."""
        if (self._task and not self._task.done()) or time.monotonic() < self._rests_until:
            return
        self._known, self._over = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._live(), name=f"mcp {self.config.name}")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), seconds)

    async def close(self) -> None:
        """End it; returns when it is gone."""
        is_connecting = not self._known.is_set()
        self._end()
        if self._task:
            if is_connecting:  # else it is parting by itself, in bounded time
                self._task.cancel()
            await asyncio.wait([self._task], timeout=2 * PATIENCE_SECONDS)

    def finding(self) -> Finding:
        """How it is."""
        missing = set(self.config.allow) - {tool.its_name for tool in self.tools}
        detail, repair = f"offers {', '.join(tool.name for tool in self.tools)}", ""
        if self._client is None:
            detail, repair = f"does not answer: {self._trouble or 'nothing came'}", "check its command or url under [[tools.mcp]]"
        elif missing:
            detail, repair = f"does not offer {', '.join(sorted(missing))}", "correct `allow`, or see that its arguments are plain"
        return Finding(part=f"mcp {self.config.name}", status=Status.WARN if repair else Status.OK, detail=detail, repair=repair)

    async def call(self, name: str, values: Mapping[str, Any]) -> str:
        """What it answers, as material from outside. Raises ToolFailed. Who does not answer in time, or not sensibly, is ended."""
        import anyio
        import mcp_types
        from mcp.shared.exceptions import MCPError

        if self._client is None:
            raise ToolFailed(f"{self.config.name} cannot be reached just now. Say so.")
        self._heard, is_well = 0, False
        request = mcp_types.CallToolRequest(params=mcp_types.CallToolRequestParams(name=name, arguments=dict(values)))
        try:
            async with asyncio.timeout(self.config.seconds):
                # Not by call_tool: that would check the answer by a schema of the server's making, at its price.
                result = await self._client.session.send_request(request, mcp_types.CallToolResult)
            is_well = True
        except MCPError as error:
            is_well = error.code in (mcp_types.INVALID_PARAMS, mcp_types.INTERNAL_ERROR)  # else the connection, or its session, is lost
            raise ToolFailed(f"{self.config.name} did not do it: {from_outside(_inert(str(error), 300))}") from error
        except (ValueError, RuntimeError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            log.warning("mcp.failed", server=self.config.name, tool=name, error=_cause(error))
            raise ToolFailed(f"{self.config.name} gave no sensible answer; whether it did it is not known. Say so.") from error
        finally:
            if not is_well:
                self._end()
        said = from_outside(_text_of(result))
        if result.is_error:
            raise ToolFailed(f"{self.config.name} did not do it: {said}")
        return said

    async def _live(self) -> None:
        """Connect, learn what it offers, and stay until that is over; an edge that must survive anything."""
        try:
            async with asyncio.timeout(3 * self.config.seconds) as bound, self._connection() as client:
                self.tools = await self._offers(client)
                self._client, self._trouble = client, ""
                bound.reschedule(None)
                self._known.set()
                await self._over.wait()
                bound.reschedule(asyncio.get_running_loop().time() + PATIENCE_SECONDS)  # for parting
        except Exception as error:  # noqa: BLE001  whatever a server does, it ends here
            self._trouble = f"nothing came in {3 * self.config.seconds:.0f} s" if isinstance(error, TimeoutError) else _cause(error)
            log.warning("mcp.fell", server=self.config.name, error=self._trouble)
        finally:
            self._end()
            self._rests_until = time.monotonic() + REST_SECONDS
            self._known.set()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        config = self.config
        async with AsyncExitStack() as stack:
            if config.url:
                headers = {"Authorization": f"Bearer {config.token.get_secret_value()}"} if config.token else None
                timeout = httpx2.Timeout(config.seconds, read=300)
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
                transport = streamable_http_client(config.url, http_client=http)
            else:
                transport = _pipes(config, self._is_bearable, self._end)
            yield await stack.enter_async_context(Client(transport, cache=None, read_timeout_seconds=config.seconds))

    async def _offers(self, client: Client) -> tuple[McpTool, ...]:
        """The tools that the owner allows, of those that it lists; one whose arguments cannot be told to a model is left out."""
        tools: dict[str, McpTool] = {}
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            for told in page.tools:
                if told.name in self.config.allow:
                    with suppress(ValueError, TypeError):
                        tool = McpTool(self, told)
                        tools.setdefault(tool.name, tool)
            if (cursor := page.next_cursor) is None:
                break
        return tuple(tools.values())

    def _end(self) -> None:
        """Offer nothing more, and let the connection go."""
        self._client, self.tools = None, ()
        self._over.set()

    def _is_bearable(self, line: bytes) -> bool:
        """Whether it may go on, having sent another line."""
        self._heard += len(line)
        return self._heard <= MOST_UNASKED


@asynccontextmanager
async def _pipes(config: McpConfig, is_bearable: Callable[[bytes], bool], fell: Callable[[], None]) -> AsyncIterator[Any]:
    """A server's process, spoken to by its standard input and output. The SDK's own has no bound on what a server may send."""
    import anyio
    from mcp.client.stdio import get_default_environment
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    own = {name: secret.get_secret_value() for name, secret in config.env.items() if secret}
    environ = get_default_environment() | own  # PATH and its like: nothing of Robbie's
    process = await asyncio.create_subprocess_exec(
        config.command, *config.args, stdin=pipe, stdout=pipe, stderr=quiet, env=environ, limit=LONGEST_LINE, start_new_session=True
    )
    heard, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, said = anyio.create_memory_object_stream[SessionMessage](0)

    async def hear() -> None:
        assert process.stdout
        async with heard:
            with suppress(ValueError, anyio.BrokenResourceError):  # ValueError: a line that is too long
                while (line := await process.stdout.readline()) and is_bearable(line):
                    with suppress(ValueError):  # some print other things than messages
                        await heard.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
        fell()

    async def speak() -> None:
        assert process.stdin
        with suppress(OSError):
            async for message in said:
                process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()

    try:
        async with read, write, said, anyio.create_task_group() as group:
            group.start_soon(hear)
            group.start_soon(speak)
            yield read, write
            group.cancel_scope.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
        with suppress(TimeoutError):  # shielded: who is called off must still bury it
            await asyncio.shield(asyncio.ensure_future(asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)))


def _risk(config: McpConfig, name: str) -> Risk:
    return Risk.LOOK if name in config.safe else Risk.OUTWARD


def _model_of(schema: Mapping[str, Any]) -> type[BaseModel]:
    """A model of the arguments that a server's schema describes, in plain types. Raises ValueError where they cannot be told."""
    told = schema.get("properties")
    required, properties = schema.get("required") or (), told if isinstance(told, Mapping) else {}
    is_plain = all(re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII) for name in properties)  # what vendors take: else they refuse all there is
    if len(properties) > MOST_ARGUMENTS or not is_plain or any(name not in properties for name in required):
        raise ValueError("its arguments cannot be told")
    fields: dict[str, Any] = {}
    for place, (name, said) in enumerate(properties.items()):
        inner = said if isinstance(said, Mapping) else {}
        kind, about = _type_of(inner), _inert(str(inner.get("description") or ""), 80) or None
        must = name in required
        fields[f"a{place}"] = kind if must else kind | None, Field(... if must else None, alias=name, description=about)
    return create_model("Arguments", __config__=ConfigDict(extra="forbid", serialize_by_alias=True), **fields)


def _type_of(schema: Mapping[str, Any]) -> Any:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(each, str) and len(each) <= 64 for each in choices[:MOST_ARGUMENTS]):
        return Literal[tuple(choices[:MOST_ARGUMENTS])]
    kind = schema.get("type")
    return _TYPES.get(kind, Any) if isinstance(kind, str) else Any


def _text_of(result: CallToolResult) -> str:
    """The words of an answer; of what is no text, its sort."""
    parts = [block.text if block.type == "text" else f"[{block.type}, not shown]" for block in result.content]
    text = "\n".join(parts) or ("" if result.structured_content is None else json.dumps(result.structured_content, ensure_ascii=False))
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}\n[cut here: {len(text) - LONGEST_ANSWER} more characters]"


def _inert(text: str, length: int) -> str:
    """Somebody else's words in one line, short, without what could end the frame that they stand in."""
    return one_line(re.sub(r"[<>“”{}]", "'", text), length) if text.strip() else ""


def _cause(error: BaseException) -> str:
    """What lies at the bottom of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return _inert(f"{type(error).__name__}: {error}", 200)
