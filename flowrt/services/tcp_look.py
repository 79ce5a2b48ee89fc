"""What a program at a TCP address looks like, for texts about a service that does not answer as it should.

Asked only after a failure: a few connections of a second each, which send a greeting and look at the first bytes that come back.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

STEP_S = 0.7
_HTTP_GET = b"GET / HTTP/1.0\r\n\r\n"
_MQTT_CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x05\x00\x06flowrt"
_MQTT_CONNACK = 0x20
_TLS_ALERT = b"\x15\x03"


def looks_like(host: str, port: int) -> str:
    """`a web server`, `a server that speaks TLS`, … Takes four seconds at most, and never raises."""
    try:
        greeting = _exchange(host, port, b"")
        if greeting is not None and greeting:
            return _of_greeting(greeting)
        if (_exchange(host, port, _MQTT_CONNECT) or b"\0")[0] == _MQTT_CONNACK:
            return "an MQTT broker without TLS"
        said = _exchange(host, port, _HTTP_GET)
        if said and said.startswith(b"HTTP/"):
            return "a web server"
        if (said and said.startswith(_TLS_ALERT)) or _speaks_tls(host, port):
            return "a server that speaks TLS"
    except OSError as error:
        return f"nothing that keeps a connection ({error.strerror or error})"
    if greeting is None and said is None:
        return "a program that takes connections and says nothing (a firewall, a port forwarding, a program that hangs)"
    return "a program that closes the connection"


def _exchange(host: str, port: int, request: bytes) -> bytes | None:
    """The first bytes that come back; empty where the other side hangs up, None where it says nothing."""
    with socket.create_connection((host, port), timeout=STEP_S) as connection:
        connection.settimeout(STEP_S)
        try:
            if request:
                connection.sendall(request)
            return connection.recv(64)
        except TimeoutError:
            return None
        except OSError:  # reset
            return b""


def _of_greeting(greeting: bytes) -> str:
    if greeting.startswith(b"SSH-"):
        return "an SSH server"
    if greeting.startswith(b"220"):
        return "a mail or FTP server"
    return "a program that greets by itself, which no MQTT broker and no web server does"


def _speaks_tls(host: str, port: int) -> bool:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # nothing is sent; whose certificate it is does not matter
    with suppress(OSError), socket.create_connection((host, port), timeout=STEP_S) as connection:
        connection.settimeout(STEP_S)
        with anybody.wrap_socket(connection, server_hostname=host):
            return True
    return False
