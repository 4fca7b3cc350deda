"""Who is calling: sign-in links become sessions in a cookie, scripts carry tokens; of every secret only the hash is kept.

Nobody is ever shut out for wrong secrets: a right one is 256 random bits, which no guessing finds, and behind a proxy all visitors come
from one address, so that whoever counts failures lets one of them lock out the others. A wrong secret costs one read and writes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errors import NotAllowed
from bot.hub.identity import Directory
from bot.hub.server import SAFE_METHODS, STILL_WELCOME, Problem, is_open_to_all, open_to_all
from storage.database import Database
from storage.models.housekeeping import Credential

COOKIE = "robbie_session"
LINK_LIFE = timedelta(hours=1)
SESSION_LIFE = timedelta(days=30)
SECRET_BYTES = 32


class Pass(StrEnum):
    """What someone showed at the door. HUB is the local command line's own, which lives as long as the hub."""

    LINK = "link"
    SESSION = "session"
    TOKEN = "token"
    HUB = "hub"


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Who is calling, and by which right."""

    person: Person
    shown: Pass
    credential_id: UUID | None = None


_VISITOR = web.RequestKey("visitor", Visitor)


def visitor_of(request: web.Request) -> Visitor:
    """Who is calling; every handler that is not open to all has one."""
    return request[_VISITOR]


class Auth:
    """Sign-in for people and scripts.

    `hub_token` is the secret of this machine's command line, which acts for the owner or anyone it names. With `secure`, cookies
    travel by https alone.
    """

    def __init__(
        self, *, database: Database, directory: Directory, clock: Clock, secure: bool = False, hub_token: str | None = None
    ) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._secure = secure
        self._hub_hash = _hash(hub_token) if hub_token else None
        # a HEAD, as link previews send it, must not use the link up
        self.routes = (web.get("/signin/{code}", self._sign_in, allow_head=False), web.post("/signout", self._sign_out))

    async def create_link(self, person_id: UUID) -> str:
        """The path of a new sign-in link, good for one visit within the hour."""
        _, secret = await self._create(Pass.LINK, person_id, label="", life=LINK_LIFE)
        return f"/signin/{secret}"

    async def create_token(self, person_id: UUID, label: str) -> tuple[Credential, str]:
        """A new bearer token; its secret is told here and never again."""
        return await self._create(Pass.TOKEN, person_id, label=label, life=None, prefix="robbie_")

    async def tokens(self) -> Sequence[Credential]:
        """The tokens that open the door, oldest first."""
        async with self._database.reading() as work:
            return await work.credentials.valid(Pass.TOKEN, self._clock.now())

    async def revoke(self, credential_id: UUID) -> bool:
        """From now on this token or session opens nothing; says whether it did."""
        async with self._database.unit_of_work() as work:
            return await work.credentials.end(credential_id, self._clock.now())

    async def person_for(self, request: web.Request, name: object) -> Person:
        """On whose behalf a request acts: the caller's, or *name*'s where the command line says so. Raises NotAllowed, Problem."""
        visitor = visitor_of(request)
        if name is None:
            return visitor.person
        if visitor.shown is not Pass.HUB:
            raise NotAllowed("only the command line beside the hub may act as someone else")
        found = await self._directory.by_name(name) if isinstance(name, str) else None
        if found is None:
            raise Problem(404, "unknown_person", f"nobody here is called {name!r}")
        return found

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Put the visitor on the request, or turn it away."""
        if not is_open_to_all(request):
            request[_VISITOR] = visitor = await self._admit(request)
            request[STILL_WELCOME] = lambda: self._is_welcome(visitor)
        return await handler(request)

    async def _is_welcome(self, visitor: Visitor) -> bool:
        if visitor.credential_id is None:
            return True
        async with self._database.reading() as work:
            valid = await work.credentials.valid(visitor.shown, self._clock.now())
        return any(row.id == visitor.credential_id for row in valid) and await self._directory.by_id(visitor.person.id) is not None

    async def _admit(self, request: web.Request) -> Visitor:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._admit_script(request, secret.strip())
        if (visitor := await self._recognize(Pass.SESSION, request.cookies.get(COOKIE, ""))) is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "sign_in", "sign in first: a session cookie or a bearer token is needed", headers=challenge)
        if request.method not in SAFE_METHODS and "Origin" not in request.headers:
            raise Problem(403, "cross_origin", "a request signed by a cookie must name its origin")
        return visitor

    async def _admit_script(self, request: web.Request, secret: str) -> Visitor:
        if self._hub_hash is not None and hmac.compare_digest(_hash(secret), self._hub_hash):
            return Visitor(person=await self._directory.owner(), shown=Pass.HUB)
        if (visitor := await self._recognize(Pass.TOKEN, secret)) is None:
            raise Problem(401, "token_refused", "this token opens nothing", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return visitor

    async def _recognize(self, kind: Pass, secret: str) -> Visitor | None:
        if not secret:
            return None
        async with self._database.reading() as work:
            credential = await work.credentials.find_valid(kind, _hash(secret), self._clock.now())
        if credential is None or (person := await self._directory.by_id(credential.user_id)) is None:
            return None
        return Visitor(person=person, shown=kind, credential_id=credential.id)

    @open_to_all
    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        """The link becomes a session, once; whoever has a session already is let in by a used one."""
        link = await self._redeem(request.match_info["code"])
        if link is None and await self._recognize(Pass.SESSION, request.cookies.get(COOKIE, "")) is None:
            raise Problem(410, "link_used", "this sign-in link was used before, or is too old")
        response = web.Response(status=303, headers={"Location": "/", "Referrer-Policy": "no-referrer"})
        if link is not None:
            _, secret = await self._create(Pass.SESSION, link.user_id, label=request.headers.get("User-Agent", "")[:200], life=SESSION_LIFE)
            age = int(SESSION_LIFE.total_seconds())
            response.set_cookie(COOKIE, secret, max_age=age, httponly=True, samesite="Lax", secure=self._secure)
        return response

    async def _redeem(self, code: str) -> Credential | None:
        """The link with this code, used up by this; a code that is none takes no lock and writes nothing."""
        now = self._clock.now()
        async with self._database.reading() as work:
            if await work.credentials.find_valid(Pass.LINK, _hash(code), now) is None:
                return None
        async with self._database.unit_of_work() as work:
            return await work.credentials.redeem(Pass.LINK, _hash(code), now)

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        if (credential_id := visitor_of(request).credential_id) is not None:
            await self.revoke(credential_id)
        response = web.Response(status=303, headers={"Location": "/"})
        response.del_cookie(COOKIE, httponly=True, samesite="Lax", secure=self._secure)
        return response

    async def _create(self, kind: Pass, person_id: UUID, *, label: str, life: timedelta | None, prefix: str = "") -> tuple[Credential, str]:
        secret, now = prefix + secrets.token_urlsafe(SECRET_BYTES), self._clock.now()
        async with self._database.unit_of_work() as work:
            row = {"kind": kind, "secret_hash": _hash(secret), "user_id": person_id, "label": label}
            return await work.credentials.add(now=now, **row, expires_at=now + life if life else None), secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
