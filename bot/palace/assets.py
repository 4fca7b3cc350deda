"""The files a page needs beside itself, read once; their address changes with their content, so that a browser may keep them for good."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

from bot.hub.server import Problem, open_to_all

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One file, plain and packed."""

    content_type: str
    content: bytes
    packed: bytes


class Assets:
    """Everything under static/."""

    def __init__(self) -> None:
        self._assets = dict(_read(files("bot.palace") / "static", ""))
        digest = hashlib.sha256(b"".join(name.encode() + asset.content for name, asset in sorted(self._assets.items())))
        self._version = digest.hexdigest()[:12]

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """Serving them."""
        return (web.get("/static/{version}/{name:.+}", self._serve), web.get("/favicon.ico", self._icon))

    def url(self, name: str) -> str:
        """The address of the file *name*. Raises KeyError."""
        self._assets[name]
        return f"/static/{self._version}/{name}"

    @open_to_all
    async def _serve(self, request: web.Request) -> web.Response:
        return self._respond(request, request.match_info["name"], is_current=request.match_info["version"] == self._version)

    @open_to_all
    async def _icon(self, request: web.Request) -> web.Response:
        return self._respond(request, "robbie.svg", is_current=False)

    def _respond(self, request: web.Request, name: str, *, is_current: bool) -> web.Response:
        asset = self._assets.get(name)
        if asset is None:
            raise Problem(404, "not_found", "there is no such file")
        headers = {"Cache-Control": "public, max-age=31536000, immutable" if is_current else "no-cache", "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers)
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=asset.packed, content_type=asset.content_type, charset="utf-8", headers=headers)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        content_type = TYPES.get(name[name.rfind(".") :])
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        elif content_type is not None:
            content = entry.read_bytes()
            found.append((name, Asset(content_type=content_type, content=content, packed=gzip.compress(content, mtime=0))))
    return found
