"""What a page may ask of the run that it belongs to."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from flowrt.runtime import Runtime, SharedCall
from flowrt.secrets import Secrets
from flowrt.watch import Reloader

FLOW = "flow"
"""In `Host.edit`: whatever is in the flow's files may be changed."""
T = TypeVar("T")

WAIT_S = 2.0
"""How long a request waits for the status; what hangs must not make the answer hang."""


class Host:
    """The run behind the pages. edit: what pages may change of the flow's files: names of sections, and `FLOW`."""

    def __init__(self, runtime: Runtime, reloader: Reloader, secrets: Secrets, edit: frozenset[str]) -> None:
        self.runtime = runtime
        self.reloader = reloader
        self.secrets = secrets
        self.edit = edit

    def data(self, content: Any) -> Any:
        """Builtin data with its secrets masked."""
        return self.secrets.data(msgspec.to_builtins(content, str_keys=True))

    def json(self, content: Any, status: int = 200) -> Response:
        """An answer with its secrets masked."""
        return Response(self.packed(self.data(content)), status, media_type="application/json")

    @staticmethod
    def packed(data: Any) -> bytes:
        """Builtin data as JSON."""
        try:
            return msgspec.json.encode(data)
        except UnicodeEncodeError:
            return msgspec.json.encode(_of_characters(data))

    async def bounded(self, call: SharedCall[T], wait_s: float = WAIT_S) -> T:
        """The result of a call. Raises TimeoutError where it takes too long; the call then goes on."""
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(call.future())), wait_s)


def _of_characters(data: Any) -> Any:
    """Builtin data with a question mark in place of each half of a character: one odd text must not make a page fail for everybody."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {_of_characters(key): _of_characters(value) for key, value in data.items()}
    return [_of_characters(item) for item in data] if isinstance(data, list | tuple) else data
