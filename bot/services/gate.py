"""The gate through which every action passes: it is done, done and told, or proposed, as the ladder says; each once for its errand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.brain.reactive import one_line
from bot.domain.clock import Clock
from bot.domain.errand import Errand, Risk, Tool, is_repeatable
from bot.domain.errors import ToolFailed
from bot.services.approvals import errand_of, propose
from bot.services.autonomy import Autonomy, Verdict
from bot.services.journal import record
from bot.services.notices import tell
from storage.database import Database
from storage.models.decisions import Proposal, ProposalState

TOOL = "tool"
"""The kind of proposal that runs a tool."""
LONGEST_SHOWN = 3000
"""Characters of one argument: whoever decides must see all that would be done, or that there is more."""
NOBODY_KNOWS = "That was begun before, and I cannot tell whether it happened. Please look, before it is asked for again."


class LadderGate:
    """Decides by the ladder; `find_tool` gives the tool of a name, for what was approved."""

    def __init__(self, *, database: Database, clock: Clock, autonomy: Autonomy, find_tool: Callable[[str], Awaitable[Tool | None]]) -> None:
        self._database = database
        self._clock = clock
        self._autonomy = autonomy
        self._find_tool = find_tool

    async def run(self, tool: Tool, arguments: BaseModel, errand: Errand) -> str:
        """Have it done or proposed; what came of it, for whoever asked. Raises what the tool raises."""
        # what looks elsewhere carries words out of the house: where a text from outside may have chosen them, that is more than looking
        least = Risk.SHARED if errand.is_untrusted and not is_repeatable(tool) else Risk.LOOK
        verdict = await self._autonomy.verdict(tool.kind, max(tool.risk, least), errand)
        if verdict is Verdict.ASK:
            return await self._propose(tool, arguments, errand)
        done = await self._perform(tool, arguments, errand)
        if verdict is Verdict.TELL:
            await self._tell(errand, done)
        return done

    async def carry_out(self, proposal: Proposal) -> str:
        """The doer of approved tools. Raises ToolFailed, NotAllowed, StorageUnavailable, and whatever a tool may."""
        async with self._database.reading() as work:
            errand = await errand_of(work, proposal)
        if (tool := await self._find_tool(proposal.details["tool"])) is None:
            raise ToolFailed("The tool for that is gone, so it was not done.")
        try:
            arguments = tool.arguments.model_validate(proposal.details["arguments"])
        except ValidationError:
            raise ToolFailed("The tool for that has changed since, so it was not done. Ask me again, please.") from None
        return await self._perform(tool, arguments, errand)

    async def _perform(self, tool: Tool, arguments: BaseModel, errand: Errand) -> str:
        """Do it. Ours write their line of the journal in the act itself; a tool elsewhere has its own before, which lets it by once."""
        if not is_repeatable(tool) and tool.risk is not Risk.LOOK:
            text = f"{_spoken(tool)}: {', '.join(f'{name} {value}' for name, value in _fields(arguments))}"
            async with self._database.unit_of_work() as work:
                if not await record(work, errand, tool.kind, text[:LONGEST_SHOWN], now=self._clock.now()):
                    raise ToolFailed(NOBODY_KNOWS)
        return await tool.run(arguments, errand)

    async def _tell(self, errand: Errand, done: str) -> None:
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            if await work.job_runs.mark("told", errand.key, now):
                await tell(work, errand.person.id, f"I did this by myself ({errand.why}):\n\n{done}\n\n`/journal` tells more.", now=now)

    async def _propose(self, tool: Tool, arguments: BaseModel, errand: Errand) -> str:
        now, lines = self._clock.now(), [f"> {name}: {value}" for name, value in _fields(arguments)]
        doubt = ["*A text from outside may have asked for this.*"] if errand.is_untrusted else []
        about = "\n\n".join(["\n".join(lines), *doubt, f"Why: {errand.why}. Shall I?"])
        details = {"tool": tool.name, "arguments": arguments.model_dump(mode="json")}
        what: dict[str, Any] = {"kind": TOOL, "action": tool.kind, "risk": tool.risk, "title": _spoken(tool).capitalize()}
        async with self._database.unit_of_work() as work:
            proposal = await propose(work, errand, **what, about=about, details=details, now=now)
        return _answer(proposal, errand)


def _answer(proposal: Proposal, errand: Errand) -> str:
    """What a model is told about what was not done."""
    if proposal.state == ProposalState.WAITING:
        name = errand.person.name
        return f"Not done yet: it waits for {name}'s yes, who was asked under {proposal.code}. Say so; do not ask for it again."
    if proposal.state == ProposalState.APPROVED:
        return "That was approved, and is being done."
    return f"That was proposed before, and is {proposal.state}. It was not done again."


def _spoken(tool: Tool) -> str:
    return tool.name.replace("_", " ")


def _fields(arguments: BaseModel) -> list[tuple[str, str]]:
    """What was given, each in one line: nothing in it can pretend to be more."""
    given: dict[str, Any] = arguments.model_dump(mode="json", exclude_none=True)
    return [(name.replace("_", " "), one_line(str(value), LONGEST_SHOWN)) for name, value in given.items() if value not in ("", [])]
