"""Where the broker of a service is, and how TLS to it is set up."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from flowrt import Context
from flowrt.services import Mqtt

HANDSHAKE_S = 5.0
PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883, "ssl": 8883}


class Address(msgspec.Struct, frozen=True):
    """Where the broker is."""

    host: str
    port: int
    tls: bool
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address_of(service: Mqtt, url: str) -> Address:
    """The address in a URL. User and password may stand in it, those of the service go before."""
    parts = urlsplit(url)
    return Address(
        parts.hostname or "localhost",
        parts.port or PORTS[parts.scheme],
        parts.scheme in ("mqtts", "ssl"),
        service.username or unquote(parts.username or ""),
        service.password or unquote(parts.password or ""),
    )


def tls_of(service: Mqtt, path: Callable[[str], Path]) -> ssl.SSLContext:
    """Raises ValueError that names the file which is no good."""
    try:
        tls = ssl.create_default_context(cafile=str(path(service.ca_file)) if service.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file {service.ca_file} can't be used: {error}") from error
    if service.cert_file:
        key = str(path(service.key_file)) if service.key_file else None
        try:
            tls.load_cert_chain(str(path(service.cert_file)), key)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"cert_file {service.cert_file} with its key can't be used: {error}") from error
    tls.sslsocket_class = _HandshakeInTime
    return tls


class _HandshakeInTime(ssl.SSLSocket):
    """paho lets a handshake take as long as the keepalive, a minute, and leaves the socket of a failed one open."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(HANDSHAKE_S)
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def service_of(context: Context, name: str) -> Mqtt:
    """The broker's block of that name; defaults where the flow has none."""
    service = context.services.get(name)
    return service if isinstance(service, Mqtt) else Mqtt()


def prefix_of(context: Context, service: Mqtt) -> str:
    """What every topic begins with."""
    return service.prefix.replace("{site}", context.site)
