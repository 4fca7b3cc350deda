"""What a model may have done while it answers: tools are offered, its calls run through the gate, their results told to it, in rounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from bot.brain.chain import FallbackChain, explain
from bot.brain.context import cleaned
from bot.brain.mcp_tools import McpTools
from bot.brain.reactive import one_line
from bot.brain.tool_text import UNREADABLE
from bot.config_values import nearest
from bot.domain.errand import OUTSIDE, Errand, Gate, Risk, Tool, seconds_of
from bot.domain.errors import AllLevelsFailed, NotAllowed, StorageUnavailable, ToolFailed
from bot.domain.ports import Listener
from bot.domain.thought import Attempt, Completion, Line, Prompt, Question, Recollection, Role, ToolCall, ToolSpec
from storage.database import Database

log = structlog.get_logger(__name__)

ROUNDS = 6
"""Times that a model is asked for one answer; the last time without tools, so that it does answer."""
CALLS = 12
LONGEST_RESULT = 4_000
LINES_LOOKED_AT = 100
"""Of the journal, newest first: what an earlier try of the same question did stands among them."""

DONE_BEFORE = "\n\n[You were interrupted at this. Already done for it, and not to be done again:\n{done}]"
ENOUGH = f"Not run: {CALLS} calls are the most for one question. Answer with what you have."
TOO_LATE = "Not run: the time for this answer is up."
TOOK_TOO_LONG = "It took longer than {seconds:.0f} s and was given up; whether it was done is not known. Say so, and do not try it again."
BROKE = "It failed, through no fault of yours. Say so, and do not try it again."
NOT_YOURS = "That is not allowed here. Say so."


class Toolbox:
    """All tools there are, and who may have which: strangers none; where others read along, none that knows anything personal."""

    def __init__(self, *, tools: Sequence[Tool], gate: Gate, database: Database, mcp: McpTools | None = None) -> None:
        self._tools = tools
        self._gate = gate
        self._database = database
        self._mcp = mcp

    async def open(self, question: Question, *, only_looks: bool = False) -> Kit:
        """The tools for this question, all of them or those that only look. Raises StorageUnavailable."""
        is_private = question.is_private
        own = self._tools if is_private and not question.writer else ()
        others: Sequence[Tool] = ()
        if self._mcp and not question.writer:
            others = await self._mcp.offered(is_owner=question.person.is_owner and is_private)
        taken = {tool.name for tool in self._tools}
        tools = [*own, *(tool for tool in others if tool.name not in taken)]
        tools = [tool for tool in tools if tool.risk is Risk.LOOK] if only_looks else tools
        return Kit(question=question, tools=tools, gate=self._gate, done=await self._done_before(question) if tools else ())

    async def _done_before(self, question: Question) -> Sequence[str]:
        """What an earlier try at this question did before its process died."""
        async with self._database.reading() as work:
            lines = await work.activities.latest(question.person.id, limit=LINES_LOOKED_AT)
        return [line.text for line in reversed(lines) if line.source_id == question.id and line.actor == "robbie"]


class Kit:
    """The tools of one answer. `used` are the names of those that ran, `deeds` what they came to that did more than look.

    `has_read`: text from outside is among what it is made of.
    """

    def __init__(self, *, question: Question, tools: Sequence[Tool] = (), gate: Gate | None = None, done: Sequence[str] = ()) -> None:
        self.specs = tuple(spec_of(tool) for tool in tools)
        self.used: list[str] = []
        self.deeds: list[str] = list(done)
        self._question = question
        self._tools = {tool.name: (tool, spec.parameters) for tool, spec in zip(tools, self.specs, strict=True)}
        self._gate = gate
        self._done = tuple(done)
        self._calls = 0
        self._results: dict[str, str] = {}
        self.has_read = bool(question.quoted or question.attachments)
        self._is_tainted = False

    @property
    def is_spent(self) -> bool:
        """Whether no more calls will be run."""
        return self._calls >= CALLS

    def into(self, prompt: Prompt) -> Prompt:
        """*prompt* with these tools, and what was done for the same question before; earlier answers may taint their acts."""
        self._is_tainted = prompt.is_untrusted
        if self._done:
            *earlier, asked = prompt.lines
            done = DONE_BEFORE.format(done="\n".join(f"- {deed}" for deed in self._done))
            prompt = replace(prompt, lines=(*earlier, replace(asked, text=asked.text + done)))
        return replace(prompt, tools=self.specs)

    async def run(self, calls: Sequence[ToolCall], *, left: Callable[[], float]) -> tuple[Line, ...]:
        """The lines that tell of *calls*, which are run one after the other while there are seconds *left*. Raises StorageUnavailable."""
        is_untrusted = self.has_read  # none of these was written after another's result was read
        lines = []
        for call in calls:
            self._calls += 1
            result = TOO_LATE if left() <= 0 else ENOUGH if self._calls > CALLS else await self._result(call, is_untrusted, left())
            self.has_read |= OUTSIDE in result
            if len(result) > LONGEST_RESULT:
                result = f"{result[:LONGEST_RESULT]}\n[cut here: {len(result) - LONGEST_RESULT} more characters]"
            lines.append(Line(role=Role.TOOL, text=cleaned(result) or "(nothing)", result_of=call))
        return tuple(lines)

    async def _result(self, call: ToolCall, is_untrusted: bool, seconds: float) -> str:
        """What came of a call, or what is wrong with it."""
        if call.name not in self._tools:
            return _no_such(call.name, tuple(self._tools))
        tool, schema = self._tools[call.name]
        wrong, arguments = _read(call, tool.arguments, schema)
        if arguments is None:
            return wrong
        canonical = json.dumps(arguments.model_dump(mode="json"), sort_keys=True)
        key = f"{self._question.id}/{tool.name}/{hashlib.sha256(canonical.encode(errors='replace')).hexdigest()[:16]}"
        if key in self._results:
            return f"Asked for before, and not done twice: {self._results[key]}"
        is_untrusted |= self._is_tainted and tool.risk > Risk.LOOK  # a new question may be looked up all the same
        self.used.append(tool.name)
        result, is_done = await self._run(tool, arguments, self._errand(key, is_untrusted), min(seconds_of(tool), seconds))
        if is_done and tool.risk > Risk.LOOK:
            self._results[key] = result
            self.deeds.append(one_line(result))
        return result

    async def _run(self, tool: Tool, arguments: BaseModel, errand: Errand, seconds: float) -> tuple[str, bool]:
        """What a tool says, and whether it did what it should; a tool that breaks or hangs breaks nothing else."""
        assert self._gate
        try:
            async with asyncio.timeout(seconds):
                return await self._gate.run(tool, arguments, errand), True
        except StorageUnavailable:
            raise
        except ToolFailed as error:
            return str(error), False
        except NotAllowed:
            return NOT_YOURS, False
        except TimeoutError:
            return TOOK_TOO_LONG.format(seconds=seconds), False
        except Exception:  # an edge that must survive: a tool may be anybody's
            log.exception("tool.bug", tool=tool.name)
            return BROKE, False

    def _errand(self, key: str, is_untrusted: bool) -> Errand:
        question = self._question
        return Errand(
            person=question.person,
            key=key,
            why=f"to answer “{one_line(question.text, 120)}”",
            actor="robbie",
            conversation_id=question.conversation_id,
            source_id=question.id,
            session_type=question.session_type,
            is_untrusted=is_untrusted,
        )


class Watch:
    """Passes a growing answer on, and knows whether anything was shown, and whether that is void by now."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._is_shown = False
        self._is_void = False

    async def token(self, text: str) -> None:
        """More text; it replaces what is void."""
        if self._is_void:
            await self.replace(text)
            return
        self._is_shown = True
        if self._listener is not None:
            await self._listener.token(text)

    async def replace(self, text: str) -> None:
        """Other text."""
        self._is_shown, self._is_void = True, False
        if self._listener is not None:
            await self._listener.replace(text)

    async def correct(self, text: str) -> None:
        """Void what was shown, if anything was."""
        if self._is_shown:
            await self.replace(text)

    def begin_again(self) -> None:
        """What was shown came before a call of tools, and is not the answer."""
        self._is_void = self._is_shown


async def answer_with(
    kit: Kit,
    prompt: Prompt,
    *,
    chain: FallbackChain,
    watch: Watch | None,
    question: Question,
    seconds: float,
    levels: Sequence[str] = (),
    monotonic: Callable[[], float] = time.monotonic,
) -> Completion:
    """The answer after as many rounds of tools as it wants, within *seconds* for all; its `attempts` are those of every round.

    A level that falls in a later round is followed by the next, which finds the results so far. Raises AllLevelsFailed, StorageUnavailable.
    """
    ends = monotonic() + seconds
    prompt, attempts, number, recalled = kit.into(prompt), list[Attempt](), 0, dict[Recollection, None]()
    try:
        while True:
            number += 1
            asked = replace(prompt, tools=()) if number == ROUNDS or kit.is_spent else prompt
            left = max(ends - monotonic(), 0.0)
            said = await chain.complete(asked, listener=watch, event_id=question.id, seconds=left, levels=levels)
            attempts += said.attempts
            recalled |= dict.fromkeys(said.recalled)  # what led to a call is behind its answer, too
            if not said.calls:
                used = f"; used {', '.join(dict.fromkeys(kit.used))}" if kit.used else ""
                return replace(said, attempts=tuple(attempts), why=explain(attempts) + used, recalled=tuple(recalled))
            if watch is not None:
                watch.begin_again()
            # Ids of our own: whatever one vendor makes, another may refuse (Mistral wants nine letters and digits).
            calls = [replace(_sound(call), id=f"call{number:02}{place:03}") for place, call in enumerate(said.calls)]
            results = await kit.run(calls, left=lambda: ends - monotonic())
            lines = (*prompt.lines, Line(role=Role.ASSISTANT, text=cleaned(said.text), calls=tuple(calls)), *results)
            prompt = replace(prompt, lines=lines)
    except AllLevelsFailed as failure:
        raise AllLevelsFailed((*attempts, *failure.attempts)) from failure
    except BaseException:  # nobody else will hear what the rounds before this one cost
        await chain.settle(attempts, question.id)
        raise


def _sound(call: ToolCall) -> ToolCall:
    """A call whose words any wire carries: models write halves of a character, too."""
    return replace(call, arguments=cleaned(json.dumps(call.values, ensure_ascii=False)))


def spec_of(tool: Tool) -> ToolSpec:
    """A tool as a model is told of it."""
    description, parameters = _told(tool.arguments, tool.description)
    return ToolSpec(name=tool.name, description=description, parameters=parameters)


@lru_cache(maxsize=256)  # to write the schemas anew took a fifth of every turn
def _told(arguments: type[BaseModel], description: str) -> tuple[str, Mapping[str, Any]]:
    schema = arguments.model_json_schema()
    parameters = _plain({**schema, "description": description}, schema.get("$defs", {}))
    return parameters.pop("description"), parameters


_KEPT = ("type", "description", "enum", "required", "minimum", "maximum", "format")


def _plain(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """A pydantic model's schema in the few words that every vendor understands: no references, no titles, no null."""
    if "$ref" in schema:
        schema = {**defs[schema["$ref"].rpartition("/")[2]], **schema}
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _plain({**{key: value for key, value in schema.items() if key != "anyOf"}, **choices[0]}, defs)
    plain = {key: schema[key] for key in _KEPT if key in schema}
    if choices:
        plain["anyOf"] = [_plain(choice, defs) for choice in choices]
    if "items" in schema:
        plain["items"] = _plain(schema["items"], defs)
    if plain.get("type") == "object":
        plain["properties"] = {name: _plain(inner, defs) for name, inner in schema.get("properties", {}).items()}
    return plain


def _no_such(name: str, known: Sequence[str]) -> str:
    if name == UNREADABLE:
        return 'That block could not be read. Write {"name": "…", "arguments": {…}} in it, as JSON, and nothing else.'
    near = nearest(name, known)
    return f"There is no tool {name[:64]}. " + (f"Did you mean {near}?" if near else f"There are: {', '.join(known) or 'none'}.")


def _read(call: ToolCall, model: type[BaseModel], schema: Mapping[str, Any]) -> tuple[str, BaseModel | None]:
    """The arguments of a call; where they are not right, one line that says how they would be. A null stands for what may be left out."""
    known, required = schema.get("properties", {}), schema.get("required", ())
    values = {name: value for name, value in call.values.items() if value is not None or name in required}
    faults = [
        f"there is no {name[:40]}" + (f" (did you mean {near}?)" if (near := nearest(name, known)) else "")
        for name in values
        if name not in known
    ]
    try:
        arguments = model.model_validate(values)
    except ValidationError as error:
        arguments = None
        for found in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in found["loc"])
            if found["type"] != "extra_forbidden":
                faults.append(f"{name} is missing" if found["type"] == "missing" else f"{name}: {found['msg']}".removeprefix(": "))
    if not faults and arguments is not None:
        return "", arguments
    form = ", ".join(f'"{name}": {_sort(inner)}' + ("" if name in required else " (optional)") for name, inner in known.items())
    return f"Not done, the arguments are wrong: {'; '.join(faults[:4])}. Right is {{{form}}}.", None


def _sort(schema: Mapping[str, Any]) -> str:
    """What a value should be, in a word or its choices."""
    return " | ".join(map(json.dumps, schema["enum"])) if "enum" in schema else str(schema.get("format", schema.get("type", "any")))
