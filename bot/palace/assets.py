"""The files a page needs beside itself, read once; their address changes with their content, so that a browser may keep them for good."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
        self._assets = dict(_read(Path(__file__).with_name("static")))
        digest = hashlib.sha256(b"".join(name.encode() + asset.content for name, asset in sorted(self._assets.items())))
        self._version = digest.hexdigest()[:12]
        self.routes = (web.get("/static/{version}/{name:.+}", self._serve), web.get("/favicon.ico", self._serve))

    def url(self, name: str) -> str:
        """The address of the file *name*. Raises KeyError."""
        self._assets[name]
        return f"/static/{self._version}/{name}"

    @open_to_all
    async def _serve(self, request: web.Request) -> web.Response:
        """The file that is named; the icon where none is."""
        if (asset := self._assets.get(request.match_info.get("name", "robbie.svg"))) is None:
            raise Problem(404, "not_found", "there is no such file")
        is_current = request.match_info.get("version") == self._version
        headers = {"Cache-Control": "public, max-age=31536000, immutable" if is_current else "no-cache", "Vary": "Accept-Encoding"}
        takes_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        headers |= {"Content-Encoding": "gzip"} if takes_packed else {}
        content = asset.packed if takes_packed else asset.content
        return web.Response(body=content, content_type=asset.content_type, charset="utf-8", headers=headers)


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    for file in folder.rglob("*"):
        if content_type := TYPES.get(file.suffix):
            content = file.read_bytes()
            asset = Asset(content_type=content_type, content=content, packed=_packed(content))
            yield file.relative_to(folder).as_posix(), asset


@cache
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
