"""The files of the page: read once, compressed once, and asked for again only where they changed."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from flowrt.http import Route

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}


class StaticFile(msgspec.Struct, frozen=True):
    """One file of the page. tag: of its content, for the browser's cache."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


def read_all() -> dict[str, StaticFile]:
    """Every file of the page by its path below `static/`; nothing else can be asked for."""
    found = {}
    for file in sorted(FOLDER.rglob("*")):
        if file.is_file() and file.suffix in TYPES:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            packed = gzip.compress(content, 9, mtime=0)
            found[file.relative_to(FOLDER).as_posix()] = StaticFile(content, packed, TYPES[file.suffix], tag)
    return found


def routes() -> Iterable[Route]:
    """`/` and `/page/…`. A page holds no secret, and yet off loopback it is for those that signed in."""
    files = read_all()

    def answer(name: str, request: Request) -> Response:
        file = files.get(name)
        if file is None:
            return PlainTextResponse("there is no such file", 404)
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(file.packed, headers=headers, media_type=file.media_type)
        return Response(file.content, headers=headers, media_type=file.media_type)

    async def index(request: Request) -> Response:
        return answer("index.html", request)

    async def asset(request: Request) -> Response:
        return answer(request.path_params["path"], request)

    yield Route("/", index)
    yield Route("/page/{path:path}", asset)
