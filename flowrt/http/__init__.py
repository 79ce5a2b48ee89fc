"""The HTTP server of a run: one guard before every route, the run's own routes, and those that installed packages add."""

from flowrt.http.host import FLOW, Host
from flowrt.http.routes import Route
from flowrt.http.server import BadAddress, HttpServer

__all__ = ["FLOW", "BadAddress", "Host", "HttpServer", "Route"]
