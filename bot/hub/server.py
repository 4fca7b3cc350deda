"""One aiohttp server over the routes that doors and pages offer: who may call it, what an error looks like, how it starts and ends."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.domain.errors import ConfigError, NotAllowed, RobbieError, StorageError

log = structlog.get_logger(__name__)

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes. A message of a megabyte passes however JSON or a form may escape it (a NUL is six bytes there), ten megabytes never."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, never bound to
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # not no-referrer: with it a browser gives the origin of its own forms as "null"
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]
H = TypeVar("H", bound=Callable[..., Any])
StillWelcome = Callable[[], Awaitable[bool]]
STILL_WELCOME: web.RequestKey[StillWelcome] = web.RequestKey("still_welcome")
"""Whether whoever made a request, and still listens, might make it now; who checks requests puts it on them."""
RECHECK_SECONDS = 5.0
_STREAMS: web.AppKey[set[asyncio.Task[Any]]] = web.AppKey("streams")


class Problem(RobbieError):
    """A request that is not served; `code` is for programs, the text for whoever wrote them."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: str) -> None:
        self.status, self.code, self.message, self.headers, self.more = status, code, message, dict(headers or {}), more
        super().__init__(message)


ProblemPage = Callable[[Problem], str]


def open_to_all(handler: H) -> H:
    """Mark a handler that serves also those who are not signed in."""
    handler.is_open_to_all = True  # type: ignore[attr-defined]
    return handler


def is_open_to_all(request: web.Request) -> bool:
    """Whether this request needs no sign-in; an address that leads nowhere needs none to say so."""
    return request.match_info.http_exception is not None or getattr(request.match_info.handler, "is_open_to_all", False)


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """*body* as JSON, in ASCII, so that any text survives the way, lone surrogates included."""
    return web.Response(text=json.dumps(body), status=status, headers=headers, content_type="application/json")


class EventStream:
    """Server-sent events, on their way to one reader."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._checked_at = time.monotonic()
        self.response = response

    @property
    def is_open(self) -> bool:
        """Whether the reader is still there, as far as is known."""
        return self._request.transport is not None and not self._request.transport.is_closing()

    async def send(self, data: str, *, event: str = "", event_id: str = "") -> None:
        """One event, however many lines its data has."""
        lines = [f"id: {event_id}"] if event_id else []
        lines += [f"event: {event}"] if event else []
        lines += [f"data: {line}" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        await self._write(("\n".join(lines) + "\n\n").encode("utf-8", "replace"))

    async def keep_alive(self) -> None:
        """A comment, so that nobody between takes the silence for the end."""
        await self._write(b": \n\n")

    async def _write(self, data: bytes) -> None:
        """Send on, unless the reader was signed out meanwhile. Raises Problem."""
        still_welcome = self._request.get(STILL_WELCOME)
        if still_welcome is not None and time.monotonic() - self._checked_at > RECHECK_SECONDS:
            self._checked_at = time.monotonic()
            with suppress(StorageError):  # who cannot be asked about stays for now
                if not await still_welcome():
                    raise Problem(401, "signed_out", "the right to listen has ended")
        await self.response.write(data)


@asynccontextmanager
async def event_stream(request: web.Request) -> AsyncIterator[EventStream]:
    """Answer *request* with events until the block is left, the reader hangs up or the server stops.

    Whatever goes wrong inside cuts the line, for a status can no longer be sent: the reader is meant to see that this was not the end.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    task, streams = asyncio.current_task(), request.app[_STREAMS]
    assert task is not None
    streams.add(task)
    try:
        yield EventStream(request, response)
    except Exception as error:  # noqa: BLE001  one stream must not end the server
        _problem_of(error, _route(request))
        if request.transport is not None:
            request.transport.close()
    finally:
        streams.discard(task)


class Server:
    """Listens from entering to leaving; `url` tells where. Raises ConfigError when it cannot listen there."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        public_url: str,
        routes: Iterable[web.RouteDef],
        middlewares: Sequence[Middleware],
        readiness: Readiness,
        problem_page: ProblemPage,
        registry: CollectorRegistry,
        drain_seconds: float = 1.0,
    ) -> None:
        self._host, self._port, self._public_url = host, port, public_url.rstrip("/")
        self._names = LOOPBACK | ({host.lower()} - EVERY_ADDRESS) | ({urlsplit(public_url).hostname} if public_url else set())
        self._readiness = readiness
        self._problem_page = problem_page
        self._registry = registry
        self._requests = Counter("robbie_http_requests", "HTTP requests served", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram("robbie_http_request_seconds", "Seconds from request to answer", ["route"], registry=registry)
        self._open = Gauge("robbie_http_streams", "Event streams that are open", registry=registry)
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._watch, self._explain, self._guard, *middlewares])
        app[_STREAMS] = set()
        self._open.set_function(lambda: len(app[_STREAMS]))
        app.add_routes([web.get("/healthz", _alive), web.get("/readyz", self._ready), web.get("/metrics", self._metrics), *routes])
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(_end_streams)
        complaints = logging.Logger("aiohttp.server", logging.WARNING)  # noqa: LOG001  of this server, and no other
        complaints.addHandler(_Complaints())
        self._runner = web.AppRunner(app, access_log=None, logger=complaints, shutdown_timeout=drain_seconds)

    @property
    def url(self) -> str:
        """The address a browser on this machine can open."""
        host, port = self._runner.addresses[0][:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _cannot_listen(self._host, self._port, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count and time every request by its route."""
        started, route = time.perf_counter(), _route(request)
        response = await handler(request)
        method = request.method if request.method in METHODS else "other"
        self._requests.labels(method, route, response.status).inc()
        self._seconds.labels(route).observe(time.perf_counter() - started)
        return response

    @web.middleware
    async def _explain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever goes wrong becomes JSON for programs and a friendly page for people; what it was goes to the log."""
        try:
            return await handler(request)
        except Exception as error:  # one request must not end the server
            if isinstance(error, web.HTTPException) and error.status < 400:
                raise
            problem = _problem_of(error, _route(request))
        if request.path.startswith("/api/") or "HX-Request" in request.headers:
            body = {"error": {"code": problem.code, "message": problem.message}, **problem.more}
            return json_response(body, status=problem.status, headers=problem.headers)
        page = self._problem_page(problem).encode("utf-8", "replace")
        return web.Response(body=page, status=problem.status, headers=problem.headers, content_type="text/html", charset="utf-8")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve only under our own names, and let no other site write (DNS rebinding, cross-site requests)."""
        if _hostname(host := request.headers.get("Host", "")) not in self._names:
            raise Problem(421, "unknown_host", f"this server is not known as {host!r}; web.public_url can name one more address")
        origin = request.headers.get("Origin")
        if request.method not in SAFE_METHODS and origin is not None and not self._is_own(origin, host):
            raise Problem(403, "cross_origin", "requests from other sites are refused")
        return await handler(request)

    def _is_own(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin.lower())
        if (default := {"http": ":80", "https": ":443"}.get(parts.scheme)) is None:
            return False
        return parts.netloc.removesuffix(default) == host.lower().removesuffix(default) or origin.lower() == self._public_url.lower()

    @open_to_all
    async def _ready(self, _: web.Request) -> web.Response:
        parts = await self._readiness()
        is_ready = all(parts.values())
        return json_response({"ready": is_ready, **parts}, status=200 if is_ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Complaints(logging.Handler):
    """What aiohttp cannot read, by its kind alone: its own words quote the request, and so what is secret in it."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        log.warning("web.unreadable", error=kind.__name__ if kind else record.msg)


@open_to_all
async def _alive(_: web.Request) -> web.Response:
    return json_response({"alive": True})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall("Server", None)


async def _end_streams(app: web.Application) -> None:
    streams: set[asyncio.Task[Any]] = app[_STREAMS]
    for task in tuple(streams):
        task.cancel()


def _route(request: web.Request) -> str:
    """The kind of address, as counts and logs name it: the address itself may hold a sign-in code."""
    return "none" if (resource := request.match_info.route.resource) is None else resource.canonical


def _problem_of(error: Exception, route: str) -> Problem:
    """What a caller is told of *error*; what it was goes to the log, where it is not the caller's own doing."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return Problem(error.status, error.reason.lower().replace(" ", "_"), error.reason, headers=headers)
        case NotAllowed():
            return Problem(403, "not_allowed", str(error))
        case web.RequestPayloadError():
            return Problem(400, "bad_body", "the body cannot be read; is it as its headers say?")
        case ConnectionResetError():
            log.debug("web.hung_up", route=route)
            return Problem(400, "hung_up", "the caller did not wait for the answer")
        case StorageError():
            log.warning("web.no_database", route=route, error=str(error))
            return Problem(503, "unavailable", "the database cannot be reached at the moment", headers={"Retry-After": "5"})
        case _:
            log.error("web.failed", route=route, exc_info=error)
            return Problem(500, "internal", "something went wrong; it is in the log")


def _hostname(host: str) -> str | None:
    """The name in a Host header, without its port; None where it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    """What to change, by what the system says (asyncio repeats the address in its words, and gives a name's trouble as a tuple)."""
    if error.errno == errno.EADDRINUSE:
        key, reason, repair = "web.port", "something else listens there", "stop it, or choose another port"
    elif error.errno in (errno.EACCES, errno.EPERM):
        key, reason, repair = "web.port", "this user may not", "choose a port above 1023"
    else:
        key, reason, repair = "web.host", "this machine has no such address", 'write "127.0.0.1", or "0.0.0.0" for every address it has'
    return ConfigError(f"the web server cannot listen on {host}:{port}: {reason}", key=key, repair=repair)
