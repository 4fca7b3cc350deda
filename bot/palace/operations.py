"""What the owner can see and have done of the running hub: how its channels and nodes are, and the fire drill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from bot.brain.drill import Drill, Fault, drill_question
from bot.brain.mesh import Mesh
from bot.domain.clock import Clock
from bot.domain.errors import NotAllowed
from bot.hub.auth import visitor_of
from bot.hub.server import Problem, event_stream, json_response
from bot.hub.supervisor import ChannelHealth


class Operations:
    """Routes that act on the hub itself; the owner's alone."""

    def __init__(self, *, drill: Drill, clock: Clock, health: Mapping[str, ChannelHealth], mesh: Mesh) -> None:
        self._mesh = mesh
        self._health = health
        self._drill = drill
        self._clock = clock
        self._one_drill = asyncio.Lock()
        looks = (web.get("/api/channels", self._channels), web.get("/api/mesh", self._nodes))
        self.routes = (*looks, web.post("/api/drill", self._rehearse))

    async def _channels(self, request: web.Request) -> web.Response:
        if not visitor_of(request).person.is_owner:
            raise NotAllowed("only the owner sees how the channels are")
        told = {channel: asdict(health) | {"since": health.since.isoformat()} for channel, health in self._health.items()}
        return json_response({"channels": told})

    async def _nodes(self, request: web.Request) -> web.Response:
        if not visitor_of(request).person.is_owner:
            raise NotAllowed("only the owner sees how the nodes are")
        return json_response({"nodes": [state.told() for state in self._mesh.states]})

    async def _rehearse(self, request: web.Request) -> web.StreamResponse:
        """An event for each rehearsal, as it is done."""
        person = visitor_of(request).person
        if not person.is_owner:
            raise NotAllowed("only the owner holds drills")
        try:
            fault = Fault(request.query.get("fault", Fault.REFUSED))
        except ValueError:
            raise Problem(400, "bad_fault", f"a fault is one of {', '.join(Fault)}") from None
        async with self._one_drill, event_stream(request) as stream:
            async for rehearsal in self._drill.rehearse(drill_question(person, self._clock), fault):
                await stream.send(json.dumps(asdict(rehearsal)), event="rehearsal")
            await stream.send("{}", event="done")
        return stream.response
