"""Connections of the HTTP server: few, and none that does nothing for long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 32
"""One more than so many takes the place of the connection that has been quiet for longest."""
QUIET_S = 10.0
"""A connection without a request under way is closed after so long, however slowly a request drips in."""
LOOK_S = 1.0


class Connection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it."""

    def connection_made(self, transport: Any) -> None:
        loop = asyncio.get_running_loop()
        quiet = [known for known in self.connections if isinstance(known, Connection) and not known.busy]
        if len(self.connections) >= CONNECTIONS:
            (min(quiet, key=lambda known: known.quiet_since) if quiet else self).cut(transport)
        self.quiet_since = loop.time()
        super().connection_made(transport)
        self._look(loop)

    def cut(self, newcomer: asyncio.Transport) -> None:
        """Close at once: this connection or, where it has not begun, the one that is about to."""
        (self.transport or newcomer).abort()

    @property
    def busy(self) -> bool:
        """Whether a request that is here as a whole is being answered; one whose body drips in is no reason to wait."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # or it became a web socket
            return
        if self.busy:
            self.quiet_since = loop.time()
        elif loop.time() - self.quiet_since > QUIET_S:
            self.transport.abort()
            return
        loop.call_later(LOOK_S, self._look, loop)
