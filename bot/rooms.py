"""Furnishes the rooms that people's affairs are kept in: services, their commands, tools and timed work, over one brain and database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bot.brain.budget import Budget
from bot.brain.call import Rung
from bot.brain.cells import learn_cell
from bot.brain.chain import FallbackChain
from bot.brain.embedders import make_embedder
from bot.brain.health import HealthBoard
from bot.brain.mcp_tools import McpTools
from bot.brain.memory import Recall
from bot.brain.mesh import Mesh
from bot.brain.pricing import Prices, Rate
from bot.brain.providers.local import LocalProvider
from bot.brain.reactive import Reactive
from bot.brain.reflexes import Reflexes
from bot.brain.tools import Toolbox
from bot.brain.wire_embedding import LEVEL
from bot.briefs.composer import Composer
from bot.briefs.delivery import Delivery
from bot.briefs.sources import AnswersOwed, DecisionsWaiting, HowIAm, WhatHappened
from bot.config import Config
from bot.domain.clock import Clock
from bot.domain.errand import Gate, Tool
from bot.domain.memory import Embedder
from bot.domain.message import OutgoingKind
from bot.domain.ports import Round
from bot.hub.autonomy_commands import AutonomyCommands
from bot.hub.brief_commands import BriefCommands
from bot.hub.commands import Commands
from bot.hub.errands import Errands, plain
from bot.hub.follow_up_commands import FollowUpCommands
from bot.hub.manner_commands import MannerCommands
from bot.hub.memory_commands import MemoryCommands
from bot.hub.owner import name_myself
from bot.hub.pairing import Pairing
from bot.hub.past import Past
from bot.hub.why_commands import WhyCommands
from bot.learning.ageing import Ageing
from bot.learning.forecasts import Forecasts
from bot.learning.indexing import Indexing
from bot.learning.realtime import Learning
from bot.learning.reflexes import ReflexLearning
from bot.learning.signals import Aftermath
from bot.services.affair_news import AffairNews
from bot.services.affair_tools import affair_tools
from bot.services.approvals import Approvals, Runner
from bot.services.autonomy import Autonomy
from bot.services.books import Books
from bot.services.follow_ups import FollowUps
from bot.services.forgetting import Forgetful
from bot.services.gate import TOOL, LadderGate
from bot.services.journal import Journal
from bot.services.lessons import SUGGESTION, Lessons, run_suggestion
from bot.services.manners import SETTING, Manners, run_setting
from bot.services.note_news import NoteNews
from bot.services.note_reading import NoteReading
from bot.services.outreach import OUTWARD_KINDS, Outreach, WriteMail
from bot.services.promises import Promises, PromiseTask
from bot.services.reminders import Reminders
from bot.services.suggestions import Suggestions
from storage.database import Database


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """What is thought with: the rungs, how well they are, what they cost."""

    config: Config
    database: Database
    clock: Clock
    rungs: Sequence[Rung]
    health: HealthBoard
    mesh: Mesh

    @cached_property
    def prices(self) -> Prices:
        """The list, and the prices that config gives its levels."""
        named = [(level.name, level.usd_per_million) for level in self.config.brain.levels]
        own = {name: Rate(input=price.input, output=price.output) for name, price in named if price is not None}
        if (usd := self.config.memory.usd_per_million) is not None:
            own[LEVEL] = Rate(input=usd, output=0.0)
        return replace(Prices.load(), own=own)

    @property
    def worth_asking(self) -> Sequence[Rung]:
        """The rungs that can word what nobody waits for: the embedded model is too small."""
        return [rung for rung in self.rungs if rung.provider.provider != "local"]

    @property
    def budget(self) -> Budget:
        """The day's allowance."""
        daily, zone = self.config.brain.daily_usd, self.config.robbie.timezone
        return Budget(database=self.database, pricing=self.prices, daily_usd=daily, timezone=zone, clock=self.clock)

    def chain(self, rungs: Sequence[Rung] | None = None) -> FallbackChain:
        """The levels in order (or these of them), within the bounds and the allowance that config sets."""
        brain = self.config.brain
        return FallbackChain(
            rungs=self.rungs if rungs is None else rungs,
            health=self.health,
            budget=self.budget,
            turn_seconds=brain.turn_seconds,
            hedge_seconds=brain.hedge_seconds,
            stall_seconds=brain.stall_seconds,
            mesh=self.mesh,
        )

    @cached_property
    def embedder(self) -> Embedder | None:
        """What finds by meaning; None where words alone are to do."""
        return make_embedder(self.config.memory, self.budget)

    @cached_property
    def recall(self) -> Recall:
        """What finds what was said."""
        return Recall(database=self.database, embedder=self.embedder)

    async def warm(self, level: str) -> None:
        """Have a level's model in memory, where that is not a vendor's affair: on the node that would be asked."""
        for rung in self.mesh.arrange([rung for rung in self.rungs if rung.level == level])[:1]:
            if isinstance(rung.provider, LocalProvider):
                await rung.provider.warm()
            elif rung.node:
                await self.mesh.preload(rung)


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """What serves people, and what of it is done by the clock (`rounds`)."""

    pairing: Pairing
    approvals: Approvals
    journal: Journal
    manners: Manners
    manner_commands: MannerCommands
    briefs: Delivery
    commands: Commands
    toolbox: Toolbox
    gate: Gate
    mcp: McpTools
    reflexes: Reflexes
    learning: Learning
    recall: Recall
    indexing: Indexing
    forgetful: Forgetful
    rounds: Sequence[Round]


def furnish(
    thinking: Thinking,
    *,
    chain: FallbackChain,
    reactive: Reactive,
    reflexes: Reflexes,
    tools: Sequence[Tool],
    mailbox: str,
    off: Sequence[str],
    troubles: Callable[[str], Sequence[str]],
) -> Rooms:
    """Every room, each given what it needs. `mailbox` is the address outreach is sent from, empty where none is; `off` names the channels
    that config switches off, `troubles` those that are not well.
    """
    config, database, clock, owner = thinking.config, thinking.database, thinking.clock, thinking.config.robbie.owner
    books = Books.over(database, clock)
    mcp, at_hand = McpTools(config.tools.mcp), {tool.name: tool for tool in (*affair_tools(books), *tools)}
    promised = PromiseTask(database=database, tasks=books.task)

    async def find_tool(name: str) -> Tool | None:
        return promised if name == promised.name else at_hand.get(name) or await mcp.find(name)

    autonomy = Autonomy(
        database=database,
        clock=clock,
        level=config.autonomy.level,
        overrides=config.autonomy.overrides,
        kinds=lambda: {**mcp.kinds(), **{tool.kind: tool.risk for tool in at_hand.values()}, **OUTWARD_KINDS, promised.kind: promised.risk},
    )
    gate = LadderGate(database=database, clock=clock, autonomy=autonomy, find_tool=find_tool)
    outreach = Outreach(database=database, chain=chain, autonomy=autonomy, address=mailbox, owner=owner, clock=clock)
    at_hand[WriteMail.name] = WriteMail(outreach)
    runners: dict[str, Runner] = {SUGGESTION: run_suggestion, SETTING: run_setting, OutgoingKind.OUTREACH: outreach.send_approved}
    approvals = Approvals(database=database, clock=clock, runners=runners, doers={TOOL: gate.carry_out})
    reflex_learning = ReflexLearning(database=database, reflexes=reflexes, reactive=reactive)
    journal, learning = Journal(database=database, clock=clock), Learning(learners=(learn_cell, reflex_learning.learn_from))
    pairing = Pairing(database=database, owner=owner, timezone=config.robbie.timezone, clock=clock)
    manners = Manners(database=database, clock=clock)
    manner_commands = MannerCommands(manners=manners, clock=clock)
    indexing = Indexing(database=database, embedder=thinking.embedder)
    briefs = _briefs(thinking, books=books, off=off, troubles=troubles)
    data = config.robbie.data_dir
    forgetful = Forgetful(database=database, clock=clock, files=data / "attachments", backups=data / "backups")
    families = (
        MemoryCommands(forgetful=forgetful),
        AutonomyCommands(autonomy=autonomy, journal=journal, database=database, clock=clock),
        manner_commands,
        WhyCommands(database=database),
        brief_commands := BriefCommands(database=database, delivery=briefs, clock=clock),
    )
    follow, errands = FollowUpCommands(outreach=outreach, database=database, clock=clock), Errands(database=database, books=books)
    commands = Commands(
        database=database,
        reactive=reactive,
        approvals=approvals,
        pairing=pairing,
        journal=journal,
        clock=clock,
        learning=learning,
        families=[*(each.table for each in families), follow.table, errands.table],
        plain=[*(each.plain for each in families if each is not brief_commands), plain, brief_commands.plain],
    )
    reactive.obey(commands.run)
    return Rooms(
        pairing=pairing,
        approvals=approvals,
        journal=journal,
        manners=manners,
        manner_commands=manner_commands,
        briefs=briefs,
        commands=commands,
        toolbox=Toolbox(tools=tuple(at_hand.values()), gate=gate, database=database, mcp=mcp),
        gate=gate,
        mcp=mcp,
        reflexes=reflexes,
        learning=learning,
        recall=thinking.recall,
        indexing=indexing,
        forgetful=forgetful,
        rounds=(
            Reminders(database=database, off=off),
            approvals,
            briefs,
            Lessons(database=database, autonomy=autonomy),
            FollowUps(database=database, outreach=outreach, clock=clock),
            Suggestions(database=database, clock=clock),
            reflex_learning,
            Forecasts(database=database, chain=chain, warm=thinking.warm),
            thinking.mesh,
            Aftermath(database=database, learning=learning),
            forgetful,
            Past(database=database),
            indexing,
            Ageing(database=database, chain=thinking.chain(thinking.worth_asking), owner=name_myself()),
            Promises(database=database, gate=gate, autonomy=autonomy, tool=promised),
            NoteReading(database=database, chain=thinking.chain(thinking.worth_asking)),
        ),
    )


def _briefs(thinking: Thinking, *, books: Books, off: Sequence[str], troubles: Callable[[str], Sequence[str]]) -> Delivery:
    """Briefs, made of everything that has news for them."""
    config, database, clock = thinking.config, thinking.database, thinking.clock
    daily_usd, ways = config.brain.daily_usd, [(rung.id, rung.level) for rung in thinking.rungs]
    sources = (
        AffairNews(books),
        NoteNews(database),
        DecisionsWaiting(database=database),
        AnswersOwed(database=database),
        WhatHappened(database=database),
        HowIAm(health=thinking.health, rungs=ways, budget=thinking.budget, daily_usd=daily_usd, database=database, troubles=troubles),
    )
    composer = Composer(sources=sources, database=database, chain=thinking.chain(thinking.worth_asking), clock=clock)
    return Delivery(database=database, composer=composer, config=config.briefs, clock=clock, owner=name_myself(), off=off)
